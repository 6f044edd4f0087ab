"""How an agent is let in: welcomed, turned away, and its VMs held against the rows."""

from collections.abc import Iterable

from coordinator.actions import Send
from coordinator.desk import Desk, Tell
from coordinator.events import LinkId
from coordinator.groups.tending import Tending
from coordinator.leadership import doorstep
from coordinator.membership.agents import Agent
from coordinator.migration.conduct import Conductor
from coordinator.shown import chronicle
from coordinator.storage.disk_watch import DiskWatch
from coordinator.written import Aftermath
from protocol.messages import (
    Consented,
    Ended,
    FromAgent,
    GaveUp,
    Hello,
    MoveReport,
    Ping,
    Progress,
    Reserved,
    StorageReport,
    ViewAcked,
    VmReport,
    VmStarted,
    VmStopped,
    Welcome,
    WritesForecast,
)
from protocol.names import ViewNumber


class Reception:
    """What a leader, or one on the way to it, does with who says Hello."""

    def __init__(
        self,
        desk: Desk,
        tending: Tending,
        conductor: Conductor,
        aftermath: Aftermath,
        storage: DiskWatch,
    ) -> None:
        self._desk = desk
        self._storage = storage
        self._tending = tending
        self._conductor = conductor
        self._aftermath = aftermath

    def why_turned_away(self, hello: Hello, leads: bool) -> str:
        """Before it leads it has not the rows that most reasons come from."""
        if leads:
            return doorstep.why_turned_away(self._desk.scene, hello)
        return doorstep.why_unreachable(hello)

    def greet(self, agent: Agent) -> None:
        """Welcome an agent of this cluster, turn away one of another, leave the others be."""
        desk, scene, hello = self._desk, self._desk.scene, agent.hello
        cluster = scene.book.cluster
        if reason := doorstep.why_turned_away(scene, hello):
            self.turn_away(agent.link, hello, reason)
        elif cluster is not None and doorstep.belongs(scene, hello):
            agent.welcomed = True
            agent.acked = agent.acked_with_witness = ViewNumber(0)
            desk.send(agent, Welcome(cluster.id, scene.term, agent.incarnation, cluster.timing))
            self._aftermath.propose_to(agent)
            self._conductor.returned(agent)
            for report in hello.vms:
                self._tending.reported(agent, report)

    def turn_away(self, link: LinkId, hello: Hello, reason: str) -> None:
        self._desk.out.append(Send(link, doorstep.turned_away(self._desk.scene, hello, reason)))
        self._desk.hang_up(link, reason)

    def reported(self, agent: Agent, reports: Iterable[VmReport]) -> None:
        """Only what differs from the rows is worth a look."""
        vms = self._desk.scene.book.vms
        for report in reports:
            row = vms.get(report.vm)
            if (
                row is None
                or row.epoch != report.epoch
                or row.owner_incarnation != agent.incarnation
                or not row.live
            ):
                self._tending.reported(agent, report)

    def ping(self, seq: int) -> None:
        """Ask all whether they are still this leader's; who has not the newest view is shown it."""
        desk, scene = self._desk, self._desk.scene
        ping, row = Ping(desk.cluster, scene.term, seq), scene.book.view
        for agent in scene.agents:
            if not agent.welcomed:
                continue
            desk.send(agent, ping)
            if row is not None and agent.acked < row.view.number:
                self._aftermath.propose_to(agent)

    def told(self, agent: Agent, message: FromAgent) -> None:
        """What a welcomed agent says to the leader of its own accord, or as an answer."""
        match message:
            case ViewAcked():
                if message.term == self._desk.scene.term:
                    agent.acked = max(agent.acked, message.view)
                    if message.with_witness:
                        agent.acked_with_witness = max(agent.acked_with_witness, message.view)
                    self._desk.look = True
            case VmStarted():
                if self._tending.started(agent, message):
                    note = chronicle.group_online(message.vm, agent.node, message.epoch)
                    self._desk.pen.put(Tell((note,)))
            case VmStopped():
                self._tending.stopped(agent, message)
            case Reserved() | Progress() | Consented() | GaveUp() | Ended():
                self._conductor.said(agent, message)
            case WritesForecast():
                self._conductor.sampled(agent, message)
            case _ if isinstance(message, StorageReport):
                self._storage.told(agent, message)
            case _ if isinstance(message, MoveReport):
                self._storage.moved(agent, message)
