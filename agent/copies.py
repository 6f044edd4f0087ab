"""The holder of a disk witness keeps the cluster database there, and who reaches the disk says what
is kept.

Only who holds the witness writes, and only what the leader that it obeys has told it. Reading gives
no right and asks for none: a coordinator that has lost its store is told by whoever reaches the
disk.
"""

from agent.actions import Action, FetchCopy, Note, StoreCopy, Tell
from agent.copy_record import CopyName, DatabaseCopy
from agent.events import CopyEvent, CopyFailed, CopyFetched, CopyStored
from agent.witness import Carrier
from protocol.messages import CopyKept, CopyOffered, KeepCopy, WantCopy
from protocol.names import Incarnation, Term, Witness, WitnessKind, WitnessState
from protocol.parts import Assembly, cut

UNANSWERED_MAX_S = 20.0
"""After this the next copy is begun even if the edge has lost an answer."""

HOLDING = (WitnessState.HELD, WitnessState.NEWER)


class Shelf:
    """The pure machine: at most one copy is being written, and at most one is being read."""

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        self._coming: Assembly[CopyName] = Assembly()
        self._storing: StoreCopy | None = None
        self._waiting: StoreCopy | None = None
        """The newest that came whole while another one was being written."""

        self._fetching: FetchCopy | None = None
        self._asker: WantCopy | None = None

    def told(self, message: KeepCopy | WantCopy, carrier: Carrier, now: float) -> list[Action]:
        """`carrier`: what this node knows of the witness, and whether it holds it."""
        witness, status = carrier.witness, carrier.status(now)
        is_disk = witness is not None and witness.kind is WitnessKind.DISK
        if isinstance(message, WantCopy):
            disk = witness if is_disk else None
            return self._wanted(message, disk, now)
        if not is_disk or status is None or status.state not in HOLDING:
            return [] if message.part else [self._kept(message, "it does not hold a disk witness")]
        assert witness is not None
        return self._to_keep(message, witness, now)

    def link_lost(self) -> None:
        """What was on its way will not come whole, and who asked is gone."""
        self._coming.forget()
        self._asker = None

    # ---- keeping

    def _to_keep(self, message: KeepCopy, witness: Witness, now: float) -> list[Action]:
        name = CopyName(message.cluster, message.term, message.revision)
        content = self._coming.add(name, message.part, message.parts, message.content)
        if content is None:
            return []
        if message.revision < 0:
            return [self._kept(message, "a revision is not below 0")]
        order = StoreCopy(witness, DatabaseCopy(name, content), now)
        busy = self._storing
        if busy is not None and now < busy.begun_at + UNANSWERED_MAX_S:
            self._waiting = order
            return []
        self._storing, self._waiting = order, None
        return [order]

    def _kept(self, named: KeepCopy | CopyName, reason: str) -> Tell:
        return Tell(CopyKept(named.cluster, named.term, self._incarnation, named.revision, reason))

    # ---- saying what is there

    def _wanted(self, message: WantCopy, disk: Witness | None, now: float) -> list[Action]:
        self._asker = message
        if disk is None:
            return self._offered(None, "it knows no disk witness")
        busy = self._fetching
        if busy is not None and now < busy.begun_at + UNANSWERED_MAX_S:
            return []
        self._fetching = FetchCopy(disk, now)
        return [self._fetching]

    def _offered(self, copy: DatabaseCopy | None, reason: str) -> list[Action]:
        asker, self._asker = self._asker, None
        if asker is None:
            return []
        if copy is not None and copy.name.cluster != asker.cluster:
            reason = f"the disk has a copy of cluster {copy.name.cluster}"
            copy = None
        head = (asker.cluster, asker.term, self._incarnation)
        if copy is None:
            return [Tell(CopyOffered(*head, Term(0), 0, 0, 0, b"", reason))]
        pieces = cut(copy.content)
        name = copy.name
        return [
            Tell(CopyOffered(*head, name.term, name.revision, part, len(pieces), piece))
            for part, piece in enumerate(pieces)
        ]

    # ---- what came of it

    def answered(self, event: CopyEvent, now: float) -> list[Action]:
        """An answer that nobody waits for any more, or of an earlier life, is not looked at."""
        match event:
            case CopyFetched(order, copy) if order is self._fetching:
                self._fetching = None
                return self._offered(copy, "the disk has none")
            case CopyStored(order) if order is self._storing:
                return self._stored("", now)
            case CopyFailed(order, reason) if order is self._storing:
                note = Note("warning", f"The copy of the database was not kept: {reason}.")
                return [note, *self._stored(reason, now)]
            case CopyFailed(order, reason) if order is self._fetching:
                self._fetching = None
                return self._offered(None, reason)
            case _:
                return []

    def _stored(self, reason: str, now: float) -> list[Action]:
        done, follows = self._storing, self._waiting
        assert done is not None, "only what was begun ends"
        self._storing = self._waiting = None
        out: list[Action] = [self._kept(done.copy.name, reason)]
        if follows is not None:
            self._storing = StoreCopy(follows.witness, follows.copy, now)
            out.append(self._storing)
        return out
