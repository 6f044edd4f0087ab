"""How one node uses one shared volume: straight to the disk, through its owner, or not just now.

What is known (where the volume is, whether the owner is reached, how the disk is) changes by
events, and after each the machine takes the one step that leads from what the owner has agreed to
towards what is wanted. While a step is under way file I/O waits; so what was begun one way has
ended, or was aborted by the owner, before anything goes the other way.

```text
queued       nobody serves the volume, or not yet          I/O waits (event 5120)
switching    drain, or ask the owner                        I/O waits
direct       the owner knows, and the path is up            to the disk
redirected   the owner has aborted what was under way       through the owner (event 5121)
ended        the disk is lost for this life, or maintenance
```
"""

import enum
from dataclasses import dataclass, replace

from agent.volumes import ways
from agent.volumes.extents import Extent, runs
from agent.volumes.ways import ClientAction, ClientEvent, Place, Way
from protocol.disks import GENERATION_LAST, VolumeAccess, VolumeMode
from protocol.names import Epoch, Incarnation

NOT_PLACED = "The coordinator has not said yet who owns the volume."


class Phase(enum.Enum):
    QUEUED = "nobody serves it, or not yet"
    SWITCHING = "from one way to the other"
    DIRECT = "straight to the disk"
    REDIRECTED = "through the owner"
    MAINTENANCE = "it is not for use"
    LOST = "the disk is lost for this life"


class _Agreed(enum.Enum):
    """What the owner under the present epoch and connection knows of this node."""

    NOTHING = enum.auto()
    DIRECT = enum.auto()
    REDIRECTED = enum.auto()


class _Step(enum.Enum):
    NONE = enum.auto()
    DRAINING = enum.auto()
    ASKING = enum.auto()


@dataclass(slots=True)
class OpenFile:
    """A file that somebody on this node has open, under whichever owner."""

    wanted: ways.FileWanted
    epoch: Epoch | None = None
    """Of the owner that has opened it; None while none has."""

    grant: int = 0
    size_bytes: int = 0
    extents: tuple[Extent, ...] = ()
    is_current: bool = True
    """Whether `extents` say all that was written; after redirected writes they do not."""

    refusal: tuple[str, str] | None = None


class VolumeClient:
    """Feed it events; ask it `way` for each read and write. It does no I/O and knows no clock."""

    def __init__(self, me: Incarnation) -> None:
        self.me = me
        self.place: Place | None = None
        self.phase = Phase.QUEUED
        self.reason = NOT_PLACED
        self.turn = 1
        """Grows whenever the way changes: what began in an older turn went another way."""

        self.disk = ways.DiskSeen(0, is_usable=False, reason="No path to the disk was seen yet.")
        self.files: dict[int, OpenFile] = {}
        self.is_reached = False
        """Whether a connection to the present owner stands, or is being made anew."""

        self._agreed = _Agreed.NOTHING
        self._step = _Step.NONE
        self._gave_up = 0
        """The newest generation of keys that this node uses no more."""

        self._doubted = 0
        """The newest generation under which I/O ended without an answer, whenever it began: it may
        still reach the disk, so nothing goes there again before its key is gone."""

        self._direct_under, self._direct_since = 0, 0
        """The generation of the present or last direct phase, and its first turn."""

        self._was_redirected = False

        self._shown: tuple[VolumeAccess, str] | None = None

    # ---- the door

    def handle(self, event: ClientEvent) -> list[ClientAction]:
        out = self._handle(event)
        out += self._steer()
        shown = (self.access, self.reason)
        if shown != self._shown:
            self._shown = shown
            out.append(ways.Show(*shown))
        return out

    @property
    def epoch(self) -> Epoch:
        return Epoch(0) if self.place is None else self.place.epoch

    @property
    def is_owner(self) -> bool:
        return self.place is not None and self.place.owner == self.me

    @property
    def access(self) -> VolumeAccess:
        match self.phase:
            case Phase.DIRECT:
                return VolumeAccess.DIRECT
            case Phase.REDIRECTED | Phase.SWITCHING:
                return VolumeAccess.REDIRECTED
            case Phase.MAINTENANCE:
                return VolumeAccess.MAINTENANCE
            case Phase.LOST:
                return VolumeAccess.OFFLINE
            case Phase.QUEUED:
                is_off = self.place is not None and self.place.mode is VolumeMode.OFFLINE
                return VolumeAccess.OFFLINE if is_off else VolumeAccess.QUEUED

    # ---- what happened

    def _handle(self, event: ClientEvent) -> list[ClientAction]:
        match event:
            case ways.Placed(place):
                return self._placed(place)
            case ways.OwnerReached(epoch) if epoch == self.epoch:
                return self._reached()
            case ways.OwnerLost(epoch, reason) if epoch == self.epoch:
                self._forget_owner(reason)
            case ways.DiskSeen(generation, is_usable) if not self.disk.is_lost:
                if not (is_usable and generation <= max(self._gave_up, self._doubted)):
                    self.disk = event
            case ways.IoFailed(turn, reason) if turn >= self._direct_since:
                self._io_failed(reason)
            case ways.KeyRefused(turn, reason) if turn == self.turn and self.phase is Phase.DIRECT:
                self.disk = replace(self.disk, is_usable=False, is_lost=True, reason=reason)
            case ways.Drained(turn) if self._waits(_Step.DRAINING, turn):
                self._step = _Step.NONE
                return self._ask() if self._may_be_direct else []
            case ways.RedirectAgreed(turn) if self._waits(_Step.ASKING, turn):
                self._step, self._agreed = _Step.NONE, _Agreed.REDIRECTED
                self._was_redirected = True
            case ways.DirectAgreed(turn) if self._waits(_Step.ASKING, turn):
                self._step, self._agreed = _Step.NONE, _Agreed.DIRECT
                return self._look_again()
            case ways.FileWanted():
                file = self.files[event.handle] = OpenFile(event)
                return [_asked(file)] if self.is_reached else []
            case ways.FileFound():
                return self._found(event)
            case ways.FileRefused(handle, epoch, code, reason) if epoch == self.epoch:
                if (refused := self.files.get(handle)) is not None:
                    refused.refusal = (code, reason)
                    return [ways.Wake()]
            case ways.FileLeft(handle):
                return self._left(handle)
            case _:
                pass  # of a connection, a turn or an epoch that is over
        return []

    def _io_failed(self, reason: str) -> None:
        """Also where the way is another one by now: the key is what can still be abused."""
        if self._direct_under > self._gave_up:
            self._doubted = self._direct_under
            if self.disk.generation <= self._doubted:
                self.disk = replace(self.disk, is_usable=False, reason=reason)

    def _look_again(self) -> list[ClientAction]:
        """What was written through the owner is written now, though the extents known here say that
        it never was; reads would show zeros.
        """
        here = [(h, f) for h, f in sorted(self.files.items()) if f.epoch == self.epoch]
        if self._was_redirected:
            self._was_redirected = False
            for _, file in here:
                file.is_current = False
        return [ways.LookAgain(h, file.grant) for h, file in here if not file.is_current]

    def _placed(self, place: Place) -> list[ClientAction]:
        before = self.place
        if (before is not None and place.epoch < before.epoch) or place == before:
            return []
        self.place = place
        moved = before is None or (before.epoch, before.owner, before.addresses) != (
            place.epoch,
            place.owner,
            place.addresses,
        )
        if not moved:
            return []
        self._forget_owner(
            "The volume has no owner at present."
            if place.owner is None
            else f"The owner under epoch {place.epoch} is not reached yet."
        )
        return [ways.HangUp()] if place.owner is None else [ways.Reach(place)]

    def _reached(self) -> list[ClientAction]:
        self.is_reached = True
        self._agreed, self._step = _Agreed.NOTHING, _Step.NONE
        return [
            _asked(file)
            for _, file in sorted(self.files.items())
            if file.epoch != self.epoch and file.refusal is None
        ]

    def _forget_owner(self, reason: str) -> None:
        self.is_reached = False
        self._agreed, self._step = _Agreed.NOTHING, _Step.NONE
        self.reason = reason
        if self.phase not in (Phase.LOST, Phase.MAINTENANCE):
            self._turn_to(Phase.QUEUED, reason)

    def _found(self, event: ways.FileFound) -> list[ClientAction]:
        file = self.files.get(event.handle)
        if event.epoch != self.epoch:
            return []
        if file is None:
            return [ways.ReturnGrant(event.grant)]  # it was left while the owner opened it
        is_same = (file.epoch, file.grant) == (event.epoch, event.grant)
        before, file.epoch, file.grant = file.grant, event.epoch, event.grant
        if not is_same or _written_blocks(event.extents) >= _written_blocks(file.extents):
            # What was written stays so: an answer that says less was overtaken on its way.
            file.size_bytes, file.extents = event.size_bytes, event.extents
        file.is_current = True
        if before not in (0, event.grant):
            return [ways.ReturnGrant(before), ways.Wake()]  # of an earlier owner, in its journal
        return [ways.Wake()]

    def _left(self, handle: int) -> list[ClientAction]:
        file = self.files.pop(handle, None)
        if file is None or file.epoch != self.epoch or not self.is_reached:
            return []  # the next owner takes the grants of who has not opened anew
        return [ways.ReturnGrant(file.grant)]

    def _waits(self, step: _Step, turn: int) -> bool:
        return self._step is step and turn == self.turn

    # ---- the next step

    @property
    def _may_be_direct(self) -> bool:
        spent = max(self._gave_up, self._doubted)
        return self.disk.is_usable and self.disk.generation > spent

    @property
    def _wants_direct(self) -> bool:
        assert self.place is not None
        return self._may_be_direct and (self.is_owner or self.place.mode is VolumeMode.DIRECT)

    def _steer(self) -> list[ClientAction]:
        place = self.place
        if self.disk.is_lost:
            return self._to(Phase.LOST, self.disk.reason)
        if place is None or place.owner is None or place.mode is VolumeMode.OFFLINE:
            return self._to(Phase.QUEUED, self.reason)
        if place.mode is VolumeMode.MAINTENANCE:
            return self._to(Phase.MAINTENANCE, "The volume is in maintenance mode.")
        if not self.is_reached:
            return self._to(Phase.QUEUED, self.reason)
        if self._step is not _Step.NONE:
            return []
        if self._wants_direct and self._agreed is _Agreed.DIRECT:
            return self._to(Phase.DIRECT, "")
        if not self._wants_direct and self._agreed is _Agreed.REDIRECTED:
            return self._to(Phase.REDIRECTED, self._why_redirected())
        return self._switch()

    def _switch(self) -> list[ClientAction]:
        out: list[ClientAction] = []
        if not self._may_be_direct:
            # A path that is down the owner sees itself; a write of its own that got no answer it
            # does not.
            spent = self._doubted if self.is_owner else self.disk.generation
            if spent > self._gave_up:
                self._gave_up = spent
                out.append(ways.GiveUpKey(spent))
            if self.is_owner:
                # Nobody can serve it from here: its owner gives it up, and a higher epoch comes.
                return [*out, *self._to(Phase.QUEUED, self.disk.reason)]
        was_queued = self.phase is Phase.QUEUED
        self._turn_to(Phase.QUEUED if was_queued else Phase.SWITCHING, self._why_switching())
        self._step = _Step.DRAINING
        if self._may_be_direct:
            return [*out, ways.Drain(self.turn)]
        # The owner aborts what is under way; waiting for its end could take as long as a path.
        return [*out, *self._ask()]

    def _ask(self) -> list[ClientAction]:
        self._step = _Step.ASKING
        if self._wants_direct:
            return [ways.AskDirect(self.turn)]
        return [ways.AskRedirect(self.turn, 0 if self._may_be_direct else self._gave_up)]

    def _why_redirected(self) -> str:
        if self._may_be_direct:
            return "Redirected access is turned on for the volume."
        if self._gave_up >= GENERATION_LAST:
            return "This life of the node has used up its registrations; it begins anew to go back."
        return self.disk.reason or "This node has no granted path to the disk."

    def _why_switching(self) -> str:
        return self.reason if self._wants_direct else self._why_redirected()

    def _to(self, phase: Phase, reason: str) -> list[ClientAction]:
        if phase is self.phase:
            self.reason = reason
            return []
        self._step = _Step.NONE
        self._turn_to(phase, reason)
        if phase is Phase.DIRECT and self.disk.generation != self._direct_under:
            self._direct_under, self._direct_since = self.disk.generation, self.turn
        return [] if phase is Phase.QUEUED else [ways.Wake()]

    def _turn_to(self, phase: Phase, reason: str) -> None:
        self.phase, self.reason = phase, reason
        self.turn += 1

    # ---- how a read or write goes

    def way(self, handle: int, offset: int, length_bytes: int, writes: bool) -> Way:
        """How to do it now. Whoever was told `Wait` asks again after `Wake`; whoever failed asks
        again at once.
        """
        file = self.files.get(handle)
        if file is None:
            return ways.Ended(ways.Never.CLOSED, "closed", "The file is not open any more.")
        if self.phase is Phase.LOST:
            return ways.Ended(ways.Never.DISK_LOST, "disk-lost", self.reason)
        if file.refusal is not None:
            return ways.Ended(ways.Never.REFUSED, *file.refusal)
        if file.epoch != self.epoch or not self.is_reached:
            return ways.Wait()
        match self.phase:
            case Phase.DIRECT if not file.is_current:
                return ways.Wait()
            case Phase.DIRECT:
                found = runs(file.extents, offset, length_bytes)
                if writes and not all(run.written for run in found):
                    return ways.ConvertFirst(self.turn, file.grant)
                return ways.Straight(self.turn, found)
            case Phase.REDIRECTED:
                return ways.ThroughOwner(self.turn, file.grant)
            case _:
                return ways.Wait()


def _written_blocks(extents: tuple[Extent, ...]) -> int:
    return sum(extent.blocks for extent in extents if extent.written)


def _asked(file: OpenFile) -> ways.AskFile:
    wanted = file.wanted
    return ways.AskFile(wanted.handle, wanted.path, wanted.is_writable, wanted.vm, wanted.vm_epoch)
