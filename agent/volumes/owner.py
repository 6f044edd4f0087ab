"""One disk that this node owns under one epoch: from the order to own it to the last word.

```text
reserving    who holds the reservation: nobody, a member, or one who was fenced
mounting     the journal is replayed, the epoch written
owned        clients are served, if there is a volume
quiescing    nothing new is admitted; what was admitted ends and is flushed
unmounting
over         nothing happens under this epoch any more
```

A deposed owner is not asked to know it: what it sends to the disk is refused by the disk, and what
it serves it serves only while its lease lasts (`admits`).
"""

import enum
from collections.abc import Collection
from dataclasses import dataclass

from agent.volumes import owning
from agent.volumes.owning import Denied, OwnerAction, OwnerEvent
from protocol.disks import (
    GENERATION_LAST,
    KEY_BYTES,
    FencedLife,
    RegistrationKey,
    key_of_life,
)
from protocol.messages import ReadFile, VolumeRequest, WriteFile
from protocol.names import ClusterId, Epoch, Incarnation, VolumeName

NOT_OWNER = "not-owner"
"""Code of a denial that another epoch will change: who hears it waits for that."""

NOT_REDIRECTED = "not-redirected"
NO_LEASE = "no-lease"
FENCED = "fenced"


class OwnerPhase(enum.Enum):
    RESERVING = "seeing to the reservation"
    MOUNTING = "mounting"
    OWNED = "owned"
    QUIESCING = "letting requests end"
    UNMOUNTING = "unmounting"
    OVER = "over"


@dataclass(slots=True)
class Client:
    """A node that uses the volume."""

    is_redirected: bool = False
    generation: int = 0
    """Its keys up to this one are gone from the disk."""


class VolumeOwner:
    """Feed it events, carry out its actions in order; ask it whether a request is served."""

    def __init__(
        self,
        cluster: ClusterId,
        me: Incarnation,
        key: RegistrationKey,
        epoch: Epoch,
        members: Collection[Incarnation],
    ) -> None:
        self.cluster = cluster
        self.me = me
        self.key = key
        self.epoch = epoch
        self.phase = OwnerPhase.RESERVING
        self.volume = VolumeName("")
        self.is_mounted = False
        self.clients: dict[Incarnation, Client] = {}
        self._members = frozenset(members)
        self._fenced: set[Incarnation] = set()
        self._keys: tuple[RegistrationKey, ...] = ()
        self._waiting: dict[int, Incarnation] = {}
        self._clear = False
        self._is_private = False
        self._stays = False
        """What is being unmounted stays this node's."""

    # ---- the door

    def handle(self, event: OwnerEvent) -> list[OwnerAction]:
        if self.phase is OwnerPhase.OVER:
            return self._too_late(event)
        match event:
            case owning.OwnOrdered(volume, is_private):
                self._is_private = is_private
                return self._ordered(volume)
            case owning.ReservationSeen(holder, keys) if self.phase is OwnerPhase.RESERVING:
                return self._reservation_seen(holder, keys)
            case owning.Reserved() if self.phase is OwnerPhase.RESERVING:
                return self._mount_or_own()
            case owning.Mounted(holders) if self.phase is OwnerPhase.MOUNTING:
                return self._mounted(holders)
            case owning.Faulted(reason, is_refusal):
                return self._faulted(reason, is_refusal)
            case owning.ReleaseOrdered(clear):
                return self._release(clear)
            case owning.Quiesced() if self.phase is OwnerPhase.QUIESCING:
                self.phase = OwnerPhase.UNMOUNTING
                return [owning.Unmount(self._clear)]
            case owning.Unmounted() if self.phase is OwnerPhase.UNMOUNTING:
                self.is_mounted = False
                if self._stays:
                    self._stays = False
                    return self._mount_or_own()
                return self._over(owning.SayGiven(is_clean=True))
            case owning.MembersChanged(members):
                return self._members_changed(members)
            case _:
                return self._of_clients(event)

    def begin(self, volume: VolumeName, is_private: bool = False) -> list[OwnerAction]:
        self.volume, self._is_private = volume, is_private
        return [owning.LookAtReservation()]

    def _too_late(self, event: OwnerEvent) -> list[OwnerAction]:
        match event:
            case owning.ReleaseOrdered():
                return [owning.SayGiven(is_clean=True)]
            case owning.RedirectWanted(_, _, token) | owning.DirectWanted(_, token):
                return [owning.Answer(token, self._not_owned())]
            case _:
                return []

    # ---- to own it

    def _ordered(self, volume: VolumeName) -> list[OwnerAction]:
        """Said again: with a volume where there was none it is mounted now; a folder that was
        renamed changes nothing on the disk.
        """
        self.volume = volume
        if self.phase is not OwnerPhase.OWNED:
            return []
        if self.is_mounted and not volume:
            self.phase, self._stays = OwnerPhase.QUIESCING, True
            return [*self._drop_all("The disk is no shared volume any more."), owning.Quiesce()]
        return self._mount_or_own()

    def _reservation_seen(
        self, holder: RegistrationKey | None, keys: tuple[RegistrationKey, ...]
    ) -> list[OwnerAction]:
        self._keys = keys
        if self.key not in keys:
            return self._faulted("This node is not registered with the disk any more.", True)
        if holder is None:
            return [owning.Reserve()]
        lives = {key_of_life(self.cluster, member) for member in self._members}
        if holder == self.key or holder[: KEY_BYTES - 1] in lives:
            return self._mount_or_own()  # without a gap: who holds it says nothing about who owns
        return [owning.TakeReservation(holder)]

    def _mount_or_own(self) -> list[OwnerAction]:
        if self.volume and not self.is_mounted:
            self.phase = OwnerPhase.MOUNTING
            return [owning.Mount()]
        self.phase = OwnerPhase.OWNED
        return [owning.SayTaken()]

    def _mounted(self, holders: tuple[str, ...]) -> list[OwnerAction]:
        """A holder without a key cannot write: its grants are worth nothing, and it opens anew. So
        does everybody on a disk that is one VM's own, for the VM stands still while it moves.
        """
        self.is_mounted, self.phase = True, OwnerPhase.OWNED
        registered = {key[: KEY_BYTES - 1] for key in self._keys}
        gone = [
            holder
            for holder in holders
            if self._is_private or key_of_life(self.cluster, Incarnation(holder)) not in registered
        ]
        return [*(owning.ForgetHolder(holder) for holder in gone), owning.SayTaken()]

    # ---- to own it no more

    def _release(self, clear: bool) -> list[OwnerAction]:
        self._clear, self._stays = self._clear or clear, False
        match self.phase:
            case OwnerPhase.OWNED:
                self.phase = OwnerPhase.QUIESCING
                return [*self._drop_all("The volume moves to another owner."), owning.Quiesce()]
            case OwnerPhase.RESERVING | OwnerPhase.MOUNTING:
                # What is under way may still write; after a preempted key it cannot.
                return self._over(
                    owning.SayGiven(False, "It was to be released while it was being mounted.")
                )
            case _:
                return []

    def _faulted(self, reason: str, is_refusal: bool) -> list[OwnerAction]:
        """A mount writes: one that was cut short could go on when the next owner has begun."""
        match self.phase:
            case OwnerPhase.RESERVING:
                return self._over(owning.SayTaken(reason or "The disk could not be taken."))
            case OwnerPhase.MOUNTING if is_refusal:
                return self._over(owning.SayTaken(reason or "The volume could not be mounted."))
            case _:
                return self._over(owning.SayGiven(False, reason))

    def _over(self, word: OwnerAction) -> list[OwnerAction]:
        out = self._drop_all(self._not_owned())
        self.phase, self.is_mounted = OwnerPhase.OVER, False
        return [*out, word]

    def _drop_all(self, reason: str) -> list[OwnerAction]:
        waiting, self._waiting = self._waiting, {}
        out: list[OwnerAction] = [owning.Answer(token, reason) for token in sorted(waiting)]
        out += [owning.Drop(client, reason) for client in sorted(self.clients)]
        self.clients.clear()
        return out

    def _not_owned(self) -> str:
        return f"This node does not own the volume under epoch {self.epoch}."

    # ---- clients

    def _of_clients(self, event: OwnerEvent) -> list[OwnerAction]:
        match event:
            case owning.ClientCame(incarnation) if self.phase is OwnerPhase.OWNED:
                # Its agreements stand: this may be the same client over another network.
                self.clients.setdefault(incarnation, Client())
            case owning.RedirectWanted(incarnation, generation, token):
                return self._redirect_wanted(incarnation, generation, token)
            case owning.DirectWanted(incarnation, token):
                if (client := self.clients.get(incarnation)) is None:
                    return [owning.Answer(token, self._not_owned())]
                client.is_redirected = False
                return [owning.Answer(token)]
            case owning.KeysRemoved(incarnation, generation, token):
                if (client := self.clients.get(incarnation)) is not None:
                    client.is_redirected = True
                    client.generation = max(client.generation, generation)
                return self._answered(token, "")
            case owning.KeysStayed(_, token, reason):
                return self._answered(token, reason)
            case owning.LivesFenced(lives):
                return self._lives_fenced(lives)
            case owning.LivesGone(lives) if self.is_mounted:
                return [owning.ForgetHolder(life) for life in sorted(_whole(lives) - {self.me})]
            case _:
                pass  # the answer to what another phase had asked for
        return []

    def _redirect_wanted(
        self, incarnation: Incarnation, generation: int, token: int
    ) -> list[OwnerAction]:
        client = self.clients.get(incarnation)
        if client is None:
            return [owning.Answer(token, self._not_owned())]
        if generation <= client.generation:
            client.is_redirected = True
            return [owning.Answer(token)]
        self._waiting[token] = incarnation
        return [owning.RemoveKeys(incarnation, generation, token)]

    def _answered(self, token: int, reason: str) -> list[OwnerAction]:
        if self._waiting.pop(token, None) is None:
            return []
        return [owning.Answer(token, reason)]

    def _lives_fenced(self, lives: Collection[FencedLife]) -> list[OwnerAction]:
        """A redirected life has no key that could be taken: only its owner can stop it. One of
        which only some generations go lives on. Its grants stand until its keys are gone: what they
        cover is given to nobody before that.
        """
        out: list[OwnerAction] = []
        for life in sorted(_whole(lives) - {self.me}):
            self._fenced.add(life)
            out += self._dropped(life, "It was fenced from the disk.")
        return out

    def _members_changed(self, members: frozenset[Incarnation]) -> list[OwnerAction]:
        self._members = members
        out: list[OwnerAction] = []
        for life in sorted(set(self.clients) - members):
            out += self._dropped(life, "It is not in the view any more.")
        return out

    def _dropped(self, life: Incarnation, reason: str) -> list[OwnerAction]:
        tokens = sorted(token for token, who in self._waiting.items() if who == life)
        out: list[OwnerAction] = []
        for token in tokens:
            out += self._answered(token, reason)
        if self.clients.pop(life, None) is not None:
            out.append(owning.Drop(life, reason))
        return out

    # ---- whether a request is served

    def comes_in(self, incarnation: Incarnation) -> Denied | None:
        """Why this node is not let in; None if it is."""
        if self.phase is not OwnerPhase.OWNED or not self.is_mounted:
            return Denied(NOT_OWNER, self._not_owned())
        if incarnation in self._fenced:
            return Denied(FENCED, f"{incarnation} was fenced from the disk.")
        if self._members and incarnation not in self._members:
            return Denied(NOT_OWNER, f"{incarnation} is not in the owner's view.")
        return None

    def admits(
        self, incarnation: Incarnation, request: VolumeRequest, has_lease: bool
    ) -> Denied | None:
        """Why a request of a client is not carried out; None if it is."""
        if (denied := self.comes_in(incarnation)) is not None:
            return denied
        client = self.clients.get(incarnation)
        if client is None:
            return Denied(NOT_OWNER, f"{incarnation} has no connection to the volume.")
        if not has_lease:
            return Denied(NO_LEASE, "The owner has no lease at present; it serves nobody.")
        if isinstance(request, ReadFile | WriteFile) and not client.is_redirected:
            return Denied(NOT_REDIRECTED, "Say Redirect first: direct I/O may be under way.")
        return None


def _whole(lives: Collection[FencedLife]) -> set[Incarnation]:
    """Those that come back under no key at all."""
    return {life.incarnation for life in lives if life.generation == GENERATION_LAST}


def keys_of_lives(
    cluster: ClusterId, lives: Collection[FencedLife], keys: Collection[RegistrationKey]
) -> list[RegistrationKey]:
    """Those of `keys` that are to go with these lives: each up to its generation."""
    wanted = {key_of_life(cluster, life.incarnation): life.generation for life in lives}
    return [key for key in keys if key[-1] <= wanted.get(key[: KEY_BYTES - 1], -1)]
