"""Long random lives of persistent reservations, beside a naive model of the standard."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.scsi.errors import IllegalRequest, ReservationConflict
from protocol.scsi.persistent import Kind, OutAction
from san.nexus import Nexus
from san.reservation_record import read_record, write_record
from san.reservations import Access, Change, Reservations
from tests.san.reservation_model import Model
from tests.san.test_reservations import A, B, C, out

NEXUS = st.sampled_from([A, B, C])
KEYS = st.sampled_from([0, 1, 2, 3])
KINDS = st.sampled_from([int(kind) for kind in Kind])


class LongLife(RuleBasedStateMachine):
    """The machine and the model are told the same, and must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self.held = Reservations()
        self.model = Model()

    def compare(
        self, wanted: str, nexus: Nexus, action: OutAction, key: int, new: int, kind: int
    ) -> None:
        before = (dict(self.held.keys), self.held.kind, self.held.holder, self.held.number)
        try:
            change = out(self.held, nexus, action, key, new, kind)
        except ReservationConflict:
            found, change = "conflict", Change()
        except IllegalRequest as error:
            found, change = f"{error.sense.code:04x}", Change()
        else:
            found = "good"
        assert found == wanted
        held = self.held
        after = (dict(held.keys), held.kind, held.holder, held.number)
        if found != "good":
            assert after == before
        assert after[:3] == before[:3] or after[3] > before[3]
        told = sorted((repr(who), f"{what.code:04x}") for who, what in change.attentions)
        assert told == sorted((repr(who), what) for who, what in self.model.told)
        assert sorted(map(repr, change.aborted)) == sorted(map(repr, self.model.aborted))

    @rule(nexus=NEXUS, key=KEYS, new=KEYS, ignores=st.booleans())
    def registers(self, nexus: Nexus, key: int, new: int, ignores: bool) -> None:
        action = OutAction.REGISTER_AND_IGNORE if ignores else OutAction.REGISTER
        self.compare(self.model.register(nexus, key, new, ignores), nexus, action, key, new, 0)

    @rule(nexus=NEXUS, new=KEYS)
    def changes_its_key(self, nexus: Nexus, new: int) -> None:
        key = self.held.keys.get(nexus, 0)
        wanted = self.model.register(nexus, key, new, False)
        self.compare(wanted, nexus, OutAction.REGISTER, key, new, 0)

    @rule(nexus=NEXUS, kind=KINDS, wrong=st.booleans())
    def reserves(self, nexus: Nexus, kind: int, wrong: bool) -> None:
        key = self.held.keys.get(nexus, 0) + wrong
        wanted = self.model.reserve(nexus, key, kind)
        self.compare(wanted, nexus, OutAction.RESERVE, key, 0, kind)

    @rule(nexus=NEXUS, kind=KINDS, same=st.booleans())
    def releases(self, nexus: Nexus, kind: int, same: bool) -> None:
        key = self.held.keys.get(nexus, 0)
        kind = int(self.held.kind) if same and self.held.kind else kind
        wanted = self.model.release(nexus, key, kind)
        self.compare(wanted, nexus, OutAction.RELEASE, key, 0, kind)

    @rule(nexus=NEXUS)
    def clears(self, nexus: Nexus) -> None:
        key = self.held.keys.get(nexus, 0)
        self.compare(self.model.clear(nexus, key), nexus, OutAction.CLEAR, key, 0, 0)

    @rule(nexus=NEXUS, victim=KEYS, kind=KINDS, aborts=st.booleans())
    def preempts(self, nexus: Nexus, victim: int, kind: int, aborts: bool) -> None:
        key = self.held.keys.get(nexus, 0)
        wanted = self.model.preempt(nexus, key, victim, kind, aborts)
        action = OutAction.PREEMPT_AND_ABORT if aborts else OutAction.PREEMPT
        self.compare(wanted, nexus, action, key, victim, kind)

    @rule(nexus=NEXUS, kind=KINDS, aborts=st.booleans())
    def takes_over(self, nexus: Nexus, kind: int, aborts: bool) -> None:
        """A registrant aims at the holder, which may be itself or another with the same key."""
        held = self.held
        key = held.keys.get(nexus, 0)
        victim = held.keys[held.holder] if held.holder else 0
        wanted = self.model.preempt(nexus, key, victim, kind, aborts)
        action = OutAction.PREEMPT_AND_ABORT if aborts else OutAction.PREEMPT
        self.compare(wanted, nexus, action, key, victim, kind)

    @rule(kind=KINDS)
    def all_register_and_the_first_reserves(self, kind: int) -> None:
        for nexus in (A, B, C):
            wanted = self.model.register(nexus, 0, 1 if nexus is A else 2, True)
            self.compare(wanted, nexus, OutAction.REGISTER_AND_IGNORE, 0, 1 if nexus is A else 2, 0)
        self.compare(self.model.reserve(A, 1, kind), A, OutAction.RESERVE, 1, 0, kind)

    @rule()
    def restarts(self) -> None:
        """What was registered with persistence is there again; only the generation is not."""
        kept = Reservations(read_record(write_record(self.held.record())))
        if self.held.persists:
            assert (kept.keys, kept.kind) == (self.held.keys, self.held.kind)
            self.held = kept
            self.model.generation = 0

    @invariant()
    def both_say_the_same(self) -> None:
        held, model = self.held, self.model
        assert list(held.keys.items()) == [tuple(row) for row in model.rows]
        assert (held.kind or 0, held.generation) == (model.kind, model.generation)
        for nexus in (A, B, C):
            assert held.holds(nexus) == (nexus in model.holders())
            assert held.allows(nexus, Access.READ) == model.may(nexus, "read")
            assert held.allows(nexus, Access.WRITE) == model.may(nexus, "write")


TestLongLife = LongLife.TestCase
TestLongLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
