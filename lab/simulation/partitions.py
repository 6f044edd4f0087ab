"""Shapes of broken networks, as data: who does not hear whom, who does not reach the witness, and
where the coordinator lives.

The shapes of a size are made up to symmetry: nodes are alike but for their names, which break
ties, so each split comes with the low names and with the high names on the coordinator's side.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from protocol.names import QuorumMode, Timing

OWN_HOST = "c1"
"""Where the coordinator lives if it is not on a node."""

Pair = tuple[str, str]
"""A sender and a receiver who does not hear it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern of cuts between hosts, and the nodes that do not reach the witness."""

    name: str
    nodes: tuple[str, ...]
    cuts: frozenset[Pair]
    blind: frozenset[str] = frozenset()
    home: str = OWN_HOST
    one_network_only: bool = False
    """The cuts are on the first of two networks; on the other all hear each other."""

    flaps_s: float = 0.0
    """The cuts come and go: so long each; 0: they stay."""

    def is_joined(self, one: str, other: str) -> bool:
        """Both hear each other."""
        if one == other or self.one_network_only:
            return True
        return not {(one, other), (other, one)} & self.cuts

    def is_steady(self) -> bool:
        return not self.flaps_s


def names(count: int) -> tuple[str, ...]:
    return tuple(f"node{number}" for number in range(1, count + 1))


def apart(*groups: Iterable[str]) -> frozenset[Pair]:
    """Nobody hears anybody of another group."""
    lists = [list(group) for group in groups]
    return frozenset(
        pair
        for one, other in combinations(lists, 2)
        for here in one
        for there in other
        for pair in ((here, there), (there, here))
    )


def one_way(senders: Iterable[str], receivers: Iterable[str]) -> frozenset[Pair]:
    """`receivers` do not hear `senders`, who hear them."""
    to = list(receivers)
    return frozenset((sender, receiver) for sender in senders for receiver in to)


# ---- the shapes


def splits(nodes: Sequence[str]) -> Iterator[Shape]:
    """Two sides of every size; the coordinator is on one of them, on a host of its own or not."""
    for count in range(len(nodes)):
        for word, ours in (("low", nodes[:count]), ("high", nodes[len(nodes) - count :])):
            if not ours and word == "high":
                continue
            others = [node for node in nodes if node not in ours]
            name = f"{count} of {len(nodes)}, {word} names, with the coordinator"
            cuts = apart([OWN_HOST, *ours], others)
            yield Shape(name, tuple(nodes), cuts)
            if ours:
                at_home = f"{name} on {ours[-1]}"
                yield Shape(at_home, tuple(nodes), apart(ours, others), home=ours[-1])


def thirds(nodes: Sequence[str]) -> Iterator[Shape]:
    size = len(nodes) // 3
    first, second, rest = nodes[:size], nodes[size : 2 * size], nodes[2 * size :]
    for word, with_us in (("a small", first), ("the big", rest)):
        groups = [[*g, OWN_HOST] if g is with_us else list(g) for g in (first, second, rest)]
        yield Shape(f"thirds, the coordinator in {word} one", tuple(nodes), apart(*groups))


def bridges(nodes: Sequence[str]) -> Iterator[Shape]:
    """Two sides that do not hear each other, and one node that hears both."""
    half = (len(nodes) - 1) // 2
    left, bridge, right = nodes[:half], nodes[half], nodes[half + 1 :]
    for home, word in (
        (OWN_HOST, "hears all"),
        (bridge, "is on the bridge"),
        (left[0], "is on the left"),
        (right[-1], "is on the right"),
    ):
        yield Shape(
            f"bridge {bridge}, the coordinator {word}",
            tuple(nodes),
            apart(left, right),
            home=home,
        )


def rings(nodes: Sequence[str]) -> Iterator[Shape]:
    """Each node hears its neighbours on a ring only: a majority, and each another one."""
    count = len(nodes)
    reach = -(-(count // 2) // 2)
    cuts = frozenset(
        (nodes[i], nodes[j])
        for i in range(count)
        for j in range(count)
        if min((i - j) % count, (j - i) % count) > reach
    )
    if cuts:
        yield Shape("majorities ring, the coordinator hears all", tuple(nodes), cuts)
        yield Shape("majorities ring, the coordinator on node1", tuple(nodes), cuts, home=nodes[0])


def one_ways(nodes: Sequence[str]) -> Iterator[Shape]:
    every = [*nodes, OWN_HOST]
    for node in (nodes[0], nodes[-1]):
        others = [host for host in every if host != node]
        yield Shape(f"{node} is deaf", tuple(nodes), one_way(others, [node]))
        yield Shape(f"{node} is mute", tuple(nodes), one_way([node], others))
    half = len(nodes) // 2
    low, high = nodes[:half], nodes[half:]
    for word, senders, receivers in (("low", low, high), ("high", high, low)):
        deaf = one_way(senders, [*receivers, OWN_HOST])
        yield Shape(f"nobody else hears the {word} names", tuple(nodes), deaf)
    yield Shape("nobody hears the coordinator", tuple(nodes), one_way([OWN_HOST], nodes))
    yield Shape("the coordinator hears nobody", tuple(nodes), one_way(nodes, [OWN_HOST]))
    yield Shape("two lose each other", tuple(nodes), apart([nodes[0]], [nodes[-1]]), home=OWN_HOST)


def flappings(nodes: Sequence[str], timing: Timing) -> Iterator[Shape]:
    """Cuts that come and go, a little below and above what makes a route down."""
    others = [*nodes[:-1], OWN_HOST]
    for share in (0.8, 1.2):
        yield Shape(
            f"{nodes[-1]} comes and goes every {share:g} leases",
            tuple(nodes),
            apart([nodes[-1]], others),
            flaps_s=share * timing.support_s,
        )


def shapes(count: int, mode: QuorumMode, timing: Timing) -> Iterator[Shape]:
    """Every shape for so many nodes; where there is a witness, seen by all, one side, or none."""
    nodes = names(count)
    for shape in splits(nodes):
        yield from _sights(shape, mode)
    for shape in (*thirds(nodes), *bridges(nodes)):
        yield from _sights(shape, mode)
    yield from rings(nodes)
    yield from one_ways(nodes)
    yield from flappings(nodes, timing)
    half = apart([OWN_HOST, *nodes[: count // 2]], nodes[count // 2 :])
    yield Shape("halves on one network of two", nodes, half, one_network_only=True)
    if mode is not QuorumMode.NODE_MAJORITY:
        whole = Shape("nothing is cut", nodes, frozenset())
        yield replace(whole, name="nobody reaches the witness", blind=frozenset(nodes))
        for node in (nodes[0], nodes[-1]):
            only = f"only {node} reaches the witness"
            yield replace(whole, name=only, blind=frozenset(nodes) - {node})


def _sights(shape: Shape, mode: QuorumMode) -> Iterator[Shape]:
    yield shape
    if mode is QuorumMode.NODE_MAJORITY:
        return
    ours = frozenset(node for node in shape.nodes if shape.is_joined(node, shape.home))
    theirs = frozenset(shape.nodes) - ours
    for word, blind in (
        ("only the coordinator's side sees the witness", theirs),
        ("only the other side sees the witness", ours),
        ("nobody sees the witness", ours | theirs),
    ):
        if ours and theirs:
            yield replace(shape, name=f"{shape.name}; {word}", blind=blind)


# ---- what ought to come of it, the obvious way


@dataclass(frozen=True, slots=True)
class Promise:
    """`side`: all VMs must come to run on these nodes, exactly once; empty: nobody says where.

    `may_run`: nodes outside of it must not run anything once their leases have ended.
    """

    sides: tuple[frozenset[str], ...]
    may_run: frozenset[str]


def promise(shape: Shape, mode: QuorumMode, holder: str) -> Promise:
    """Who has the votes, counted by hand from the cuts. `holder` held the witness before them."""
    nodes = shape.nodes
    has_witness = mode is not QuorumMode.NODE_MAJORITY
    each = 0 if mode is QuorumMode.DISK_ONLY else 1
    total = each * len(nodes) + has_witness

    def friends(node: str) -> frozenset[str]:
        return frozenset(other for other in nodes if shape.is_joined(node, other))

    def enough(voters: Iterable[str], with_witness: bool) -> bool:
        return 2 * (each * len(set(voters)) + with_witness) > total

    keeps = has_witness and holder not in shape.blind and enough(friends(holder), True)
    """The holder's own side can use the witness, so it stays there."""

    def may_have(voters: frozenset[str]) -> bool:
        if not has_witness:
            return False
        return holder in voters if keeps else bool(voters - shape.blind)

    may_run = frozenset(node for node in nodes if enough(friends(node), may_have(friends(node))))
    strong = [
        side
        for side in _cliques(shape)
        if all(shape.is_joined(node, shape.home) for node in side) and enough(side, may_have(side))
    ]
    # Who needs a witness that nobody keeps may come too late: the first one wins.
    rivals = [
        side
        for side in _cliques(shape)
        if side - shape.blind and enough(side, True) and side not in strong
    ]
    is_contested = has_witness and not keeps and bool(rivals)
    sides = [side for side in strong if enough(side, False) or not is_contested]
    return Promise(tuple(sides), may_run)


def _cliques(shape: Shape) -> list[frozenset[str]]:
    """The largest sets of nodes that all hear each other; the obvious slow way."""
    found: list[frozenset[str]] = []
    for count in range(len(shape.nodes), 0, -1):
        for chosen in combinations(shape.nodes, count):
            side = frozenset(chosen)
            if all(shape.is_joined(one, other) for one, other in combinations(chosen, 2)) and not (
                any(side < larger for larger in found)
            ):
                found.append(side)
    return found


def is_whole(shape: Shape, side: Iterable[str]) -> bool:
    """All of `side` hear each other."""
    return all(shape.is_joined(one, other) for one, other in combinations(list(side), 2))


# ---- how long it may take


def needs_pruning(shape: Shape) -> bool:
    """Some hear others who do not hear each other: a regroup has to choose."""
    return sum(len(side) for side in _cliques(shape)) > len(shape.nodes)


def failover_max_s(
    timing: Timing, nodes: int, mode: QuorumMode, with_pruning: bool = False
) -> float:
    """The sum of the design: detection, a lease without votes, promises that run out, regroup,
    arbitration where there is a witness, and the start.
    """
    detection = timing.support_s + timing.delay_s
    helpless = timing.support_s + timing.delay_s
    regroup = 3 * timing.delay_s + (PRUNING_MAX_S if with_pruning else 0.0)
    anew = 2 * timing.delay_s + REDIAL_MAX_S
    arbitration = 0.0
    if mode is not QuorumMode.NODE_MAJORITY:
        drift = (1 + timing.drift_rate) / (1 - timing.drift_rate)
        arbitration = timing.witness_hold_s * drift + nodes * timing.delay_s + ANSWER_MAX_S
        arbitration += timing.outlast_s
    return detection + helpless + timing.outlast_s + regroup + anew + arbitration + START_MAX_S


def heal_max_s(timing: Timing, nodes: int, mode: QuorumMode) -> float:
    """Two detections and a return: a new life waits for the promises of the one before, is taken
    in, and what is to run starts.
    """
    detection = timing.support_s + timing.delay_s
    rejoin = REDIAL_MAX_S + timing.outlast_s + 3 * timing.delay_s
    return 2 * detection + rejoin + failover_max_s(timing, nodes, mode)


PRUNING_MAX_S = 10.0
"""The opening and the pruning time of a regroup, as they are by default."""

REDIAL_MAX_S = 6.0
"""An agent tries two coordinators on one network after the other, two seconds each."""

ANSWER_MAX_S = 4.0
"""Two requests to a witness that does not answer."""

START_MAX_S = 3.0
"""Memory is made, a worker starts, and the first tries may meet a node that is on its way out."""
