"""The control link about the files of running VMs that move to another volume.

Which of the two places counts is decided in the store; what each word promises is in docs/csv.md.
"""

from dataclasses import dataclass

from protocol.names import ClusterId, Epoch, Incarnation, Term, VmName, VmSpec


@dataclass(frozen=True, slots=True)
class MoveStorage:
    """Copy the VM's files to where `spec` has them; from now on each write goes to both places."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    move: int
    spec: VmSpec


@dataclass(frozen=True, slots=True)
class StorageDecided:
    """`switched`: the new files are the VM's, so leave the old ones; else the other way round."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    move: int
    switched: bool
    spec: VmSpec


@dataclass(frozen=True, slots=True)
class StorageProgress:
    """So much of the VM's disks has been copied by now."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    move: int
    copied_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class StorageMirrored:
    """The consent: all is copied, and every write is answered only once both places have it, until
    it is decided which of them counts.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    move: int


@dataclass(frozen=True, slots=True)
class StorageMoveFailed:
    """The new place cannot be had, and why: it ought to be decided for the old one."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    move: int
    reason: str


@dataclass(frozen=True, slots=True)
class StorageMoveEnded:
    """Answers StorageDecided: the VM lives by the decision."""

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    vm: VmName
    epoch: Epoch
    move: int
