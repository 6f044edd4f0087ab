"""What owning a disk is made of: what can happen to its owner, and what it wants done then."""

from dataclasses import dataclass

from protocol.disks import FencedLife, RegistrationKey
from protocol.names import Incarnation, VolumeName

# ---- events


@dataclass(frozen=True, slots=True)
class OwnOrdered:
    """The coordinator gave the disk to this node, or said again with what volume. Empty: none.

    `is_private`: nobody but this node uses the volume, as long as it owns the disk.
    """

    volume: VolumeName
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class ReservationSeen:
    """Who holds the reservation, and under which keys anybody is registered."""

    holder: RegistrationKey | None
    keys: tuple[RegistrationKey, ...]


@dataclass(frozen=True, slots=True)
class Reserved:
    """The reservation is there, held by whoever it is that may."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """The volume is mounted under this epoch; `holders` have grants from before."""

    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Faulted:
    """Something did not work; a mount that was there is dead.

    Unless it `is_refusal`, of the disk's content, nobody knows what was written and what still will
    be: whoever is to own the disk next needs the keys of this one gone.
    """

    reason: str
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseOrdered:
    """Give it up. `clear`: the disk leaves the cluster."""

    clear: bool


@dataclass(frozen=True, slots=True)
class Quiesced:
    """All requests that were admitted have ended, and what they wrote is on stable storage."""


@dataclass(frozen=True, slots=True)
class Unmounted:
    """The mount is gone, cleanly."""


@dataclass(frozen=True, slots=True)
class ClientCame:
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class RedirectWanted:
    """`token` says which question it was."""

    incarnation: Incarnation
    generation: int
    token: int


@dataclass(frozen=True, slots=True)
class DirectWanted:
    incarnation: Incarnation
    token: int


@dataclass(frozen=True, slots=True)
class KeysRemoved:
    """No key of that life up to that generation is left, nor any command under it."""

    incarnation: Incarnation
    generation: int
    token: int


@dataclass(frozen=True, slots=True)
class KeysStayed:
    """Its keys could not be removed: who asked may ask again."""

    incarnation: Incarnation
    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class LivesFenced:
    """The coordinator wants these lives, up to these generations, off the disk."""

    lives: tuple[FencedLife, ...]


@dataclass(frozen=True, slots=True)
class LivesGone:
    """No key of these lives, up to these generations, is left on the disk."""

    lives: tuple[FencedLife, ...]


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """This node lives by a view of these lives."""

    members: frozenset[Incarnation]


OwnerEvent = (
    OwnOrdered
    | ReservationSeen
    | Reserved
    | Mounted
    | Faulted
    | ReleaseOrdered
    | Quiesced
    | Unmounted
    | ClientCame
    | RedirectWanted
    | DirectWanted
    | KeysRemoved
    | KeysStayed
    | LivesFenced
    | LivesGone
    | MembersChanged
)

# ---- actions


@dataclass(frozen=True, slots=True)
class LookAtReservation:
    """Ends in ReservationSeen or Faulted."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Write exclusive, registrants only. Ends in Reserved or Faulted."""


@dataclass(frozen=True, slots=True)
class TakeReservation:
    """PREEMPT AND ABORT the key that holds it. Ends in Reserved or Faulted."""

    holder: RegistrationKey


@dataclass(frozen=True, slots=True)
class Mount:
    """Replay the journal, write the epoch. Ends in Mounted or Faulted."""


@dataclass(frozen=True, slots=True)
class RemoveKeys:
    """PREEMPT AND ABORT each of them. Ends in KeysRemoved or KeysStayed."""

    incarnation: Incarnation
    generation: int
    token: int


@dataclass(frozen=True, slots=True)
class Quiesce:
    """Admit nothing more, let end what was admitted, flush. Ends in Quiesced or Faulted."""


@dataclass(frozen=True, slots=True)
class Unmount:
    """`clear`: remove all keys and the reservation, too. Ends in Unmounted or Faulted."""

    clear: bool


@dataclass(frozen=True, slots=True)
class ForgetHolder:
    """Take back all grants of one who can write no more."""

    holder: str


@dataclass(frozen=True, slots=True)
class Answer:
    """To the question of this token: done, or not and why."""

    token: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Drop:
    """Hang up on this client."""

    incarnation: Incarnation
    reason: str


@dataclass(frozen=True, slots=True)
class SayTaken:
    """Without a reason it is owned, and served if it has a volume."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class SayGiven:
    """It is not owned any more; nothing is served from now on."""

    is_clean: bool
    reason: str = ""


OwnerAction = (
    LookAtReservation
    | Reserve
    | TakeReservation
    | Mount
    | RemoveKeys
    | Quiesce
    | Unmount
    | ForgetHolder
    | Answer
    | Drop
    | SayTaken
    | SayGiven
)


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a request of a client is not served. `code` is what travels with the sentence."""

    code: str
    reason: str
