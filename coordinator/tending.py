"""Keeps each VM on its way to what its row wants, whatever was lost on the way there."""

from coordinator.desk import Desk
from coordinator.membership import Agent
from coordinator.ownership import FailOver, Give, RaiseEpoch, TakeStopped
from coordinator.rows import VmRow
from protocol.messages import StartVm, StopVm, VmReport, VmStarted, VmStopped
from protocol.names import Epoch, Incarnation, VmName

ASK_AGAIN_S = 2.0
"""How long a node may take to show that it was told to start a VM."""


class Tending:
    """Compares rows with reports. It repeats orders, which agents take once, and enters plans."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def all(self) -> None:
        for row in list(self._desk.scene.book.vms.values()):
            self.tend(row)

    def named(self, vm: VmName) -> None:
        row = self._desk.scene.book.vms.get(vm)
        if row is not None:
            self.tend(row)

    def tend(self, row: VmRow) -> None:
        scene, pen = self._desk.scene, self._desk.pen
        if not row.live:
            if row.on and not row.failed:
                pen.put(Give(row.name))
            return
        life = row.owner_incarnation
        assert life is not None, "a live VM has an owner"
        if not scene.in_held_view(row.owner, life):
            pen.put(FailOver(row.name, life))
            return
        agent = scene.agents.living(row.owner, life)
        if agent is None or self._moves(row.name, life):
            return
        if not row.on:
            self.stop(agent, row.name, row.epoch)
        elif not agent.has(row.name, row.epoch) and self._may_ask(agent, row):
            self._start(agent, row)

    def _may_ask(self, agent: Agent, row: VmRow) -> bool:
        asked = agent.asked.get(row.name)
        if asked is None or asked[0] != row.epoch:
            return True
        return self._desk.scene.now - asked[1] >= ASK_AGAIN_S

    def _start(self, agent: Agent, row: VmRow) -> None:
        scene = self._desk.scene
        agent.asked[row.name] = (row.epoch, scene.now)
        message = StartVm(
            self._desk.cluster, scene.term, agent.incarnation, row.name, row.epoch, row.spec
        )
        self._desk.send(agent, message)

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
        return not known and said.vm in agent.asked

    def stopped(self, agent: Agent, said: VmStopped) -> None:
        report = agent.vms.get(said.vm)
        if report is not None and report.epoch <= said.epoch:
            del agent.vms[said.vm]
        plan = TakeStopped(said.vm, agent.incarnation, said.epoch, said.reason)
        self._desk.pen.put(plan)
