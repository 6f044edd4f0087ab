"""Post-copy: which pages of a VM the target does not have, and how it asks for them.

A map is a bitmap from page `first` on, a multiple of 8; the highest bit of a byte is its first
page. Of a large VM it comes in parts.
"""

from dataclasses import dataclass

from protocol.names import AttemptId, ClusterId, Epoch, Incarnation, VmName


@dataclass(frozen=True, slots=True)
class MissingPages:
    """S7, S9, on the conversation: these pages do not travel before the switch."""

    attempt: AttemptId
    first: int
    bitmap: bytes


@dataclass(frozen=True, slots=True)
class MissingNamed:
    """S7, on the conversation: no more can be named while the guest runs; take it out of memory."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class MissingTaken:
    """What was named, so many pages, is out of the target's memory: the guest may be paused."""

    attempt: AttemptId
    pages: int


@dataclass(frozen=True, slots=True)
class PullGreeting:
    """First frame on the connection over which pages are asked for; it shows the same as that of
    a stream.
    """

    cluster: ClusterId
    attempt: AttemptId
    vm: VmName
    epoch: Epoch
    source_incarnation: Incarnation
    target_incarnation: Incarnation
    token: str


@dataclass(frozen=True, slots=True)
class PagesLacking:
    """S14: these pages have not come. Said once on each connection, after the commit; `is_last` on
    the last part.
    """

    attempt: AttemptId
    first: int
    bitmap: bytes
    is_last: bool


@dataclass(frozen=True, slots=True)
class PagesWanted:
    """S14: the guest stands before these pages: they travel before all others."""

    attempt: AttemptId
    pages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PagesComplete:
    """S14: all pages are in the target's memory."""

    attempt: AttemptId
