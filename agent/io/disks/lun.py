"""What the volumes of a node need of one disk and of all of them, whoever speaks to it: iSCSI over
several paths, or a dictionary in a test.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from agent.volumes.device import BlockDevice
from protocol.disks import DiskId, RegistrationKey


class Lun(BlockDevice, Protocol):
    """One disk over all its paths. Everything raises a `DiskError`.

    I/O goes only through paths whose registration is among the first `admitted` ones. It is told by
    `Conflict` that the key was taken away; a key that was given up fails with `PathLost`, at once.
    """

    @property
    def disk(self) -> DiskId: ...
    @property
    def product(self) -> str: ...
    @property
    def paths(self) -> int: ...
    @property
    def paths_up(self) -> int:
        """Over which commands go, whether registered or not."""

    @property
    def key(self) -> RegistrationKey:
        """Under which every path that is up is registered; none if one is not yet."""

    @property
    def registrations(self) -> int:
        """How many were made in this life; it only grows."""

    @property
    def is_usable(self) -> bool:
        """Whether guests' I/O may go: a path is up, registered and admitted."""

    @property
    def reason(self) -> str:
        """Why something is not as it ought to be."""

    def use(self, key: RegistrationKey) -> None:
        """Register it on every path, also on those that come later."""

    def let_go(self) -> None:
        """No key any more: what is under way ends with `PathLost`, at once."""

    def admit(self, registrations: int) -> None: ...

    async def keys(self) -> tuple[RegistrationKey, ...]: ...
    async def holder(self) -> RegistrationKey | None: ...
    async def reserve(self) -> None:
        """Write exclusive, registrants only, under the present key."""

    async def preempt(self, key: RegistrationKey, abort: bool) -> None:
        """`abort`: answered when every earlier command of its nexuses has ended. That there is no
        such key is no error.
        """

    async def clear(self) -> None:
        """Remove all keys and the reservation."""


class Luns(Protocol):
    """All disks that the node sees."""

    @property
    def luns(self) -> Mapping[DiskId, Lun]: ...

    @property
    def why_down(self) -> str:
        """What the paths that are down say of it; empty if all are up."""

    def watch(
        self,
        changed: Callable[[], None],
        conflicted: Callable[[DiskId, RegistrationKey, str], None],
    ) -> None:
        """`changed`: something of some disk is otherwise. `conflicted`: the target refused the key,
        in whatever command that was seen.
        """

    async def start(self) -> None:
        """Connect, and keep connecting; returns at once when nothing answers."""

    async def close(self) -> None: ...
