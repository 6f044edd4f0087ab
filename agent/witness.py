"""One node's dealings with the witness: it looks, takes, renews and releases, and knows until when
it may use the vote that it carries.

Everything rests on two sums (docs/protocol.md, the witness). A holder uses the vote until H after
it *began* its last successful renewal, less the drift. Who wants the witness of a silent holder
waits H, with the allowance for drift, after it has *seen* that renewal. So no two nodes use the
vote at the same time.
"""

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessFailed, WitnessRead, WitnessWritten
from agent.lease import NEVER
from agent.witness_record import (
    NOBODY,
    WitnessRecord,
    expires_after_s,
    is_as_new,
    is_carried_in,
    would_decide,
)
from agent.witness_states import (
    Around,
    Contending,
    Held,
    Seen,
    holder_of,
    shortened,
    state_of,
    until_s,
)
from protocol.messages import WitnessStatus
from protocol.names import (
    ClusterId,
    Incarnation,
    NodeName,
    Timing,
    View,
    ViewNumber,
    VoteConfig,
    Witness,
    WitnessKind,
    WitnessState,
)

RESTART_S = 15.0
"""How long who gave up taking the witness rests before it tries again (WitnessRestartInterval)."""

UNANSWERED_MAX_S = 10.0
"""After this the machine begins anew even if its edge has lost the answer."""

FOREVER = float("inf")

Deed = ReadWitness | WriteWitness


class Carrier:
    """The pure machine. At most one reading or writing is under way; `next_s` is when it wants to
    be asked again what is due.
    """

    def __init__(
        self,
        node: NodeName,
        incarnation: Incarnation,
        cluster: ClusterId,
        votes: VoteConfig | None,
        timing: Timing,
    ) -> None:
        self.timing = timing
        self.next_s = NEVER if votes is not None and votes.witness else FOREVER
        self._node = node
        self._incarnation = incarnation
        self._cluster = cluster
        self._votes = votes
        self.witness = None if votes is None else votes.witness
        self._view: View | None = None
        self._asked_until_s = NEVER
        self._seen: Seen | None = None
        self._held: Held | None = None
        self._contending: Contending | None = None
        self._rests_until_s = NEVER
        self._under_way: Deed | None = None
        self._failed = ""
        self._looks_first = True
        """What it knows of the version may be old: it reads before it writes."""

        self._useful_s = NEVER
        """When it last had a use for the witness that it holds."""

        self._stopped = False
        """It holds the witness without a use for it: it promises nothing, and will release it."""

        self._vouched: tuple[Witness, ViewNumber, int] | None = None
        """The newest view and index that this life has written, and where."""

    # ---- what it goes by

    def live_by(self, view: View, cluster: ClusterId, now: float) -> None:
        """Carry the vote in `view` from now on. The witness of the view before is kept until it has
        been released, and hears of the new view first: the old votes may need its word.
        """
        self._view, self._cluster = view, cluster
        if self._votes is None or view.votes.index >= self._votes.index:
            self._votes = view.votes
        self._choose(now)
        if self.witness is not None:
            self.next_s = min(self.next_s, now)

    def ask(self, votes: VoteConfig, cluster: ClusterId, now: float) -> None:
        """A coordinator asks for the witness of `votes`. An older configuration than this node
        knows asks for nothing: the status says what is newer.
        """
        if self._votes is not None and votes.index < self._votes.index:
            return
        self._votes, self._cluster = votes, cluster
        self._asked_until_s = now + self.timing.arbitration_max_s
        self._contending, self._rests_until_s = None, NEVER
        self._choose(now)
        if self.witness is not None:
            self.next_s = min(self.next_s, now)

    def _choose(self, now: float) -> None:
        """Turn to the witness of the newest votes, once the one before is not held any more. Votes
        that somebody asked for, and that no view has brought, are forgotten in the end.
        """
        if self._view is not None and now >= self._asked_until_s:
            self._votes = self._view.votes
        wanted = None if self._votes is None else self._votes.witness
        if wanted == self.witness or self._is_holder:
            return
        self.witness, self._under_way, self._looks_first = wanted, None, True
        self._seen = self._held = self._contending = None
        self._failed = ""
        self.next_s = FOREVER if wanted is None else now

    # ---- what it knows

    @property
    def _is_holder(self) -> bool:
        """The newest record that it knows of is its own: what it wrote was not overwritten."""
        return holder_of(self._seen) == self._incarnation

    @property
    def usable_until_s(self) -> float:
        """Until when the vote may be promised and counted in the adopted view, by this clock."""
        held = self._held
        if (
            held is None
            or self._stopped
            or not is_carried_in(self._view, held.record)
            or self._view is None
            or self._view.votes.witness != self.witness
        ):
            return NEVER
        return until_s(held, self.timing.drift_rate)

    def vouches_for(self, view: View) -> bool:
        """The witness has acknowledged `view`: no holder that lives by an older one will ever carry
        its vote again. In a view without a witness it is the one of the view before that has.
        """
        if self._vouched is None:
            return False
        witness, number, index = self._vouched
        if view.votes.witness not in (None, witness):
            return False
        # Like any voter it acknowledges nothing that is older than what it acknowledged last.
        return number == view.number and index == view.votes.index

    def status(self, now: float) -> WitnessStatus | None:
        """How this node finds the witness, for reports; None where there is none."""
        if self._votes is None or self.witness is None:
            return None
        record = None if self._seen is None else self._seen.record
        index, view = (0, ViewNumber(0)) if record is None else (record.index, record.view)
        return WitnessStatus(self._votes.index, self._state(now), index, view)

    def _state(self, now: float) -> WitnessState:
        assert self._votes is not None
        held = self._held
        is_held = held is not None and now < until_s(held, self.timing.drift_rate)
        is_newer = held is not None and (
            held.record.index > self._votes.index
            or (self._view is not None and not is_as_new(self._view, held.record))
        )
        is_wanted = self._contending is not None
        return state_of(self._seen, is_held, is_newer, is_wanted, bool(self._failed))

    # ---- what is due

    def due(self, now: float, around: Around) -> list[Deed]:
        """What to do at the witness now, if it is time."""
        if now < self.next_s:
            return []
        if self._under_way is not None:
            lost_s = self._under_way.begun_at + UNANSWERED_MAX_S
            if now < lost_s:
                self.next_s = lost_s
                return []
            self._fail("it did not answer", now)
        self._choose(now)
        if self.witness is None:
            self.next_s = FOREVER
            return []
        self.next_s = now + self.timing.delay_s
        if self._is_holder:
            self._under_way = self._as_holder(self.witness, now, around)
        else:
            self._under_way = self._as_contender(self.witness, now, around)
        return [] if self._under_way is None else [self._under_way]

    def _as_holder(self, witness: Witness, now: float, around: Around) -> Deed | None:
        """Renew it. Who has no use for it any more lets every promise run out and releases it, but
        the witness hears of the view that its holder lives by first: the old votes may need that.
        """
        self._contending = None
        self._stopped = not self._has_use(now, around)
        if self._looks_first:
            return ReadWitness(witness, now)
        if not self._stopped:
            return self._renewal(witness, now, around)
        if now >= around.spent_until_s:
            # From here on another may take it at once, whether an answer comes or not.
            self._held = None
            return WriteWitness(witness, self._version, self._record(witness, NOBODY), now)
        if self._view is not None and not self._has_told(self._view):
            return self._renewal(witness, now, around)
        self.next_s = min(self.next_s, around.spent_until_s)
        return None

    def _has_use(self, now: float, around: Around) -> bool:
        """A holder keeps it while it has a lease, for L after that, and while it is asked to."""
        assert self._votes is not None
        if self._votes.witness != self.witness:
            return False
        if now < around.lease_end_s:
            self._asked_until_s = NEVER  # what it was asked for has come
        if now < self._asked_until_s:
            self._useful_s = now
            return True
        view = self._view
        if view is None or view.votes.witness != self.witness or not view.votes.witness_votes:
            return False
        self._useful_s = max(self._useful_s, min(now, around.lease_end_s))
        return now < self._useful_s + self.timing.support_s

    def _as_contender(self, witness: Witness, now: float, around: Around) -> Deed:
        self._contending = self._contention(now, around)
        take_s = self._take_s()
        if now >= take_s and not self._looks_first:
            return self._renewal(witness, now, around)
        self.next_s = min(self.next_s, max(now, take_s))
        return ReadWitness(witness, now)

    def _contention(self, now: float, around: Around) -> Contending | None:
        if not self._wants(now, around):
            return None
        since_s = now if self._contending is None else self._contending.since_s
        if now - since_s >= self.timing.arbitration_max_s:
            self._asked_until_s, self._rests_until_s = NEVER, now + RESTART_S
            return None
        if now < self._asked_until_s:
            return Contending(since_s, 0)
        return Contending(since_s, sum(node < self._node for node in around.heard))

    def _wants(self, now: float, around: Around) -> bool:
        if not self._is_open(now):
            return False
        view = self._view
        return now < self._asked_until_s or (
            now >= self._rests_until_s
            and view is not None
            and not around.witness_supports
            and would_decide(view.votes, around.supporters)
        )

    def _is_open(self, now: float) -> bool:
        """Whether what the witness remembers leaves room for this node. Who is asked may live by an
        older view, or by none: it gets a newer one from whoever asks, and carries the vote then.
        """
        assert self._votes is not None
        record, view = None if self._seen is None else self._seen.record, self._view
        if now < self._asked_until_s:
            return record is None or record.index <= self._votes.index
        if view is None or view.votes.witness != self.witness:
            return False
        return record is None or is_as_new(view, record)

    def _take_s(self) -> float:
        """When it may write itself in: nobody uses the vote any more, and its turn has come."""
        if self._contending is None or self._seen is None:
            return FOREVER
        record, turn_s = self._seen.record, self._contending.rank * self.timing.delay_s
        if record is None or record.holder == NOBODY:
            return self._contending.since_s + turn_s
        silence_s = expires_after_s(record.hold_s, self.timing.drift_rate)
        return self._seen.since_s + silence_s + turn_s

    # ---- what it writes

    @property
    def _version(self) -> int:
        assert self._seen is not None, "it has looked"
        return self._seen.version

    def _renewal(self, witness: Witness, now: float, around: Around) -> WriteWitness:
        record = self._record(witness, self._incarnation, around.spent_until_s - now)
        self._held = shortened(self._held, Held(now, record), self.timing.drift_rate)
        return WriteWitness(witness, self._version, record, now)

    def _record(self, witness: Witness, holder: Incarnation, used_s: float = 0.0) -> WitnessRecord:
        """What it knows only grows. What is used under longer clocks yet makes the hold longer."""
        known = None if self._seen is None else self._seen.record
        index, number, copy = (0, ViewNumber(0), None)
        if known is not None:
            index, number, copy = known.index, known.view, known.copy
        view = self._view
        if view is not None:
            if view.votes.index >= index and witness.kind is WitnessKind.DISK:
                copy = view.votes
            index, number = max(index, view.votes.index), max(number, view.number)
        hold_s = max(self.timing.witness_hold_s, used_s)
        return WitnessRecord(self._cluster, index, number, holder, self._node, hold_s, copy)

    def _has_told(self, view: View) -> bool:
        record = None if self._seen is None else self._seen.record
        told = (ViewNumber(0), 0) if record is None else (record.view, record.index)
        return told[0] >= view.number and told[1] >= view.votes.index

    # ---- what came of it

    def read(self, event: WitnessRead, now: float) -> str:
        """Returns a sentence for the log if the witness is not this cluster's."""
        action = self._under_way
        if not isinstance(action, ReadWitness) or event.begun_at != action.begun_at:
            return ""  # an answer that was given up, or that an earlier life waited for
        record, seen, was_holder = event.record, self._seen, self._is_holder
        if record is not None and self._cluster and record.cluster != self._cluster:
            return self._fail(f"it belongs to cluster {record.cluster}", now)
        self._under_way, self._failed, self._looks_first = None, "", False
        if seen is not None and event.version < seen.version:
            # Somebody has emptied it: what was promised runs out as if it were still there.
            record = record or seen.record
            self._seen = Seen(event.version, record, now)
        elif seen is None or event.version != seen.version:
            self._seen = Seen(event.version, record, now)
        if not self._is_open(now):
            self._contending = None
        if not self._is_holder:
            self._held = None
        elif not was_holder:
            self._useful_s = now  # it was taken by a write whose answer was lost
        self._go_on(action, now, self._is_holder)
        return ""

    def written(self, event: WitnessWritten, now: float) -> None:
        action = self._under_way
        if not isinstance(action, WriteWitness) or event.begun_at != action.begun_at:
            return
        self._under_way, self._failed = None, ""
        if not event.ok:
            # Somebody else has written, and may use the vote as soon as ours is over.
            self._held, self._looks_first = None, True
            self._go_on(action, now, True)
            return
        record = action.record
        if not self._is_holder:
            self._useful_s = now
        self._seen = Seen(action.version + 1, record, now)
        self._vouched = (action.witness, record.view, record.index)
        self._contending = self._held = None
        if record.holder == self._incarnation:
            self._held = Held(action.begun_at, record)
            self._go_on(action, now, self._view is not None and not self._has_told(self._view))
        else:
            self._choose(now)
            self._go_on(action, now, False)

    def failed(self, event: WitnessFailed, now: float) -> str:
        """Returns the reason if it is news."""
        action = self._under_way
        if action is None or event.begun_at != action.begun_at:
            return ""
        return self._fail(event.reason, now)

    def _fail(self, reason: str, now: float) -> str:
        action, is_news = self._under_way, not self._failed
        assert action is not None, "only what was begun can fail"
        self._under_way, self._failed, self._looks_first = None, reason, True
        self._go_on(action, now, False)
        return reason if is_news else ""

    def _go_on(self, action: Deed, now: float, at_once: bool) -> None:
        """The next look or renewal is due a delay after this one was begun, or sooner."""
        if self.witness is None:
            return
        next_s = now if at_once else max(now, action.begun_at + self.timing.delay_s)
        if not self._looks_first:
            next_s = min(next_s, max(now, self._take_s()))
        self.next_s = next_s
