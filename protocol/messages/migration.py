"""A migration: what source and target say to each other over TCP."""

from dataclasses import dataclass

from protocol.names import (
    AttemptId,
    ClusterId,
    Epoch,
    Incarnation,
    VmName,
)


@dataclass(frozen=True, slots=True)
class Greeting:
    """First frame on each connection of a migration.

    Stream 0 is the conversation, 1..n carry pages.
    """

    cluster: ClusterId
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    source_incarnation: Incarnation
    target_incarnation: Incarnation
    token: str
    stream: int
    streams: int
    resume_offset: int
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Greeted:
    """The target accepts this connection; `capabilities` are those that both ends have."""

    attempt: AttemptId
    stream: int
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoundEnded:
    """The source has sent all pages of `round` on the streams."""

    attempt: AttemptId
    round: int
    pages: int


@dataclass(frozen=True, slots=True)
class RoundReceived:
    """All pages of `round` are in the target's memory."""

    attempt: AttemptId
    round: int
    pages: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """S9: what of the VM is not in its pages, and what its memory must be now (`digest`, empty
    if not verified). `missing_pages` do not come before the switch, and were named.
    """

    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    round: int
    steps: int
    digest: bytes
    missing_pages: int = 0


@dataclass(frozen=True, slots=True)
class StateReceived:
    """All is in the target's memory; `digest` is its own, taken from its pages.

    It asks nothing of the source any more.
    """

    attempt: AttemptId
    digest: bytes
    verify_s: float


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """S10: the target opens the VM's disks; the source keeps its own until the outcome."""

    attempt: AttemptId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class StorageOpened:
    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The sender has ended its part of the attempt; nothing was decided."""

    attempt: AttemptId
    reason: str
