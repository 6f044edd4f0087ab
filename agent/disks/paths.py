"""The paths of one node to a target: one session for each portal, and which of them to use.

A path that broke may have left commands at the target that nobody answered. They are *unsettled*
until a login under the same name and ISID (over this portal, or over another one of its portal
group) has taken the place of the old session, which ends what it had under way (RFC 7143, 6.3.5).
Only then may a write be repeated: else the old one could still arrive, and undo a newer one.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 2.0


@dataclass(frozen=True, slots=True)
class Down:
    """Nothing goes over it; it is tried again at `retry_at`."""

    reason: str
    retry_at: float
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Connecting:
    """It is being tried."""

    tries: int


@dataclass(frozen=True, slots=True)
class Up:
    """Commands go over it, and the target says to which portal group it belongs."""

    group: int | None


PathState: TypeAlias = Down | Connecting | Up


@dataclass(slots=True)
class Paths:
    """All paths to one target by their numbers."""

    states: list[PathState]
    unsettled: set[int] = field(default_factory=set)
    """Paths whose last session may still live at the target."""

    groups: dict[int, int] = field(default_factory=dict)
    """The portal group that each path had last."""

    _turn: int = 0

    @classmethod
    def of(cls, count: int) -> "Paths":
        return cls([Down("it was not tried yet", 0.0) for _ in range(count)])

    def due(self, now: float) -> list[int]:
        """Paths to try now."""
        return [
            path
            for path, state in enumerate(self.states)
            if isinstance(state, Down) and state.retry_at <= now
        ]

    def next_at(self) -> float | None:
        """When the next one is due."""
        return min((s.retry_at for s in self.states if isinstance(s, Down)), default=None)

    def try_now(self, path: int) -> None:
        state = self.states[path]
        assert isinstance(state, Down), state
        self.states[path] = Connecting(state.tries + 1)

    def came_up(self, path: int, group: int | None) -> None:
        """Logged in: whatever the path's former session had under way has ended."""
        self.states[path] = Up(group)
        self.unsettled.discard(path)
        if group is not None:
            self.groups[path] = group

    def lost(self, path: int, reason: str, now: float, unanswered: bool = False) -> None:
        """It broke, or the try failed. `unanswered`: commands may still be at the target."""
        state = self.states[path]
        tries = state.tries if isinstance(state, Connecting) else 0
        wait_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(tries - 1, 10)) if tries else 0.02
        self.states[path] = Down(reason, now + wait_s, tries)
        if unanswered:
            self.unsettled.add(path)

    def settled(self, path: int) -> None:
        """A login over another path has taken the place of this one's session."""
        self.unsettled.discard(path)

    def settling(self) -> tuple[int, int] | None:
        """A broken path that could not be rebuilt at once, and one over which to end its session:
        both belong to the same portal group.
        """
        for path in sorted(self.unsettled):
            state, group = self.states[path], self.groups.get(path)
            if isinstance(state, Up) or state.tries == 0 or group is None:
                continue
            for other, there in enumerate(self.states):
                if isinstance(there, Up) and there.group == group:
                    return path, other
        return None

    @property
    def up(self) -> list[int]:
        return [path for path, state in enumerate(self.states) if isinstance(state, Up)]

    @property
    def reasons(self) -> dict[int, str]:
        """Why each path that is down is down."""
        return {
            path: state.reason for path, state in enumerate(self.states) if isinstance(state, Down)
        }

    def for_read(self, fit: Iterable[int]) -> int | None:
        """In turns over all paths that fit, since each brings its own share of the network."""
        paths = [path for path in fit if isinstance(self.states[path], Up)]
        if not paths:
            return None
        self._turn += 1
        return paths[self._turn % len(paths)]

    def for_write(self, fit: Container[int]) -> int | None:
        """The first that fits: one path keeps the order of a stream of writes."""
        for path, state in enumerate(self.states):
            if isinstance(state, Up) and path in fit:
                return path
        return None
