"""What follows once a plan is in the store, or will never be: who is told, and what comes next."""

from coordinator import asking
from coordinator.actions import PublishProgress
from coordinator.desk import Desk
from coordinator.events import RequestId
from coordinator.groups.group_orders import FailOnPurpose, Relocate, resource_named
from coordinator.groups.ownership import FailOver, Give, RaiseEpoch
from coordinator.groups.stops import TakeStopped
from coordinator.groups.tending import Tending
from coordinator.groups.wishes import Create, Remove, TurnOff, TurnOn
from coordinator.membership.agents import Agent
from coordinator.membership.evicting import Evict
from coordinator.membership.forming import Form, Join
from coordinator.membership.pauses import EndDrain, Pause, Resume
from coordinator.membership.properties import Configure
from coordinator.membership.views import MarkHeld
from coordinator.migration.attempts import Abort, Close, Commit, Open
from coordinator.migration.conduct import Conductor
from coordinator.migration.draining import Draining
from coordinator.migration.estimates import Estimate
from coordinator.migration.waiting import Begin, Waiting
from coordinator.pen import Draft, Plan
from coordinator.requests import Accepted, Declined, Unknown
from coordinator.store.rows import CLUSTER, VIEW
from coordinator.votes.forcing import Force
from protocol.messages import Evicted, ProposeView, Welcome
from protocol.names import AttemptId, Decision, NodeName, VmName


class Aftermath:
    """Nobody is told of anything before it is written; this is where they are told."""

    def __init__(
        self, desk: Desk, tending: Tending, conductor: Conductor, draining: Draining
    ) -> None:
        self._desk = desk
        self._tending = tending
        self._conductor = conductor
        self._draining = draining
        self.waiting = Waiting(desk)
        self._until_held: list[tuple[RequestId, dict[str, object]]] = []
        """Who asked for a membership that is written but does not hold yet."""

    def written(self, plan: Plan, draft: Draft) -> None:
        request = asking.asker_of(plan)
        if draft.answer is not None and not isinstance(plan, Open):
            self._desk.answer(request, draft.answer)
        elif hasattr(plan, "answer"):
            self._answer_with(request, plan.answer(self._desk.scene), plan)
        match plan:
            case Form() | Join():
                self._membership_asked(plan)
            case Force():
                self._forced()
            case MarkHeld():
                self._view_holds()
            case Configure() if plan.sets_clocks:
                self._clocks_set(plan.sets_pace)
            case Evict(_, node):
                self._evicted(node)
            case Create(body=body):
                self._desk.answer(request, Accepted({"vm": body.vm, **self._owner_of(body.vm)}))
                self._tending.named(body.vm)
            case TurnOn(_, vm) | TurnOff(_, vm):
                self._desk.answer(request, Accepted({"vm": vm, **self._owner_of(vm)}))
                self._tending.named(vm)
            case Remove(_, vm):
                self._desk.answer(request, Accepted({"vm": vm}))
            case Give(vm) | RaiseEpoch(vm):
                self._tending.named(vm)
            case FailOver(vm) | TakeStopped(vm):
                self._released(vm)
            case Relocate(_, vm):
                self._tending.named(vm)
            case FailOnPurpose(_, resource):
                if (named := resource_named(self._desk.scene, resource)) is not None:
                    self._tending.fail(named[0].name, named[1], "an operator made it fail")
            case Open():
                self._attempt_asked(plan, draft)
            case Begin(attempt):
                self._has_begun(attempt)
            case Commit(attempt) | Abort(attempt):
                self._desk.answer(request, Accepted({"attempt": attempt}))
                self._conductor.decided(attempt)
            case Close(attempt):
                self._closed(attempt)
            case Estimate():
                self._conductor.estimates.begin(plan)
            case Pause(_, node) | Resume(_, node):
                self._draining.forget(node)
                self._desk.answer(request, Accepted({"node": node}))
                self._draining.tick()
            case EndDrain() | _:
                if any(key == VIEW for key, _ in draft.puts):
                    self._propose_to_all()

    def _answer_with(self, request: RequestId | None, body: dict[str, object], plan: Plan) -> None:
        row = self._desk.scene.book.view
        pending = row is not None and not row.holds
        if request is not None and pending and getattr(plan, "answered_when_held", False):
            self._until_held.append((request, body))
        else:
            self._desk.answer(request, Accepted(dict(body)))

    def dropped(self, plan: Plan, why: Declined | None) -> None:
        """Nothing was written: a refusal is told to who asked; what decides an attempt goes on."""
        if why is not None:
            self._desk.answer(asking.asker_of(plan), why)
        match plan:
            case Commit(attempt) if why is not None:
                self._conductor.refused(attempt, why.sentence)
            case Commit(attempt) | Abort(attempt):
                self._conductor.decided(attempt)
            case _:
                pass

    def give_up_waiting(self) -> None:
        """It is written, but whether it will hold is not this leader's to say."""
        self._conductor.estimates.give_up()
        for request, _ in self._until_held:
            sentence = "It is written, but the coordinator stopped leading before it took effect."
            self._desk.answer(request, Unknown(sentence))
        self._until_held.clear()

    # ---- membership

    def _membership_asked(self, plan: Form | Join) -> None:
        scene = self._desk.scene
        cluster = scene.book.cluster
        assert cluster is not None
        names: tuple[NodeName, ...]
        if isinstance(plan, Form):
            names, body = plan.body.nodes, {"cluster": plan.body.name, CLUSTER + "_id": cluster.id}
            scene.led_at = scene.now  # from now on a quorum has to answer
        else:
            names, body = (plan.node,), {"node": plan.node}
        self._until_held.append((plan.request, dict(body)))
        for agent in scene.agents:
            if agent.node in names:
                agent.welcomed, agent.heard_at = True, scene.now
                welcome = Welcome(cluster.id, scene.term, agent.incarnation, cluster.timing)
                self._desk.send(agent, welcome)
        self._propose_to_all()

    def _evicted(self, node: NodeName) -> None:
        """One that cannot be told now is told when it says Hello again."""
        scene, agent = self._desk.scene, self._desk.scene.agents.at(node)
        if agent is not None and agent.welcomed:
            evicted = Evicted(self._desk.cluster, scene.term, agent.incarnation)
            self._desk.send(agent, evicted)
            self._desk.hang_up(agent.link, f"node {node} was evicted")
        self._propose_to_all()

    def _clocks_set(self, new_pace: bool) -> None:
        """All agents are told the clocks that count now.

        Until the last has taken a new pace some beat at the old one, and those who count by the new
        one may take them for dead; so for as long no view is proposed, and a quorum has to answer
        only from now on.
        """
        scene = self._desk.scene
        cluster = scene.book.cluster
        assert cluster is not None
        timing = cluster.timing
        if new_pace:
            scene.led_at = scene.now
            scene.calm_until = max(scene.calm_until, scene.now + scene.book.calm_s)
        for agent in scene.agents:
            if agent.welcomed:
                welcome = Welcome(cluster.id, scene.term, agent.incarnation, timing)
                self._desk.send(agent, welcome)

    def _forced(self) -> None:
        """Promises to those who are out now may last as long; who is in has to answer from now."""
        scene = self._desk.scene
        scene.led_at = scene.now
        scene.calm_until = scene.now + scene.book.calm_s
        self._propose_to_all()

    def propose_to(self, agent: Agent) -> None:
        """Show it the newest view if it is a member, or has been one and is out."""
        row = self._desk.scene.book.view
        if row is None:
            return
        is_member = row.view.incarnation_of(agent.node) == agent.incarnation
        if is_member or agent.incarnation in row.left:
            view = ProposeView(self._desk.cluster, self._desk.scene.term, row.view)
            self._desk.send(agent, view)

    def _propose_to_all(self) -> None:
        row = self._desk.scene.book.view
        assert row is not None
        out = {dropped.incarnation for dropped in row.dropped}
        for agent in self._desk.scene.agents:
            if not agent.welcomed:
                continue
            if agent.incarnation in out and agent.incarnation not in row.left:
                view = ProposeView(self._desk.cluster, self._desk.scene.term, row.view)
                self._desk.send(agent, view)
            else:
                self.propose_to(agent)
        self._desk.look = True

    def _view_holds(self) -> None:
        scene = self._desk.scene
        row = scene.book.view
        assert row is not None
        if row.changed:
            scene.calm_until = max(scene.calm_until, scene.now + scene.book.calm_s)
        for request, body in self._until_held:
            self._desk.answer(request, Accepted(dict(body)))
        self._until_held.clear()
        for agent in scene.agents:
            agent.no_lease_since = None  # the lease begins anew with the view
        self._conductor.look_for_ends()
        self._tending.all()
        self._desk.look = True

    # ---- VMs and attempts

    def _owner_of(self, vm: VmName) -> dict[str, object]:
        row = self._desk.scene.book.vms[vm]
        return {"node": row.owner, "epoch": row.epoch}

    def _released(self, vm: VmName) -> None:
        for row in list(self._desk.scene.book.unclosed.values()):
            if row.vm == vm and row.decision is not Decision.OPEN:
                self._conductor.decided(row.id)
        self._tending.named(vm)

    def _attempt_asked(self, plan: Open, draft: Draft) -> None:
        assert draft.attempt is not None
        if draft.attempt in self._desk.scene.book.queued:
            self._desk.answer(plan.request, Accepted({"attempt": draft.attempt}))
            self._desk.out.append(PublishProgress(draft.attempt))
            return
        row = self._desk.scene.book.attempts[draft.attempt]
        if draft.answer is not None:
            self._desk.answer(plan.request, draft.answer)
            return
        if plan.request is None:
            self._draining.opened(row.vm)
        self._desk.answer(plan.request, Accepted({"attempt": row.id}))
        self._conductor.opened(row)
        if plan.request is None:
            self._draining.tick()  # where a node has more than one place

    def _has_begun(self, attempt: AttemptId) -> None:
        row = self._desk.scene.book.attempts[attempt]
        if row.closed:
            self._desk.out.append(PublishProgress(attempt))
        else:
            self._conductor.opened(row)

    def _closed(self, attempt: AttemptId) -> None:
        row = self._desk.scene.book.attempts[attempt]
        self._conductor.closed(row.id)
        self._tending.settled(row.vm)
        self._tending.named(row.vm)
        self.waiting.tick()
        self._draining.tick()
