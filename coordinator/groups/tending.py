"""Keeps each VM on its way to what its row wants, whatever was lost on the way there."""

from coordinator.desk import Desk
from coordinator.groups.ownership import FailOver, Give, RaiseEpoch
from coordinator.groups.starts import Starts
from coordinator.groups.stops import MACHINE, Deadlocked, Retry, TakeStopped
from coordinator.groups.watching import Ill, Watching
from coordinator.membership.agents import Agent
from coordinator.storage import vm_disks
from coordinator.store.rows import VmRow
from protocol.messages import FailVm, StartVm, StopVm, VmReport, VmStarted, VmStopped
from protocol.names import Epoch, Incarnation, VmName

ASK_AGAIN_S = 2.0
"""How long a node may take to show that it was told to start a VM."""


class Tending:
    """Compares rows with reports. It repeats orders, which agents take once, and enters plans."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._starts = Starts()
        self._watching = Watching(desk.scene)

    def begin_anew(self) -> None:
        """It leads no more: what it saw is old by the time that it leads again."""
        self._starts = Starts()
        self._watching = Watching(self._desk.scene)

    def all(self) -> None:
        """In the order of their names, which is the order in which they come back."""
        self._starts.recount(self._desk.scene)
        for _, row in sorted(self._desk.scene.book.vms.items()):
            self.tend(row)

    def named(self, vm: VmName) -> None:
        row = self._desk.scene.book.vms.get(vm)
        if row is None:
            self._watching.forget(vm)
        else:
            self.tend(row)

    def tend(self, row: VmRow) -> None:
        scene, pen = self._desk.scene, self._desk.pen
        if not row.live:
            self._watching.forget(row.name)
            self._bring_back(row)
            return
        life = row.owner_incarnation
        assert life is not None, "a live VM has an owner"
        if not scene.in_held_view(row.owner, life):
            pen.put(FailOver(row.name, life))
            return
        agent = scene.agents.living(row.owner, life)
        if agent is None or self._moves(row.name, life):
            self._watching.forget(row.name)
            return
        if self._leaves(row):
            self.stop(agent, row.name, row.epoch)
            self._note_stuck(row, agent)
        elif (ill := self._watching.ill(row)) is not None:
            self._end(agent, row, ill)
            self._note_stuck(row, agent)
        elif not agent.has(row.name, row.epoch) and not vm_disks.is_ready(scene, row):
            self._watching.forget(row.name)  # its disks come first
        elif not agent.has(row.name, row.epoch) and self._may_ask(agent, row):
            self._start(agent, row)
        else:
            self._check(row, agent)

    def _bring_back(self, row: VmRow) -> None:
        if row.on and not row.failed:
            self._desk.pen.put(Give(row.name))
        elif row.on:
            group = self._desk.scene.book.groups.get(row.name)
            retry_at = None if group is None else group.retry_at
            if retry_at is not None and self._desk.scene.wall >= retry_at:
                self._desk.pen.put(Retry(row.name))

    def _leaves(self, row: VmRow) -> bool:
        """It is to stop where it is: for good, to move, or because its node gives all away."""
        if not row.on:
            return True
        book = self._desk.scene.book
        group, node = book.groups.get(row.name), book.nodes.get(row.owner)
        return (group is not None and group.move_to is not None) or (
            node is not None and node.stopped
        )

    # ---- health

    def _check(self, row: VmRow, agent: Agent) -> None:
        if self._starts.is_queued(row.owner, row.name):
            self._watching.forget(row.name)
            return
        ill = self._watching.check(row, agent, stopping=False)
        if isinstance(ill, Ill):
            self._end(agent, row, ill)

    def _note_stuck(self, row: VmRow, agent: Agent) -> None:
        stuck = self._watching.check(row, agent, stopping=True)
        if stuck is not None and not isinstance(stuck, Ill):
            self._desk.pen.put(Deadlocked(row.name, agent.incarnation, stuck.after_s))

    def fail(self, vm: VmName, part: str, reason: str) -> None:
        """A resource is to be treated as failed; its owner ends it and says so."""
        row = self._desk.scene.book.vms.get(vm)
        if row is not None and row.live and row.owner_incarnation is not None:
            self._watching.fell_ill(row, Ill(row.owner_incarnation, row.epoch, part, reason))
            self.tend(row)

    def _end(self, agent: Agent, row: VmRow, ill: Ill) -> None:
        scene = self._desk.scene
        self._desk.send(
            agent,
            FailVm(self._desk.cluster, scene.term, agent.incarnation, row.name, ill.epoch),
        )

    # ---- starting and stopping

    def _may_ask(self, agent: Agent, row: VmRow) -> bool:
        epoch, at = agent.asked.get(row.name, (None, 0.0))
        if epoch == row.epoch and self._desk.scene.now - at < ASK_AGAIN_S:
            return False
        return self._starts.may_begin(row.owner, row.name)

    def _start(self, agent: Agent, row: VmRow) -> None:
        scene = self._desk.scene
        agent.asked[row.name] = (row.epoch, scene.now)
        message = StartVm(
            self._desk.cluster, scene.term, agent.incarnation, row.name, row.epoch, row.spec
        )
        self._desk.send(agent, message)

    def _start_next(self, agent: Agent, vm: VmName) -> None:
        """`vm` is not in flight any more on its node."""
        after = self._starts.ended(agent.node, vm)
        if after is not None:
            self.named(after)

    def stop(self, agent: Agent, vm: VmName, epoch: Epoch) -> None:
        message = StopVm(self._desk.cluster, self._desk.scene.term, agent.incarnation, vm, epoch)
        self._desk.send(agent, message)

    def settled(self, vm: VmName) -> None:
        """An attempt has closed: its VM's owner has it, though its newest report may be older."""
        scene = self._desk.scene
        row = scene.book.vms.get(vm)
        if row is None:
            return
        owner = scene.agents.living(row.owner, row.owner_incarnation)
        if owner is not None:
            owner.asked[vm] = (row.epoch, scene.now)

    def _moves(self, vm: VmName, life: Incarnation) -> bool:
        """An attempt that this life takes part in decides what becomes of the VM there."""
        return any(
            attempt.vm == vm and life in (attempt.source_incarnation, attempt.target_incarnation)
            for attempt in self._desk.scene.book.unclosed.values()
        )

    # ---- what agents say

    def reported(self, agent: Agent, report: VmReport) -> None:
        """An agent has this VM: stop what is not its own any more."""
        row = self._desk.scene.book.vms.get(report.vm)
        if row is not None and row.live and row.owner_incarnation == agent.incarnation:
            if report.epoch > row.epoch:
                self._desk.pen.put(RaiseEpoch(row.name, report.epoch))
            return
        if self._moves(report.vm, agent.incarnation):
            return
        if row is not None and report.epoch > row.epoch:
            self._desk.pen.put(RaiseEpoch(row.name, report.epoch))
        self.stop(agent, report.vm, report.epoch)

    def started(self, agent: Agent, said: VmStarted) -> bool:
        """Whether this is news: the VM came online where and as it should."""
        row = self._desk.scene.book.vms.get(said.vm)
        if row is None or row.owner_incarnation != agent.incarnation or row.epoch != said.epoch:
            return False
        known = agent.online.get(said.vm) == said.epoch
        agent.online[said.vm] = said.epoch
        self._start_next(agent, said.vm)
        return not known and said.vm in agent.asked

    def stopped(self, agent: Agent, said: VmStopped) -> None:
        report = agent.vms.get(said.vm)
        if report is not None and report.epoch <= said.epoch:
            del agent.vms[said.vm]
        part, reason = MACHINE, said.reason
        ill = self._watching.cause(said.vm, agent.incarnation, said.epoch)
        if ill is not None:
            part, reason = ill.part, ill.reason
        self._desk.pen.put(TakeStopped(said.vm, agent.incarnation, said.epoch, reason, part))
        self._start_next(agent, said.vm)
