"""What must be true in a simulated cluster after every event, whatever breaks: the promises of the
design, section 5.

Everything is told as it happens, and only what changed is looked at. A guest that begins to run, or
to run again, is judged at that very moment: two copies can overlap only if one begins while the
other runs.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agent.actions import NodeRecord
from coordinator.store.interface import Applied, Result, Row, Txn
from lab.simulation.ballots import Ballots, Violation
from lab.simulation.guest import SimWorker, wave_is_whole
from lab.simulation.store import MemoryStore, Writes
from lab.simulation.throttles import check_throttle
from lab.simulation.world import World
from protocol.messages import (
    Consented,
    Decided,
    Ended,
    FromAgent,
    ToAgent,
    TurnedAway,
    ViewAcked,
    VmStopped,
)
from protocol.names import AttemptId, Decision, Hold, Incarnation, NodeName, VmName

if TYPE_CHECKING:
    from lab.simulation.node import SimMachine

Value = Mapping[str, Any]


class CheckedStore(MemoryStore):
    """The truth, with a witness: what is written under another term than the store's is noticed."""

    def apply_encoded(self, txn: Txn, writes: Writes) -> Result:
        term = self.term
        result = super().apply_encoded(txn, writes)
        if isinstance(result, Applied) and txn.term != term:
            raise Violation(f"term {txn.term} wrote while the store's term was {term}")
        return result


class Checker:
    """Believes nobody: it sees the store's rows, the workers and the clocks of all machines."""

    def __init__(self, world: World, truth: CheckedStore) -> None:
        self.world = world
        self._truth = truth
        self.vms: dict[str, Value] = {}
        self.attempts: dict[int, Value] = {}
        self.view: Value | None = None
        self.machines: Mapping[NodeName, SimMachine] = {}
        self.expected: set[NodeName] = set()
        """The nodes that have to be in the view when all is well."""

        self.ballots = Ballots()
        self.on_open: Callable[[AttemptId], None] = _ignore
        """Called when an attempt is entered in the store."""

        self.on_move: Callable[[str], None] = _ignore
        """Called with a sentence when a VM gets another owner, an attempt is decided, a guest
        begins elsewhere.
        """

        self.on_end: Callable[[SimWorker], None] = _ignore
        """Called when a copy of a VM is gone."""

        self._changed: list[Row] = []
        self._copies: dict[VmName, list[SimWorker]] = {}
        self._ran_last: dict[VmName, SimWorker] = {}
        self.sources: dict[AttemptId, SimWorker] = {}
        self._consents: dict[tuple[VmName, Incarnation], AttemptId] = {}
        self._owners: dict[tuple[str, int], str] = {}
        self._views: dict[int, Any] = {}
        self._busy: dict[str, int] = {}
        self._leaders: dict[int, str] = {}
        truth.on_change("term", self._term_taken)
        for prefix in ("vm/", "attempt/", "view"):
            truth.on_change(prefix, self._changed.append)

    def after_event(self) -> None:
        """Look at the rows that changed, all of one transaction together."""
        if not self._changed:
            return
        rows, self._changed[:] = list(self._changed), []
        for row in rows:
            if row.key == "view" and row.value is not None:
                self._view_written(row.value)
        attempts = {row.key: row.value for row in rows if row.key.startswith("attempt/")}
        for key, value in attempts.items():
            assert value is not None, "records of attempts are never deleted"
            self._attempt_written(int(key.removeprefix("attempt/")), value)
        for row in rows:
            if row.key.startswith("vm/"):
                self._vm_written(row.key.removeprefix("vm/"), row.value, attempts.values())

    # ---- rows

    def _term_taken(self, row: Row) -> None:
        """Each term has one leader, and comes after all others."""
        assert row.value is not None
        term, leader = row.value["term"], row.value["leader"]
        if term in self._leaders or term < max(self._leaders, default=0):
            raise Violation(f"{leader} took term {term} after {max(self._leaders)}")
        self._leaders[term] = leader

    def _vm_written(self, vm: str, new: Value | None, decided: Iterable[Value | None]) -> None:
        old = self.vms.get(vm)
        if new is None:
            self._deleted(vm)
            return
        self.vms[vm] = new
        if old is None or (old["owner_incarnation"], old["live"]) != (
            new["owner_incarnation"],
            new["live"],
        ):
            owner = new["owner_incarnation"] if new["live"] else "nobody"
            self.on_move(f"{vm} is {owner}'s under epoch {new['epoch']}")
        life, epoch = new["owner_incarnation"], new["epoch"]
        if old is not None and epoch < old["epoch"]:
            raise Violation(f"the epoch of {vm} went from {old['epoch']} back to {epoch}")
        if life is None:
            return
        if self._owners.setdefault((vm, epoch), life) != life:
            raise Violation(
                f"epoch {epoch} of {vm} was {self._owners[vm, epoch]}'s and is {life}'s"
            )
        if old is None or (old["owner_incarnation"] == life and old["live"] == new["live"]):
            return
        if new["live"] and not self.is_member(life):
            raise Violation(f"{vm} was given to {life}, which is in no view that holds")
        if old["live"] and old["owner_incarnation"] != life:
            committed = any(
                value is not None
                and value["vm"] == vm
                and value["decision"] == "committed"
                and value["target_incarnation"] == life
                for value in decided
            )
            if not committed and self.is_member(old["owner_incarnation"]):
                raise Violation(
                    f"{vm} was taken from {old['owner_incarnation']}, which still has it"
                )

    def _deleted(self, vm: str) -> None:
        old = self.vms.pop(vm, None)
        if old is not None and old["live"]:
            raise Violation(f"{vm} was deleted while {old['owner_incarnation']} had it")
        self._ran_last.pop(VmName(vm), None)
        self._owners = {key: life for key, life in self._owners.items() if key[0] != vm}

    def _attempt_written(self, number: int, new: Value) -> None:
        old = self.attempts.get(number)
        self.attempts[number] = new
        if old is not None and old["decision"] not in ("open", new["decision"]):
            raise Violation(f"attempt {number} was {old['decision']} and is {new['decision']}")
        if new["decision"] != "open" and (old is None or old["decision"] == "open"):
            self.on_move(f"attempt {number} is {new['decision']}")
        if new["decision"] == "committed" and (old is None or old["decision"] == "open"):
            self._committed(number, new)
        if (old is None) and new["ended_at"] is None:
            for node in (new["source"], new["target"]):
                if self._busy.setdefault(node, number) != number:
                    raise Violation(
                        f"{node} takes part in attempts {self._busy[node]} and {number}"
                    )
            self.on_open(AttemptId(number))
        elif new["ended_at"] is not None:
            check_throttle(number, self._copies.get(VmName(new["vm"]), []), self.vms)
            for node in (new["source"], new["target"]):
                if self._busy.get(node) == number:
                    del self._busy[node]

    def _committed(self, number: int, row: Value) -> None:
        source = self._ran_last.get(VmName(row["vm"]))
        if source is None or source.incarnation != row["source_incarnation"]:
            return
        if source.is_running() or (source.alive and not source.holds & Hold.ATTEMPT):
            raise Violation(f"attempt {number} was committed while the guest was not paused")

    def _view_written(self, new: Value) -> None:
        old, self.view = self.view, new
        if old is not None and (new["number"], new["term"]) < (old["number"], old["term"]):
            raise Violation(f"view {old['number']} was followed by view {new['number']}")
        content = (new["members"], new["votes"])
        if self._views.setdefault(new["number"], content) != content:
            raise Violation(f"there are two views {new['number']}")
        if new["held"]:
            if old is None or not old["held"] or old["number"] != new["number"]:
                before = None if old is None else old["held_view"]
                self.ballots.view_holds(new, before)
            self._view_holds(new)

    def _view_holds(self, view: Value) -> None:
        """Whoever is out of a view that holds has no lease any more, whatever its clock says."""
        for machine in self.machines.values():
            agent = machine.agent
            if agent is not None and not self.is_member(agent.incarnation):
                left_s = machine.clock.in_world(agent.lease.end_s) - self.world.now
                if left_s > 0:
                    raise Violation(
                        f"view {view['number']} holds without {agent.incarnation},"
                        f" which may run guests for {left_s:.3f} s more"
                    )
        for copies in self._copies.values():
            for worker in copies:
                if worker.is_running() and not self.is_member(worker.incarnation):
                    raise Violation(
                        f"view {view['number']} holds without {worker.incarnation},"
                        f" where {worker.vm} runs"
                    )

    def is_member(self, incarnation: str) -> bool:
        """Whether it is in the newest view that holds."""
        held = None if self.view is None else self.view["held_view"]
        return held is not None and any(m["incarnation"] == incarnation for m in held["members"])

    # ---- guests

    def guest_made(self, worker: SimWorker) -> None:
        self._copies.setdefault(worker.vm, []).append(worker)

    def guest_ended(self, worker: SimWorker) -> None:
        self._copies[worker.vm].remove(worker)
        self.on_end(worker)

    def guest_paused(self, worker: SimWorker) -> None:
        if not wave_is_whole(worker.memory):
            raise Violation(f"the wave of {worker.vm} is torn on {worker.incarnation}")

    def source_sent_all(self, attempt: AttemptId, worker: SimWorker) -> None:
        """From here on the source's pages are what the target's have to be."""
        self.sources[attempt] = worker

    def guest_begins(self, worker: SimWorker) -> None:
        """The moment of truth: this copy is about to make a step."""
        vm = worker.vm
        for other in self._copies[vm]:
            if other is not worker and other.might_run():
                what = "runs" if other.is_running() else "may still run"
                raise Violation(
                    f"{vm} begins on {worker.incarnation} (epoch {worker.epoch})"
                    f" and {what} on {other.incarnation} (epoch {other.epoch})"
                )
        self._has_right_to_run(worker)
        if not wave_is_whole(worker.memory):
            raise Violation(f"the wave of {vm} is torn on {worker.incarnation}")
        last = self._ran_last.get(vm)
        if last is not None and last is not worker:
            self._follows(worker, last)
        if last is not worker:
            how = "from the start" if worker.is_cold else "where it stopped"
            self.on_move(f"{vm} runs on {worker.incarnation}, {how}")
        self._ran_last[vm] = worker

    def _has_right_to_run(self, worker: SimWorker) -> None:
        vm, life = worker.vm, worker.incarnation
        row = self.vms.get(vm)
        if row is None:
            raise Violation(f"{vm} runs on {life}, and there is no such VM")
        if row["owner_incarnation"] != life or worker.epoch > row["epoch"] or not row["live"]:
            raise Violation(
                f"{vm} runs on {life} under epoch {worker.epoch}, and is"
                f" {row['owner_incarnation']}'s under epoch {row['epoch']}"
            )
        attempt = self._consents.get((vm, life))
        if attempt is not None and self.attempts[attempt]["decision"] == "open":
            raise Violation(f"{vm} runs on {life}, which has consented to open attempt {attempt}")

    def _follows(self, worker: SimWorker, last: SimWorker) -> None:
        """Another copy ran before: this one starts anew under a higher epoch, or goes on where that
        one stopped.
        """
        last.advance()
        if worker.is_cold:
            if worker.epoch <= last.epoch:
                raise Violation(
                    f"{worker.vm} starts anew under epoch {worker.epoch}, after epoch {last.epoch}"
                )
        elif worker.attempt is None:
            raise Violation(f"{worker.vm} returns on {worker.incarnation} from before a hand-over")
        else:
            self._goes_on(worker, self.sources[worker.attempt], last)

    def _goes_on(self, worker: SimWorker, source: SimWorker, last: SimWorker) -> None:
        """Its pages travelled: they are the source's, to the last one."""
        if worker.memory != source.pages:
            raise Violation(
                f"the memory of {worker.vm} on {worker.incarnation} is not what it was on"
                f" {source.incarnation}: {worker.steps} steps and {source.steps}"
            )
        if source is last:
            return
        if not source.is_cold or worker.epoch <= last.epoch:
            raise Violation(f"{worker.vm} goes on with pages from before it ran elsewhere")

    # ---- words

    def agent_says(self, node: NodeName, incarnation: Incarnation, message: FromAgent) -> None:
        match message:
            case ViewAcked():
                self.ballots.acknowledged(message, self.machines[node].disk)
            case Consented(attempt=attempt, vm=vm):
                self._consents[vm, incarnation] = attempt
            case Ended(attempt=attempt, decision=decision):
                self._is_decided(attempt, decision, str(incarnation))
            case VmStopped(vm=vm, epoch=epoch):
                for worker in self._copies.get(vm, ()):
                    if worker.incarnation == incarnation and worker.alive and worker.epoch <= epoch:
                        raise Violation(f"{incarnation} says that {vm} is stopped, and it is not")

    def coordinator_says(self, name: str, message: ToAgent) -> None:
        if not isinstance(message, TurnedAway) and self._leaders.get(message.term) != name:
            raise Violation(f"{name} speaks for term {message.term}, which was never its own")
        if isinstance(message, Decided):
            self._is_decided(message.attempt, message.decision, name)

    def _is_decided(self, attempt: AttemptId, decision: Decision, who: str) -> None:
        row = self.attempts.get(attempt)
        known = "unknown" if row is None else row["decision"]
        if known != decision.value:
            raise Violation(f"{who} says that attempt {attempt} is {decision.value}: it is {known}")

    def persisted(self, node: NodeName, old: NodeRecord, new: NodeRecord) -> None:
        if new.cluster is None and self._truth.get(f"node/{node}").value is None:
            return  # it was evicted, and forgets all
        if new.highest_term < old.highest_term or new.view < old.view:
            raise Violation(f"{node} has seen term and view go back: {old} -> {new}")
        self.ballots.persisted(node, old, new)

    # ---- looking

    def source_of(self, attempt: AttemptId) -> SimWorker | None:
        return self.sources.get(attempt)

    def running(self) -> dict[VmName, list[SimWorker]]:
        """The copies of every VM that make steps at this very moment."""
        return {
            vm: [worker for worker in copies if worker.is_running()]
            for vm, copies in self._copies.items()
        }

    # ---- the end

    def attempt_of(self, vm: VmName) -> AttemptId | None:
        row = self.vms.get(vm)
        return None if row is None else row["attempt"]

    def complaints(self) -> list[str]:
        """What is not yet as it should be once nothing has failed for a while."""
        return [*self._vm_complaints(), *self._attempt_complaints(), *self._view_complaints()]

    def _vm_complaints(self) -> Iterable[str]:
        for vm, row in sorted(self.vms.items()):
            copies = self._copies.get(VmName(vm), [])
            running = [worker for worker in copies if worker.is_running()]
            owner = (row["owner_incarnation"], row["epoch"])
            if row["wish"] == "off" or row["failed"]:
                if copies or row["live"]:
                    yield f"{vm} is to be off and is still on {row['owner_incarnation']}"
            elif len(running) != 1 or len(copies) != 1:
                where = [worker.incarnation for worker in copies]
                yield f"{vm} runs {len(running)} times, on {where}, for {row['owner_incarnation']}"
            elif (running[0].incarnation, running[0].epoch) != owner:
                yield f"{vm} runs under epoch {running[0].epoch}, and its row says {row['epoch']}"
        for name, copies in sorted(self._copies.items()):
            if copies and name not in self.vms:
                yield f"{name} is deleted and still on {copies[0].incarnation}"

    def _attempt_complaints(self) -> Iterable[str]:
        for number, row in sorted(self.attempts.items()):
            if row["ended_at"] is None:
                yield f"attempt {number} of {row['vm']} is {row['decision']} and not closed"
        for node, machine in sorted(self.machines.items()):
            if machine.agent is not None and machine.agent.streams:
                yield f"{node} still has streams of attempts {sorted(machine.agent.streams)}"

    def _view_complaints(self) -> Iterable[str]:
        if self.view is None or not self.view["held"]:
            yield "the newest view does not hold"
            return
        for node, machine in sorted(self.machines.items()):
            if node not in self.expected:
                continue
            if machine.agent is None or not self.is_member(machine.agent.incarnation):
                yield f"{node} is not in the view"
            elif machine.disk.view != self.view["number"]:
                yield f"{node} lives by view {machine.disk.view}, not by {self.view['number']}"
            elif machine.agent.lease.end_s <= machine.clock.now:
                yield f"{node} has no lease"


def _ignore(_: object) -> None:
    pass
