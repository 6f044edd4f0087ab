"""The coordinator's whole mind behind one door: events and the time go in, actions come out."""

from collections.abc import Sequence
from typing import assert_never

from coordinator import asking
from coordinator.actions import Action, CloseLink
from coordinator.config import CoordinatorConfig
from coordinator.desk import Desk, Tell
from coordinator.events import (
    Answered,
    Asked,
    Event,
    LinkClosed,
    LinkId,
    RequestId,
    RowsRead,
    Said,
    StoreFailed,
    TermTaken,
    Tick,
    WorkId,
)
from coordinator.groups.failback import Failback
from coordinator.groups.tending import Tending
from coordinator.leadership import doorstep, leading, staleness
from coordinator.leadership.leading import Leading, Phase
from coordinator.leadership.reception import Reception
from coordinator.leadership.revival import Revival
from coordinator.membership import views
from coordinator.membership.agents import Agent
from coordinator.membership.forming import Form
from coordinator.membership.properties import Configure
from coordinator.migration.conduct import Conductor
from coordinator.migration.draining import Draining
from coordinator.networks.network_watch import NetworkWatch
from coordinator.pen import Dropped, Lost, Outcome, Written
from coordinator.requests import Declined, ForceQuorum, Request, Unknown
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.shown.picture import Picture, picture_of
from coordinator.storage.disk_watch import DiskWatch
from coordinator.store.copies import CopyKeeper
from coordinator.store.interface import Result
from coordinator.votes import forcing
from coordinator.votes.forcing import Force, why_not_forced
from coordinator.written import Aftermath
from protocol.messages import (
    CopyKept,
    CopyOffered,
    FromAgent,
    Hello,
    Pong,
    WitnessChanged,
    WitnessStatus,
)
from protocol.names import Term


class CoordinatorCore:
    """Feed it events, carry out the actions in their order, give it a Tick when `wake_at` comes."""

    def __init__(self, config: CoordinatorConfig, now: float) -> None:
        self._desk = Desk(Scene(config, now))
        self._leading = Leading()
        self._tending = Tending(self._desk)
        self._conductor = Conductor(self._desk)
        self._draining = Draining(self._desk)
        self._failback = Failback(self._desk)
        self._networks = NetworkWatch(self._desk)
        self._storage = DiskWatch(self._desk, self._tending)
        self._aftermath = Aftermath(self._desk, self._tending, self._conductor, self._draining)
        self._reception = Reception(
            self._desk, self._tending, self._conductor, self._aftermath, self._storage
        )
        self._revival = Revival(self._desk, self._reception.greet)
        self._copies = CopyKeeper()
        guests = self._conductor.tick, self._tending.all, self._aftermath.waiting.tick
        moves = self._draining.tick, self._failback.tick
        self._looks = (*guests, *moves, self._networks.tick, self._storage.tick)
        self._ping_at = float("inf")
        self._ping_seq = 0
        self._resigned: chronicle.Note | None = None
        self._store_heard_at = now
        """When the store last confirmed that this coordinator's term stands."""

    # ---- the door

    def begin(self, now: float) -> tuple[Action, ...]:
        """Start on the way to lead. Comes first, once."""
        self._desk.scene.now = now
        self._leading.take_term(self._desk, at_least=1)
        return self._taken()

    def handle(self, event: Event, now: float) -> tuple[Action, ...]:
        """Everything that changes this coordinator goes through here."""
        scene = self._desk.scene
        scene.now = max(now, scene.now)
        match event:
            case Said(link, message):
                self._said(link, message)
            case Tick():
                self._time_passed()
            case Answered(work, result):
                self._answered(work, result)
            case Asked(request, body):
                self._asked(request, body)
            case LinkClosed(link):
                scene.agents.forget(link)
                self._desk.look = True
            case TermTaken(work, term):
                self._leading.term_taken(work, term, self._desk)
            case RowsRead(work, rows):
                self._leading.rows_read(work, rows, self._desk)
                self._gather()
            case StoreFailed(work):
                self._leading.store_failed(work, self._desk)
            case _:
                assert_never(event)
        return self._taken()

    def wake_at(self) -> float:
        """When it wants the next Tick; infinity if never."""
        if not self._leading.leads:
            repeat_at = self._desk.pen.wake_at() if self._revival.is_importing else float("inf")
            return min(self._leading.retry_at, self._leading.ask_at, repeat_at)
        return min(self._ping_at, self._desk.pen.wake_at())

    def picture(self) -> Picture:
        """What there is to see now; later events do not change it."""
        return picture_of(self._desk.scene, self._leading.phase, self._conductor.attempts)

    @property
    def leads(self) -> bool:
        return self._leading.leads

    @property
    def deposed(self) -> bool:
        """Another coordinator leads; this one is of no more use."""
        return self._leading.phase is Phase.DEPOSED

    @property
    def term(self) -> Term:
        return self._desk.scene.term

    def _taken(self) -> tuple[Action, ...]:
        """All that is to be done now; what goes to the store goes with it."""
        desk = self._desk
        if self._leading.leads and desk.look:
            self._look()
        self._write()
        if not desk.out:
            return ()
        actions = tuple(desk.out)
        desk.out.clear()
        return actions

    # ---- the store

    @property
    def _may_write(self) -> bool:
        """Who does not lead writes nothing but a database that it puts back."""
        return self._leading.leads or self._revival.is_importing

    def _write(self) -> None:
        desk = self._desk
        while not desk.pen.idle and self._may_write:
            works = desk.works
            outcomes, action = desk.pen.take(desk.scene, desk.new_work())
            if action is None and not outcomes:
                desk.works = works
                return
            if action is not None:
                desk.out.append(action)
            self._came_of(outcomes)
            if action is not None:
                return

    def _answered(self, work: WorkId, result: Result) -> None:
        self._leading.term_checked(work, result, self._desk)
        if self._leading.phase is Phase.DEPOSED:
            self._depose()
        if self._may_write:
            self._came_of(self._desk.pen.answered(work, result, self._desk.scene))

    def _came_of(self, outcomes: Sequence[Outcome]) -> None:
        scene = self._desk.scene
        for outcome in outcomes:
            match outcome:
                case Written(plan, draft):
                    self._store_heard_at = scene.now
                    self._aftermath.written(plan, draft)
                    self._storage.written(plan, draft)
                    if self._revival.is_done(plan):
                        self._resign(None, int(scene.term) + 1)  # and lead by what it has now
                        return
                    if isinstance(plan, Form | Configure):
                        # Planned with no cluster's clocks: a short lease may end before.
                        self._ping_at = min(self._ping_at, scene.now + scene.book.timing.delay_s)
                case Dropped(plan, why):
                    self._aftermath.dropped(plan, why)
                    self._revival.dropped(plan)
                    if isinstance(plan, Force):
                        self._resign(None, int(scene.term) + 1)
                        return
                case Lost():
                    self._leading.depose()
                    self._depose()
                    return

    # ---- leading

    def _gather(self) -> None:
        if self._leading.may_look and self._revival.holds_back(self._leading.force is not None):
            self._leading.ask_at = self._desk.scene.now + self._desk.scene.book.timing.delay_s
            return
        if not self._leading.gathered(self._desk):
            return
        desk, scene = self._desk, self._desk.scene
        scene.lead()
        self._ping_at = self._store_heard_at = scene.now
        notes = [chronicle.leader_began(scene.config.leader, scene.term)]
        if self._resigned is not None:
            notes.insert(0, self._resigned)
            self._resigned = None
        if self._leading.force is not None:
            desk.pen.put(self._leading.force, urgent=True)
            self._leading.force = None
        desk.pen.put(Tell(tuple(notes)))
        leading.start_above_all(desk)
        self._conductor.resume_all()
        for agent in list(scene.agents):
            self._reception.greet(agent)
        desk.look = True

    def _resign(self, why: chronicle.Note | None, at_least: int) -> None:
        """Decide nothing more; agents say Hello anew before anything is decided again."""
        self._resigned = why
        self._let_go("the coordinator resigned: say Hello anew")
        self._leading.check_term(self._desk, at_least)

    def _depose(self) -> None:
        self._let_go("another coordinator leads")

    def _let_go(self, reason: str) -> None:
        desk = self._desk
        for plan, begun in desk.pen.clear():
            request = asking.asker_of(plan)
            if begun:
                sentence = "The coordinator stopped leading meanwhile: look before you ask again."
                desk.answer(request, Unknown(sentence))
            else:
                desk.answer(request, self._not_now())
        self._aftermath.give_up_waiting()
        self._revival.begin_anew()
        self._copies.forget()
        self._conductor.attempts.clear()
        self._tending.begin_anew()
        self._storage.begin_anew()
        desk.out.extend(CloseLink(link, reason) for link in desk.scene.agents.forget_all())
        self._ping_at = float("inf")

    def _not_now(self) -> Declined:
        phase = Phase.IDLE if self._leading.leads else self._leading.phase
        sentence = leading.waiting_for(phase, self._desk.scene, self._revival.waits)
        return Declined(503, "no-quorum", sentence)

    def _asked(self, request: RequestId, body: Request) -> None:
        if self._leading.leads:
            self._desk.pen.put(asking.plan_for(request, body))
        elif isinstance(body, ForceQuorum) and self._leading.phase is Phase.GATHERING:
            refusal = why_not_forced(self._desk.scene, body)
            if refusal is None:
                self._leading.force = Force(request, body)
                self._gather()
            self._desk.answer(None if refusal is None else request, refusal or self._not_now())
        else:
            self._desk.answer(request, self._not_now())

    def _time_passed(self) -> None:
        self._leading.retry(self._desk)
        desk, scene = self._desk, self._desk.scene
        if scene.now >= self._leading.ask_at:
            self._gather()
        if not self._leading.leads or scene.now < self._ping_at:
            return
        timing = scene.book.timing
        self._ping_at = max(self._ping_at, scene.now - timing.delay_s) + timing.delay_s
        if scene.book.cluster is None:
            self._revival.holds_back()
            return
        if scene.now - leading.answering_since(scene) > timing.support_s:
            self._resign(leading.quorum_lost(scene), int(scene.term) + 1)
            return
        self._ping_seq += 1
        self._reception.ping(self._ping_seq)
        desk.look = True
        if scene.now - self._store_heard_at >= timing.support_s:
            desk.pen.put(leading.CheckTerm())
        self._leading.witness.keep(desk)
        self._copies.keep(desk)
        for look in self._looks:
            look()

    def _look(self) -> None:
        """Whether the membership is to change, or a change has come to hold."""
        desk = self._desk
        desk.look = False
        row = desk.scene.book.view
        if row is None:
            return
        if views.comes_to_hold(desk.scene):
            desk.pen.put(views.MarkHeld(row.view.number))
        elif views.wanted(desk.scene) is not None:
            desk.pen.put(views.ProposeNext())
        elif (plan := forcing.revote(desk.scene)) is not None:
            desk.pen.put(plan)

    # ---- agents

    def _said(self, link: LinkId, message: FromAgent) -> None:
        if self._leading.phase is Phase.DEPOSED:
            return self._desk.hang_up(link, "another coordinator leads")
        if isinstance(message, Hello):
            return self._hello(link, message)
        agent = self._desk.scene.agents.on(link)
        if agent is None or message.incarnation != agent.incarnation:
            return
        if isinstance(message, WitnessChanged):
            return self._witness_told(agent, message.witness)
        if isinstance(message, CopyOffered):
            self._revival.offered(agent, message)
            if not self._leading.leads:
                self._gather()
            return
        if not agent.welcomed or not self._leading.leads or message.cluster != self._desk.cluster:
            return  # it is told again, or asked again, once this coordinator leads
        if isinstance(message, Pong):
            self._pong(agent, message)
        elif isinstance(message, CopyKept):
            self._copies.told(self._desk, agent, message)
        else:
            self._reception.told(agent, message)

    def _witness_told(self, agent: Agent, status: WitnessStatus) -> None:
        if not doorstep.witness_can_be(self._desk.scene, status):
            return
        agent.witness = status
        self._desk.look = True
        if self._leading.leads:
            self._resign_if_stale(agent)
        else:
            self._gather()

    def _resign_if_stale(self, agent: Agent) -> None:
        """On a store that is older than what a node knows, all nodes are to be heard first."""
        scene = self._desk.scene
        if not staleness.knows_more(scene, agent):
            return
        staleness.learn_numbers(scene)
        if missing := staleness.unheard(scene):
            self._resign(chronicle.store_is_stale(missing), int(scene.term) + 1)
        else:
            self._desk.pen.put(views.ProposeAgain())

    def _pong(self, agent: Agent, pong: Pong) -> None:
        scene = self._desk.scene
        if pong.term != scene.term or not doorstep.witness_can_be(scene, pong.witness):
            return
        if agent.pong(pong, scene.now):
            self._desk.look = True
        self._resign_if_stale(agent)
        if not self._leading.leads:
            return
        self._reception.reported(agent, pong.vms)

    def _hello(self, link: LinkId, hello: Hello) -> None:
        desk, scene = self._desk, self._desk.scene
        if reason := self._reception.why_turned_away(hello, self._leading.leads):
            return self._reception.turn_away(link, hello, reason)
        replaced = scene.agents.greet(link, hello, scene.now)
        if replaced is not None:
            desk.out.append(
                CloseLink(replaced, f"node {hello.node} has said Hello on another link")
            )
        desk.look = True
        if not self._leading.leads:
            return self._gather()
        belongs = doorstep.belongs(scene, hello)
        if belongs and hello.highest_term > scene.term:
            # The store will say whether another leads, or has forgotten (a restored backup).
            self._resign(None, int(hello.highest_term) + 1)
            return
        agent = scene.agents.on(link)
        assert agent is not None
        self._resign_if_stale(agent)
        if not self._leading.leads:
            return
        self._reception.greet(agent)
