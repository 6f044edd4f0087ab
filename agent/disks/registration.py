"""One node's registration with one disk: which paths carry it, and when it is lost for good.

A node registers the same key on every path, and on a path that comes up later. A session that was
rebuilt is mostly the same nexus for the target, which then still knows it; this is asked by
registering the key *in place of itself*, which no unregistered nexus can. Only a nexus that the
target does not know registers anew, and only while the key is still there through others: a key
that was registered and is gone was preempted, and then this life of the node never comes back.
"""

import enum
from collections.abc import Collection
from dataclasses import dataclass, field

from agent.disks.tasks import Verdict


@dataclass(slots=True)
class Registration:
    """What holds for one disk."""

    key: int = 0
    """0: none is wanted."""

    lost: str = ""
    """Why the key was taken away."""

    count: int = 0
    """Registrations made in this life on all paths; it only grows."""

    admitted: int = 0
    numbers: dict[int, int] = field(default_factory=dict)
    """The number that its registration has, for each path that has one."""

    was_made: bool = False
    """Whether any path was ever registered under this key."""

    former: list[int] = field(default_factory=list)
    """Keys that were given up, under which the target may still know a nexus."""

    def use(self, key: int) -> bool:
        """Whether there is something to do: a lost registration stays lost."""
        assert key, "a key of 0 is none"
        if self.lost or key == self.key or key in self.former:
            return False
        self._drop_key()
        self.key = key
        return True

    def let_go(self) -> None:
        """Given up by the node itself; the key is never used again."""
        self._drop_key()
        self.key = 0

    def admit(self, count: int) -> None:
        """Guests' I/O may go where the registration's number is among the first `count`."""
        self.admitted = max(self.admitted, count)

    def lose(self, reason: str) -> bool:
        """Whether this is news."""
        if self.lost or not self.key:
            return False
        self.lost = reason
        self.numbers.clear()
        return True

    def may_write(self, path: int) -> bool:
        return not self.lost and 0 < self.numbers.get(path, 0) <= self.admitted

    def covers(self, paths: Collection[int]) -> bool:
        """Whether all these paths are registered, and there is one."""
        return bool(paths) and all(path in self.numbers for path in paths)

    def made(self, path: int) -> None:
        self.count += 1
        self.was_made = True
        self.numbers[path] = self.count

    def _drop_key(self) -> None:
        if self.key:
            self.former.append(self.key)
        self.was_made = False
        self.numbers.clear()


class Step(enum.Enum):
    """What to ask the target next, to have one path registered."""

    COLLECT = "TEST UNIT READY, until it has nothing more to tell of the past"
    READ_KEYS = "READ KEYS"
    CONFIRM = "REGISTER the key in place of itself"
    REGISTER = "REGISTER the key where there was none"
    REPLACE = "REGISTER the key in place of a former one"
    DONE = "it is registered"
    LOST = "the key was taken away, or somebody else's is there"


COLLECTIONS_MAX = 16
ROUNDS_MAX = 4
"""A former key may be fenced between two questions; then the nexus, which was known by it, is free,
and what was refused before is granted now.
"""


class Enrolment:
    """Brings one path under the key; `ended` takes how the step ended, and finds the next."""

    def __init__(self, registration: Registration, path: int) -> None:
        self.reason = ""
        self.key = registration.key
        self._registration = registration
        self._path = path
        self._rounds = 0
        self._begin()

    def _begin(self) -> None:
        self._rounds += 1
        self._collections = 0
        self._former = list(reversed(self._registration.former))
        self._asked_anew = False
        self.step = Step.COLLECT

    @property
    def replaced_key(self) -> int:
        """The key that REGISTER names as the present one."""
        match self.step:
            case Step.CONFIRM:
                return self.key
            case Step.REPLACE:
                return self._former[0]
        return 0

    @property
    def is_over(self) -> bool:
        return self.step in (Step.DONE, Step.LOST)

    def ended(self, verdict: Verdict, keys: Collection[int] = ()) -> None:
        """How the step ended; `keys` are those that READ KEYS found."""
        match self.step:
            case Step.COLLECT:
                self._collections += 1
                if verdict is Verdict.FINE or self._collections >= COLLECTIONS_MAX:
                    self.step = Step.READ_KEYS
            case Step.READ_KEYS:
                self._keys_seen(keys)
            case Step.CONFIRM | Step.REGISTER | Step.REPLACE:
                self._registered(verdict is Verdict.FINE)

    def _keys_seen(self, keys: Collection[int]) -> None:
        registration = self._registration
        if registration.was_made and self.key not in keys:
            self._lose("its key is not among those that the disk knows any more")
        elif self._path in registration.numbers:
            self.step = Step.CONFIRM
        else:
            self.step = Step.REGISTER

    def _registered(self, fine: bool) -> None:
        registration, path = self._registration, self._path
        if registration.key != self.key or registration.lost:
            self._lose("the key was given up meanwhile")
        elif fine:
            if self.step is not Step.CONFIRM or path not in registration.numbers:
                registration.made(path)
            self.step = Step.DONE
        elif self.step is Step.CONFIRM and path in registration.numbers:
            del registration.numbers[path]  # a new nexus: the target does not know it
            self.step = Step.REGISTER
        elif self.step is Step.REGISTER and not self._asked_anew:
            # The nexus has a key already: perhaps this one, by a request whose answer was lost.
            self._asked_anew = True
            self.step = Step.CONFIRM
        else:
            self._try_former()

    def _try_former(self) -> None:
        if self.step is Step.REPLACE:
            self._former.pop(0)
        if self._former:
            self.step = Step.REPLACE
        elif self._rounds < ROUNDS_MAX:
            self._begin()
        else:
            self._lose("the disk knows this node under a key that is not its own")

    def _lose(self, reason: str) -> None:
        self.step, self.reason = Step.LOST, reason
