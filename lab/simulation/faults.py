"""The faults of the simulation: what each does, how it heals, and how one knows that it took
effect.

A fault that changed nothing is not counted: a cut must have held something up, a frozen process
must have missed something, a killed one must have lived.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from coordinator.requests import Accepted, CancelAttempt, JoinNode, Response
from lab.simulation.cluster import SimCluster
from lab.simulation.net import Way
from lab.simulation.node_faults import (
    Freeze,
    KillAgent,
    KillFrozen,
    LoseState,
    LoseWorker,
    StorageFails,
)
from lab.simulation.vote_faults import (
    SlyWitness,
    WitnessDown,
    evict,
    new_quorum,
    new_weight,
    stop_node,
    witness_of,
)
from lab.simulation.witness import way_to
from protocol.names import AttemptId, NodeName

JOIN_AGAIN_S = 2.0


class Fault(Protocol):
    """One thing that breaks and heals. `begin` says whether it could be done at all."""

    def begin(self) -> bool: ...

    def end(self) -> None: ...

    def took_effect(self) -> bool: ...


@dataclass(slots=True)
class Cut:
    """Nothing passes on some ways of the network."""

    cluster: SimCluster
    ways: tuple[Way, ...]
    before: int = 0

    def begin(self) -> bool:
        self.before = self._lost()
        for way in self.ways:
            self.cluster.net.cut(way)
        return bool(self.ways)

    def end(self) -> None:
        for way in self.ways:
            self.cluster.net.heal(way)

    def took_effect(self) -> bool:
        return self._lost() > self.before

    def _lost(self) -> int:
        return sum(self.cluster.net.lost[way] for way in self.ways)


@dataclass(slots=True)
class KillCoordinator:
    """SIGKILL of whoever leads, and a restart."""

    cluster: SimCluster
    name: str = ""

    def begin(self) -> bool:
        place = self.cluster.coordinators[self.cluster.leader]
        if place.process is None or place.process.frozen:
            return False
        self.name = place.name
        place.kill()
        return True

    def end(self) -> None:
        self.cluster.start_a_coordinator(self.name)

    def took_effect(self) -> bool:
        return bool(self.name)


@dataclass(slots=True)
class PauseCoordinator:
    """SIGSTOP of whoever leads; with `rival`, another one leads meanwhile."""

    cluster: SimCluster
    rival: bool
    name: str = ""
    before: int = 0

    def begin(self) -> bool:
        place = self.cluster.coordinators[self.cluster.leader]
        if place.process is None or place.process.frozen:
            return False
        self.name, self.before = place.name, self.cluster.held_up[place.name]
        place.freeze()
        if self.rival:
            self.cluster.coordinators[other_than(self.name)].start()
        return True

    def end(self) -> None:
        self.cluster.coordinators[self.name].thaw()

    def took_effect(self) -> bool:
        return self.cluster.held_up[self.name] > self.before


@dataclass(slots=True)
class Rival:
    """A second coordinator starts while the first one leads."""

    cluster: SimCluster
    name: str = ""
    term: int = 0

    def begin(self) -> bool:
        self.name = other_than(self.cluster.leader)
        place = self.cluster.coordinators[self.name]
        if place.process is not None:
            return False
        self.term = self.cluster.truth.term
        place.start()
        return True

    def end(self) -> None:
        """The operators keep the one that leads."""

    def took_effect(self) -> bool:
        return self.cluster.truth.term > self.term


@dataclass(slots=True)
class StoreOutage:
    """No request of the leader gets to the store, or no answer back."""

    cluster: SimCluster
    name: str = ""
    before: int = 0

    def begin(self) -> bool:
        self.name = self.cluster.leader
        self.before = self._said_nothing()
        self.cluster.coordinators[self.name].store.begin_outage()
        return True

    def end(self) -> None:
        self.cluster.coordinators[self.name].store.end_outage()

    def took_effect(self) -> bool:
        return self._said_nothing() > self.before

    def _said_nothing(self) -> int:
        fates = self.cluster.coordinators[self.name].store.fates
        return sum(count for fate, count in fates.items() if fate.name != "ANSWERED")


@dataclass(slots=True)
class SlyStore:
    """Requests get lost, answers get lost, deeds come late: the leader does not know what became of
    half of them.
    """

    cluster: SimCluster
    name: str = ""
    before: int = 0

    def begin(self) -> bool:
        self.name = self.cluster.leader
        store = self.cluster.coordinators[self.name].store
        self.before = self._said_nothing()
        store.trouble = replace(
            store.trouble, answer_lost=0.2, request_lost=0.1, request_late=0.2, delay_s=(0.01, 0.5)
        )
        return True

    def end(self) -> None:
        self.cluster.coordinators[self.name].store.trouble = self.cluster.setting.trouble

    def took_effect(self) -> bool:
        return self._said_nothing() > self.before

    def _said_nothing(self) -> int:
        fates = self.cluster.coordinators[self.name].store.fates
        return sum(count for fate, count in fates.items() if fate.name != "ANSWERED")


@dataclass(slots=True)
class Storm:
    """Datagrams get lost, come late and come twice."""

    cluster: SimCluster
    before: int = 0

    def begin(self) -> bool:
        self.before = self.cluster.net.disturbed.total()
        self.cluster.net.weather = replace(
            self.cluster.setting.weather, loss=0.1, late=0.25, duplicates=0.25, late_s=5.0
        )
        return True

    def end(self) -> None:
        self.cluster.net.weather = self.cluster.setting.weather

    def took_effect(self) -> bool:
        return self.cluster.net.disturbed.total() > self.before + 5


@dataclass(slots=True)
class Join:
    """No fault, but a change when least expected: a spare node joins, and the votes change."""

    cluster: SimCluster
    node: NodeName | None = None
    is_over: bool = False

    def begin(self) -> bool:
        spares = self.cluster.unjoined()
        if not spares:
            return False
        self.node = spares[0]
        self._ask()
        return True

    def _ask(self) -> None:
        """Again until it is done: the membership may be changing just then."""
        if self.node in self.cluster.unjoined() and not self.is_over:
            self.cluster.ask(JoinNode(self.node))
            self.cluster.world.after(JOIN_AGAIN_S, self._ask)

    def end(self) -> None:
        """Whoever has joined stays."""
        self.is_over = True

    def took_effect(self) -> bool:
        return self.node is not None and self.node not in self.cluster.unjoined()


@dataclass(slots=True)
class CancelMigration:
    """Somebody cancels the attempt."""

    cluster: SimCluster
    attempt: AttemptId
    accepted: bool = False

    def begin(self) -> bool:
        return self.cluster.ask(CancelAttempt(self.attempt), self._answered)

    def _answered(self, response: Response) -> None:
        self.accepted = isinstance(response, Accepted)

    def end(self) -> None:
        """It is done at once, or not at all."""

    def took_effect(self) -> bool:
        return self.accepted


def other_than(coordinator: str) -> str:
    return "c2" if coordinator == "c1" else "c1"


def ways_of(
    cluster: SimCluster, senders: Iterable[str], receivers: Iterable[str]
) -> tuple[Way, ...]:
    """Every way from one of `senders` to one of `receivers`, on all networks."""
    to = tuple(receivers)
    return tuple(
        (network, sender, receiver)
        for network in cluster.networks
        for sender in senders
        for receiver in to
        if sender != receiver
    )


def cut_off(cluster: SimCluster, node: NodeName) -> Cut:
    """The node hears nobody and nobody hears it."""
    others = cluster.hosts
    return Cut(cluster, (*ways_of(cluster, [node], others), *ways_of(cluster, others, [node])))


def cut_between(cluster: SimCluster, one: str, other: str) -> Cut:
    return Cut(cluster, (*ways_of(cluster, [one], [other]), *ways_of(cluster, [other], [one])))


def mute(cluster: SimCluster, node: NodeName) -> Cut:
    """The node hears everybody, and nobody hears it."""
    return Cut(cluster, ways_of(cluster, [node], cluster.hosts))


def deafen(cluster: SimCluster, node: NodeName) -> Cut:
    """Everybody hears the node, and it hears nobody."""
    return Cut(cluster, ways_of(cluster, cluster.hosts, [node]))


def cut_from_coordinators(cluster: SimCluster, node: NodeName) -> Cut:
    homes = cluster.setting.homes
    return Cut(cluster, (*ways_of(cluster, [node], homes), *ways_of(cluster, homes, [node])))


def cut_witness(cluster: SimCluster, node: NodeName) -> Cut:
    """The node does not reach the witness, which others may."""
    return Cut(cluster, (way_to(node),) if witness_of(cluster) is not None else ())


NODE_FAULTS: dict[str, Callable[[SimCluster, NodeName], Fault]] = {
    "kill agent": KillAgent,
    "freeze agent": lambda cluster, node: Freeze(cluster, node, with_workers=False),
    "freeze node": lambda cluster, node: Freeze(cluster, node, with_workers=True),
    "kill frozen": lambda cluster, node: KillFrozen(cluster, node, with_workers=False),
    "orphans sleep": lambda cluster, node: KillFrozen(cluster, node, with_workers=True),
    "lose state": LoseState,
    "lose worker": LoseWorker,
    "cut off": cut_off,
    "mute": mute,
    "deafen": deafen,
    "cut control": cut_from_coordinators,
    "storage fails": StorageFails,
    "cut witness": cut_witness,
    "evict": evict,
    "stop node": stop_node,
}
"""Faults of one node."""

LAB_FAULTS: dict[str, Callable[[SimCluster], Fault]] = {
    "kill leader": KillCoordinator,
    "pause leader": lambda cluster: PauseCoordinator(cluster, rival=False),
    "pause, rival": lambda cluster: PauseCoordinator(cluster, rival=True),
    "rival": Rival,
    "store outage": StoreOutage,
    "sly store": SlyStore,
    "storm": Storm,
    "join": Join,
    "witness down": WitnessDown,
    "sly witness": SlyWitness,
    "new quorum": new_quorum,
    "new weight": new_weight,
}
"""Faults of what all share."""

ATTEMPT_FAULTS = ("cut pair", "cancel")
"""Faults that need a migration to hurt."""

FAULTS = (*NODE_FAULTS, *LAB_FAULTS, *ATTEMPT_FAULTS)
