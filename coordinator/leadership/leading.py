"""How a coordinator comes to lead, and how it stops.

It takes a term, reads the rows, and hears agents of a quorum before it decides anything, so that it
starts above every term, view and epoch that they have seen. Where only the witness's vote is
missing it asks for that; where the store is older than what it hears, a quorum is not enough. A
leader that a quorum does not answer for a lease resigns: it asks the store whether its term still
stands, and begins again if so.
"""

import enum
from dataclasses import dataclass

from coordinator.actions import ReadRows, TakeTerm, Transact
from coordinator.desk import Desk
from coordinator.events import WorkId
from coordinator.groups.ownership import RaiseEpoch
from coordinator.leadership import doorstep, staleness
from coordinator.membership.views import ProposeAgain
from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.book import PREFIXES, Book
from coordinator.store.interface import Applied, Result, Row, StaleTerm, Txn
from coordinator.votes import quorum
from coordinator.votes.arbitration import (
    could_decide,
    have_quorum,
    holders,
    vote_configs,
    with_witness,
)
from coordinator.votes.forcing import Force
from coordinator.votes.witness_watch import WitnessWatch
from protocol.names import NodeName, Term

RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class CheckTerm:
    """Writes nothing: a leader that has nothing to write would never hear that another leads."""

    def draft(self, scene: Scene) -> Draft:
        return Draft()


class Phase(enum.Enum):
    """Where a coordinator stands on its way to lead."""

    IDLE = "it has not begun"
    CHECKING = "it has resigned and asks whether its term still stands"
    TAKING = "it asks the store for a term"
    READING = "it reads the rows"
    GATHERING = "it waits for agents of a quorum"
    LEADING = "it decides"
    DEPOSED = "another coordinator leads: it never decides anything again"


class Leading:
    """The way of one coordinator to lead. What follows from leading is the core's business."""

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.retry_at = float("inf")
        self._at_least = 1
        self._works: dict[WorkId, str] = {}
        self._book = Book()
        self.witness = WitnessWatch()
        self.ask_at = float("inf")
        """While gathering: when to look whether another node is to be asked for the witness."""

        self.force: Force | None = None
        """What an operator has sworn, until it is the first thing that is written."""

    @property
    def leads(self) -> bool:
        return self.phase is Phase.LEADING

    @property
    def may_look(self) -> bool:
        """It has read the rows, and may find them wanting."""
        return self.phase is Phase.GATHERING

    def take_term(self, desk: Desk, at_least: int) -> None:
        self.phase = Phase.TAKING
        self._at_least = max(at_least, 1)
        work = desk.new_work()
        self._works = {work: ""}
        self.retry_at = float("inf")
        desk.out.append(TakeTerm(work, self._at_least))

    def check_term(self, desk: Desk, at_least: int) -> None:
        """Resign: an empty transaction says whether the term still stands."""
        self.phase = Phase.CHECKING
        self._at_least = at_least
        work = desk.new_work()
        self._works = {work: ""}
        self.retry_at = float("inf")
        desk.out.append(Transact(work, Txn(int(desk.scene.term))))

    def term_checked(self, work: WorkId, result: Result, desk: Desk) -> None:
        if self.phase not in (Phase.CHECKING, Phase.GATHERING) or work not in self._works:
            return
        match result:
            case StaleTerm():
                self.depose()
            case _ if self.phase is Phase.GATHERING:
                return  # it is asked again in a while
            case Applied():
                self.take_term(desk, self._at_least)
            case _:
                self.retry_at = desk.scene.now + RETRY_S

    def term_taken(self, work: WorkId, term: int, desk: Desk) -> None:
        if self.phase is not Phase.TAKING or work not in self._works:
            return
        desk.scene.term = Term(term)
        self._read(desk)

    def _read(self, desk: Desk) -> None:
        self.phase = Phase.READING
        self.retry_at = float("inf")
        self._book = Book()
        self._works = {desk.new_work(): prefix for prefix in PREFIXES}
        desk.out.extend(ReadRows(work, prefix) for work, prefix in self._works.items())

    def rows_read(self, work: WorkId, rows: tuple[Row, ...], desk: Desk) -> None:
        if self.phase is not Phase.READING or work not in self._works:
            return
        del self._works[work]
        for row in rows:
            self._book.learn_row(row)
        if not self._works:
            desk.scene.book = self._book
            self.phase = Phase.GATHERING
            self.retry_at = desk.scene.now + desk.scene.book.timing.support_s

    def store_failed(self, work: WorkId, desk: Desk) -> None:
        """A term or rows could not be had: the whole step is tried again a little later."""
        if work in self._works:
            self._works.clear()
            self.retry_at = desk.scene.now + RETRY_S

    def retry(self, desk: Desk) -> None:
        if desk.scene.now < self.retry_at:
            return
        match self.phase:
            case Phase.TAKING:
                self.take_term(desk, self._at_least)
            case Phase.CHECKING:
                self.check_term(desk, self._at_least)
            case Phase.READING:
                self._read(desk)
            case Phase.GATHERING:
                self._ask_whether_still_first(desk)
            case _:
                self.retry_at = float("inf")

    def _ask_whether_still_first(self, desk: Desk) -> None:
        """Agents that wait here in vain may be the quorum that another coordinator needs."""
        work = desk.new_work()
        self._works = {work: ""}
        self.retry_at = desk.scene.now + desk.scene.book.timing.support_s
        desk.out.append(Transact(work, Txn(int(desk.scene.term))))

    def gathered(self, desk: Desk) -> bool:
        """Whether enough was heard to lead; a term not above all that was heard is given up."""
        self.ask_at = float("inf")
        if self.phase is not Phase.GATHERING:
            return False
        scene = desk.scene
        forming = may_form(scene)
        if self.force is None and not could_decide(scene, forming):
            return False
        heard = configured_heard(scene)
        terms = [agent.hello.highest_term for agent in scene.agents if agent.node in heard]
        if terms and max(terms) >= scene.term:
            self.take_term(desk, max(terms) + 1)
            return False
        if self.force is None and not (
            self._witness_at_hand(desk, forming) and not staleness.missing(scene)
        ):
            return False
        self.phase = Phase.LEADING
        return True

    def _witness_at_hand(self, desk: Desk, forming: set[NodeName]) -> bool:
        """Where only the witness is missing, one node after the other is asked to take it."""
        scene = desk.scene
        if have_quorum(scene, forming):
            return True
        self.witness.ask(desk, [agent for agent in scene.agents if agent.node in forming])
        self.ask_at = scene.now + scene.book.timing.delay_s
        return False

    def depose(self) -> None:
        self.phase = Phase.DEPOSED
        self.force, self.ask_at = None, float("inf")
        self.retry_at = float("inf")
        self._works.clear()


def configured_heard(scene: Scene) -> set[NodeName]:
    """Configured nodes whose agents are connected and say what can be true."""
    return {
        agent.node
        for agent in scene.agents
        if doorstep.belongs(scene, agent.hello) and not doorstep.why_turned_away(scene, agent.hello)
    }


def may_form(scene: Scene) -> set[NodeName]:
    """Those whose votes count before there is a leader: not who was told to join only."""
    held = scene.held
    members = set() if held is None else {member.incarnation for member in held.members}
    return {
        node
        for node in configured_heard(scene)
        if (agent := scene.agents.at(node)) is not None
        and (not agent.hello.prevents_quorum or agent.incarnation in members)
    }


def answering_since(scene: Scene) -> float:
    """Since when a quorum answers without a pause longer than this; inf without a cluster.

    Quorums of all configurations that have a say: where the one that is to hold has lost its own,
    no view ever holds, and only who does not lead can be made to go on by force.
    """
    heard_at = scene.agents.heard_at()
    since = [
        quorum.quorum_since(config, heard_at, holders(scene, config))
        for config in vote_configs(scene)
    ]
    return max(scene.led_at, min(since)) if since else float("inf")


def start_above_all(desk: Desk) -> None:
    """Above every view, vote configuration and epoch that was told of."""
    scene = desk.scene
    staleness.learn_numbers(scene)
    heard = configured_heard(scene)
    for agent in scene.agents:
        if agent.node not in heard:
            continue
        for report in agent.hello.vms:
            vm = scene.book.vms.get(report.vm)
            if vm is not None and report.epoch > vm.epoch:
                desk.pen.put(RaiseEpoch(report.vm, report.epoch))
    desk.pen.put(ProposeAgain())


def quorum_lost(scene: Scene) -> chronicle.Note:
    heard = {agent.node for agent in scene.agents if not scene.silent(agent.node)}
    present, config = min(
        (
            (quorum.votes_of(config, heard, with_witness(scene, config, heard)), config)
            for config in vote_configs(scene)
        ),
        key=lambda pair: pair[0] - pair[1].needed,
    )
    return chronicle.quorum_lost(present, config.needed, config.total)


def waiting_for(phase: Phase, scene: Scene, copy_waits: str = "") -> str:
    """Why nothing can be decided now, and what would change that. `copy_waits`: what is to become
    of a copy of the database comes first.
    """
    if phase is Phase.DEPOSED:
        return "Another coordinator leads this cluster: ask that one."
    if phase is not Phase.GATHERING:
        return "The coordinator is starting and does not lead yet: ask again in a moment."
    if copy_waits:
        return copy_waits
    heard = may_form(scene)
    if missing := staleness.missing(scene):
        return (
            "The store is older than what nodes or the witness remember, as if it had been put back"
            " from a backup. Nothing is decided before every node was heard: start"
            f" {', '.join(missing)}, or force the quorum if they are gone for good (1561)."
        )
    short = []
    for config in vote_configs(scene):
        held = with_witness(scene, config, heard)
        votes = quorum.votes_of(config, heard, held)
        told = f"{votes} votes are heard and {config.needed} are needed"
        if config.witness is not None and config.witness_votes and not held:
            told += f", and none of these nodes holds the witness {config.witness.name}"
        short.append(told)
    return f"There is no quorum: {' and '.join(short)}. Start more nodes or mend their networks."
