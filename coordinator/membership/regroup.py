"""Regroup: from any pattern of broken links to members who all hear each other.

A view is of use only where every member hears every other. While links are broken one waits: first
for reports (opening), then for links to come back (pruning); then the others go. Time is given
from outside, and so is the rule of who may decide.
"""

import enum
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass

from protocol.names import Incarnation, NodeName

EXACT_MAX = 16
"""Up to so many members every fully connected subset is looked at."""

STEPS_MAX = 20_000
"""How many branches are followed where there are more members; the best subset so far counts."""


class Phase(enum.Enum):
    """How far a regroup is."""

    QUIET = "every member hears every other"
    OPENING = "a link is broken: reports of all others are awaited (ClusSvcRegroupOpeningTimeout)"
    PRUNING = "links may come back yet (ClusSvcRegroupPruningTimeout)"
    DONE = "who stays is fully connected, and the others go"
    STUCK = "no fully connected subset has a quorum: nobody goes"


@dataclass(frozen=True, slots=True)
class Peer:
    """A member, as far as the choice between subsets looks at it.

    `reported_at` is when it last said whom it hears; None while the coordinator does not hear it.
    """

    node: NodeName
    id: int
    votes: int
    reported_at: float | None
    has_witness: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """Who there is, and as a bit mask for each which of the others it has a link with."""

    peers: tuple[Peer, ...]
    links: tuple[int, ...]

    @property
    def all(self) -> int:
        return (1 << len(self.peers)) - 1

    @property
    def whole(self) -> bool:
        return all(mask | 1 << at == self.all for at, mask in enumerate(self.links))

    @property
    def agreed(self) -> bool:
        """The parts are fully connected and apart from each other: nobody sees both sides."""
        circles = [mask | 1 << at for at, mask in enumerate(self.links)]
        return all(circles[at] == mine for mine in circles for at in _bits(mine))

    def nodes(self, mask: int) -> frozenset[NodeName]:
        return frozenset(self.peers[at].node for at in _bits(mask))


Quorate = Callable[[Set[NodeName]], bool]
"""Whether these members, and those of them who are heard, may decide. More never decide less."""


class Regroup:
    """The machine. `advance` may be called as often as one likes; only time moves it on."""

    def __init__(self) -> None:
        self.phase = Phase.QUIET
        self.cut: frozenset[NodeName] = frozenset()
        """Who has to go, once done."""

        self.lives: dict[Incarnation, float] = {}
        """Since when each life is a member."""

        self.proven: set[Incarnation] = set()
        """Lives whom every other member was seen to hear once: only they are Up."""

        self._since = 0.0
        self._seen: tuple[frozenset[NodeName], tuple[int, ...]] | None = None
        self._seen_at = 0.0

    def advance(
        self, pattern: Pattern, quorate: Quorate, opening_s: float, pruning_s: float, now: float
    ) -> frozenset[NodeName]:
        """Who has to go by now: nobody while there is hope."""
        seen = (pattern.nodes(pattern.all), pattern.links)
        changed = seen != self._seen
        if changed:
            self._seen, self._seen_at = seen, now
        if pattern.whole:
            self._enter(Phase.QUIET, now)
        elif self.phase is Phase.QUIET or (changed and self.phase in (Phase.STUCK, Phase.DONE)):
            self._enter(Phase.OPENING, now)
        if self.phase is Phase.OPENING:
            if pattern.agreed and self._all_reported(pattern):
                self._prune(pattern, quorate, now)
            elif now - self._since >= opening_s:
                self._enter(Phase.PRUNING, now)
        if self.phase is Phase.PRUNING and now - self._since >= pruning_s:
            self._prune(pattern, quorate, now)
        return self.cut

    def is_proven(self, life: Incarnation) -> bool:
        """It has shown that its links are whole, or has no way to."""
        return life in self.proven or not self.lives or self.phase is Phase.STUCK

    def _all_reported(self, pattern: Pattern) -> bool:
        """Everybody who is heard has said the same as before, so no news is on its way."""
        told = [peer.reported_at for peer in pattern.peers if peer.reported_at is not None]
        return bool(told) and min(told) > self._seen_at

    def _prune(self, pattern: Pattern, quorate: Quorate, now: float) -> None:
        stays = largest(pattern, quorate)
        self._enter(Phase.STUCK if stays is None else Phase.DONE, now)
        if stays is not None:
            self.cut = pattern.nodes(pattern.all) - stays

    def _enter(self, phase: Phase, now: float) -> None:
        if phase is not self.phase:
            self._since = now
        self.phase, self.cut = phase, frozenset()


def largest(pattern: Pattern, quorate: Quorate) -> frozenset[NodeName] | None:
    """The fully connected subset that may decide and has the most votes; None if none may.

    Ties go to more members, to more who are heard, to the holder of the witness, then to the
    lowest node ids.
    """
    best: tuple[tuple[int, int, int, bool, tuple[int, ...]], int] | None = None
    for mask in _candidates(pattern):
        ranked = (_rank(pattern, mask), mask)
        if (best is None or ranked > best) and quorate(pattern.nodes(mask)):
            best = ranked
    return None if best is None else pattern.nodes(best[1])


def _rank(pattern: Pattern, mask: int) -> tuple[int, int, int, bool, tuple[int, ...]]:
    peers = [pattern.peers[at] for at in _bits(mask)]
    return (
        sum(peer.votes for peer in peers),
        len(peers),
        sum(peer.reported_at is not None for peer in peers),
        any(peer.has_witness for peer in peers),
        tuple(sorted(-peer.id for peer in peers))[::-1],
    )


def _candidates(pattern: Pattern) -> Iterator[int]:
    """All maximal cliques; with many members those that a bounded search and greed come by."""
    exact = len(pattern.peers) <= EXACT_MAX
    if not exact:
        yield from (_greedy(pattern, start) for start in range(len(pattern.peers)))
    for steps, mask in enumerate(maximal_cliques(pattern.links)):
        if mask is not None:
            yield mask
        if not exact and steps >= STEPS_MAX:
            return


def _greedy(pattern: Pattern, start: int) -> int:
    """From `start` always on to who has the most votes, then the most links to those left."""
    clique, left = 1 << start, pattern.links[start]
    while left:
        at = max(
            _bits(left),
            key=lambda at: (
                pattern.peers[at].votes,
                (pattern.links[at] & left).bit_count(),
                -pattern.peers[at].id,
            ),
        )
        clique |= 1 << at
        left &= pattern.links[at]
    return clique


def maximal_cliques(links: Sequence[int]) -> Iterator[int | None]:
    """Bron and Kerbosch with a pivot, over bit masks; None for each step that finds nothing yet."""
    stack = [(0, (1 << len(links)) - 1, 0)]
    while stack:
        clique, candidates, done = stack.pop()
        if not candidates:
            yield None if done or not clique else clique
            continue
        yield None
        pivot = max(_bits(candidates | done), key=lambda at: (links[at] & candidates).bit_count())
        for at in _bits(candidates & ~links[pivot]):
            near = links[at]
            stack.append((clique | 1 << at, candidates & near, done & near))
            candidates &= ~(1 << at)
            done |= 1 << at


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
