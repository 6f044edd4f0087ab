"""Turns changes of networks, interfaces and control links into events, flapping damped."""

from collections.abc import Iterator, Mapping

from coordinator.desk import Desk, Tell
from coordinator.networks.interfaces import Condition, InterfaceState, NetworkState
from coordinator.networks.network_plans import Readdress, readdressed
from coordinator.networks.networks import conditions
from coordinator.networks.steady import Change, Steady
from coordinator.scene import Scene
from coordinator.shown import chronicle_networks as chronicle
from coordinator.shown.chronicle import Note
from protocol.names import Incarnation, NetworkName, NodeName, Term

NOTES_MAX = 50
"""In one transaction, which has room for not many more rows."""

OfInterface = tuple[NetworkName, NodeName]
OfLife = tuple[NodeName, Incarnation]


class NetworkWatch:
    """Looks once in a while. Up is as if told, so a new leader tells of every fault there is."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._term = Term(0)
        self._networks: Steady[NetworkName, NetworkState] = Steady(NetworkState.UP)
        self._interfaces: Steady[OfInterface, InterfaceState] = Steady(InterfaceState.UP)
        self._links: Steady[OfLife, bool] = Steady(True)
        self._lost_at: dict[OfLife, float] = {}

    def tick(self) -> None:
        """Comes with every heartbeat of the leader, and only while it leads."""
        scene = self._desk.scene
        if scene.term != self._term:
            self._term = scene.term
            for steady in (self._networks, self._interfaces, self._links):
                steady.begin()
        notes = (*self._of_networks(conditions(scene)), *self._of_links())
        for first in range(0, len(notes), NOTES_MAX):
            self._desk.pen.put(Tell(notes[first : first + NOTES_MAX]))
        if readdressed(scene) is not None:
            self._desk.pen.put(Readdress())

    def _of_networks(self, now: Mapping[NetworkName, Condition]) -> Iterator[Note]:
        """What has lasted as long as it takes to miss a node is no flapping."""
        scene = self._desk.scene
        lasting_s = scene.book.timing.support_s
        interfaces = {
            (network, node): state
            for network, condition in now.items()
            for node, state in condition.interfaces.items()
        }
        networks = {network: condition.network for network, condition in now.items()}
        for one in self._interfaces.look(interfaces, lasting_s, scene.now):
            note = chronicle.interface_is(*one.key, one.now)
            came_back = one.before is InterfaceState.UNAVAILABLE and one.now is InterfaceState.UP
            if note is not None and not came_back:
                yield note
        for net in self._networks.look(networks, lasting_s, scene.now):
            note = chronicle.network_is(net.key, net.now)
            came_back = net.before is NetworkState.UNAVAILABLE and net.now is NetworkState.UP
            if note is not None and not came_back:
                yield note

    def _of_links(self) -> Iterator[Note]:
        scene = self._desk.scene
        for change in self._links.look(_linked(scene), scene.book.timing.support_s, scene.now):
            yield from self._of_link(change)

    def _of_link(self, change: Change[OfLife, bool]) -> Iterator[Note]:
        if not change.now:
            self._lost_at[change.key] = change.since
        elif change.key in self._lost_at:
            node, incarnation = change.key
            seconds = change.since - self._lost_at.pop(change.key)
            yield chronicle.contact_regained(node, incarnation, seconds)


def _linked(scene: Scene) -> dict[OfLife, bool]:
    """Of each member, whether its control link stands."""
    members = () if scene.held is None else scene.held.members
    return {
        (m.node, m.incarnation): scene.agents.living(m.node, m.incarnation) is not None
        for m in members
    }
