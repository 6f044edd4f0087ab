"""Asks nodes what their guests write, and gives the answers to who waits for them: an operator, the
record of an attempt, or the forecast of a drain.
"""

from dataclasses import dataclass, field, replace

from coordinator.desk import Desk
from coordinator.events import RequestId
from coordinator.groups.placement import best_node
from coordinator.membership.agents import Agent
from coordinator.membership.pauses import still_on
from coordinator.migration import admission, travels
from coordinator.migration.drain_forecast import DrainForecast
from coordinator.migration.experience import way_ahead, written_before
from coordinator.migration.predictions import curve_data, forecast_data, spread_data
from coordinator.pen import Draft
from coordinator.requests import Accepted, Declined, EstimateDrain, EstimateVm, Unknown
from coordinator.scene import Scene
from coordinator.store.prediction_row import Prediction
from coordinator.store.rows import AttemptRow, VmRow, attempt_key
from protocol.messages import SampleWrites, WayAhead, WritesForecast
from protocol.names import AttemptId, NodeName, VmName
from protocol.travel import Travel

PATIENCE_S = 10.0
"""So long a node may take beside the windows themselves."""

PASSES = 4
ATTEMPT_WINDOW_S = 1.0
DRAIN_WINDOW_S = 0.3


@dataclass(frozen=True, slots=True)
class Estimate:
    """The checks; nothing is written but that this coordinator still leads."""

    request: RequestId
    body: EstimateVm | EstimateDrain

    def draft(self, scene: Scene) -> Draft | Declined:
        if scene.book.cluster is None:
            return Declined(409, "no-cluster", "There is no cluster yet: form one first.")
        body = self.body
        refusal = (
            check_drain(scene, body.node)
            if isinstance(body, EstimateDrain)
            else check_vm(scene, body)
        )
        return refusal or Draft()


@dataclass(frozen=True, slots=True)
class Foretell:
    """A prediction that came when its attempt was over already."""

    attempt: AttemptId
    predicted: Prediction

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.attempts.get(self.attempt)
        if row is None or row.predicted is not None:
            return None
        told = replace(row, predicted=self.predicted)
        return Draft(puts=((attempt_key(row.id), told.data()),))


@dataclass(frozen=True, slots=True)
class ForAttempt:
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class ForOperator:
    request: RequestId
    target: NodeName | None


@dataclass(frozen=True, slots=True)
class ForDrain:
    request: RequestId


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a node that is not answered yet."""

    why: ForAttempt | ForOperator | ForDrain
    vm: VmName
    node: NodeName
    way: WayAhead
    until: float


@dataclass(slots=True)
class Estimates:
    """All questions that are open."""

    desk: Desk
    asked: dict[int, Asked] = field(default_factory=dict)
    drains: dict[RequestId, DrainForecast] = field(default_factory=dict)
    number: int = 0

    # ---- asking

    def attempt_opened(self, row: AttemptRow) -> None:
        """While the target makes room nothing else happens, so watching costs no time."""
        vm = self.desk.scene.book.vms.get(row.vm)
        if not self.desk.scene.config.forecasts or vm is None:
            return
        way = self._way(vm, row.target, row.travel)
        policies = (row.policy or self.desk.scene.config.policy,)
        self._ask(ForAttempt(row.id), vm, way, policies, row.travel, ATTEMPT_WINDOW_S)

    def begin(self, plan: Estimate) -> None:
        """The checks have passed."""
        scene, body = self.desk.scene, plan.body
        if isinstance(body, EstimateDrain):
            self._begin_drain(plan.request, body)
            return
        vm = scene.book.vms[body.vm]
        target = body.target or placed(scene, vm)
        travel = travels.limited(scene, travels.chosen(scene.book, body.travel), *_some(vm, target))
        policies = (body.policy,) if body.policy else ()
        way, why = self._way(vm, target, travel), ForOperator(plan.request, target)
        if not self._ask(why, vm, way, policies, travel, body.window_s):
            self.desk.answer(plan.request, admission.source_away(vm))

    def _begin_drain(self, request: RequestId, body: EstimateDrain) -> None:
        scene = self.desk.scene
        forecast = self.drains[request] = DrainForecast(body.node, travels.places(scene.book))
        for name in still_on(scene, body.node):
            vm = scene.book.vms[name]
            target = forecast.place(scene, vm)
            if target is None:
                continue
            travel = travels.limited(scene, travels.usual(scene.book), *_some(vm, target))
            way, policies = self._way(vm, target, travel), (scene.config.policy,)
            if self._ask(ForDrain(request), vm, way, policies, travel, DRAIN_WINDOW_S):
                forecast.wait_for(vm.name, way.setup_s.likely)
            else:
                forecast.stays(vm.name, admission.source_away(vm).sentence)
        self._drain_told(request)

    def _way(self, vm: VmRow, target: NodeName | None, travel: Travel) -> WayAhead:
        return way_ahead(self.desk.scene, vm.owner, target, vm.spec.memory_bytes, travel)

    def _ask(
        self,
        why: ForAttempt | ForOperator | ForDrain,
        vm: VmRow,
        way: WayAhead,
        policies: tuple[str, ...],
        travel: Travel,
        longest_s: float,
    ) -> bool:
        """False if the node with the VM is not there."""
        scene = self.desk.scene
        agent = scene.agents.living(vm.owner, vm.owner_incarnation)
        if agent is None:
            return False
        self.number += 1
        until = scene.now + PATIENCE_S + PASSES * longest_s
        self.asked[self.number] = Asked(why, vm.name, vm.owner, way, until)
        known = written_before(scene, vm.name)
        to = (self.desk.cluster, scene.term, agent.incarnation, self.number, vm.name, vm.epoch)
        self.desk.send(agent, SampleWrites(*to, policies, way, longest_s, travel, known))
        return True

    # ---- what comes of it

    def told(self, agent: Agent, message: WritesForecast) -> tuple[AttemptId, Prediction] | None:
        """Answers who asked; what was foretold of an attempt is for its record."""
        asked = self.asked.get(message.request)
        if asked is None or asked.vm != message.vm or asked.node != agent.node:
            return None  # of another leader, or given up
        del self.asked[message.request]
        match asked.why:
            case ForAttempt(attempt):
                prediction = Prediction.of(message, asked.way)
                return None if prediction is None else (attempt, prediction)
            case ForOperator(request, target) if message.reason:
                self.desk.answer(request, Declined(409, "not-sampled", message.reason))
            case ForOperator(request, target):
                self.desk.answer(request, Accepted(estimate_data(asked, target, message)))
            case ForDrain(request):
                self.drains[request].told(asked.vm, message)
                self._drain_told(request)
        return None

    def _drain_told(self, request: RequestId) -> None:
        forecast = self.drains[request]
        if not forecast.waits:
            del self.drains[request]
            self.desk.answer(request, Accepted(forecast.data()))

    def tick(self) -> None:
        """A node that does not answer is not waited for."""
        now = self.desk.scene.now
        for number, asked in list(self.asked.items()):
            if now < asked.until:
                continue
            del self.asked[number]
            sentence = f"Node {asked.node} has not said in time what {asked.vm} writes: ask again."
            match asked.why:
                case ForOperator(request):
                    self.desk.answer(request, Declined(503, "not-sampled", sentence))
                case ForDrain(request):
                    self.drains[request].stays(asked.vm, sentence)
                    self._drain_told(request)
                case ForAttempt():
                    pass

    def give_up(self) -> None:
        """This coordinator leads no more."""
        sentence = "The coordinator stopped leading meanwhile: ask again."
        waiting = {a.why.request for a in self.asked.values() if isinstance(a.why, ForOperator)}
        for request in sorted({*waiting, *self.drains}):
            self.desk.answer(request, Unknown(sentence))
        self.asked.clear()
        self.drains.clear()


# ---- checks


def check_vm(scene: Scene, body: EstimateVm) -> Declined | None:
    """Why nothing can be said of this migration."""
    vm = scene.book.vms.get(body.vm)
    if vm is None:
        return admission.unknown_vm(body.vm)
    travel = travels.chosen(scene.book, body.travel)
    off = admission.check_policy(body.policy) or admission.check_travel(travel)
    if off is not None:
        return off
    if not (vm.on and vm.live) or vm.failed:
        sentence = f"VM {vm.name} is Offline: nothing is written. Start it first."
        return Declined(409, "vm-off", sentence)
    if refusal := admission.check_source(scene, vm):
        return refusal
    return None if body.target is None else check_target(scene, vm, body.target)


def check_target(scene: Scene, vm: VmRow, target: NodeName) -> Declined | None:
    if target not in scene.book.nodes:
        return admission.unknown_node(target)
    if target == vm.owner:
        return admission.there_already(vm)
    return admission.check_receiving(scene, target)


def check_drain(scene: Scene, node: NodeName) -> Declined | None:
    if node not in scene.book.nodes:
        return admission.unknown_node(node)
    if scene.agents.at(node) is None:
        sentence = f"Node {node} is not connected to the coordinator: wait until it is."
        return Declined(409, "node-unreachable", sentence)
    return None


def placed(scene: Scene, vm: VmRow) -> NodeName | None:
    """Where placement would move it; None where there is no room now."""
    group = scene.book.group(vm.name)
    return best_node(scene, vm.spec.memory_bytes, {vm.owner}, None, group)


def _some(vm: VmRow, target: NodeName | None) -> tuple[NodeName, ...]:
    return (vm.owner,) if target is None else (vm.owner, target)


def estimate_data(asked: Asked, target: NodeName | None, told: WritesForecast) -> dict[str, object]:
    return {
        "vm": asked.vm,
        "source": asked.node,
        "target": target,
        "basis": asked.way.basis,
        "wire_bytes_per_s": spread_data(asked.way.wire_bytes_per_s),
        "zero_share": told.zero_share,
        "packed_share": told.packed_share,
        "curve": curve_data(told.windows),
        "cost_s": told.cost_s,
        "policies": [forecast_data(one) for one in told.forecasts],
    }
