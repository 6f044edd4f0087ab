"""Who holds a disk witness keeps the database there; who reaches it says what is kept."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from agent.actions import FetchCopy, Note, StoreCopy, WriteWitness
from agent.copies import UNANSWERED_MAX_S
from agent.copy_record import CopyName, DatabaseCopy
from agent.core import AgentCore
from agent.events import (
    CopyFailed,
    CopyFetched,
    CopyStored,
    LinkDown,
    Tick,
    WitnessRead,
    WitnessWritten,
)
from protocol.messages import CopyKept, CopyOffered, KeepCopy, WantCopy
from protocol.names import ClusterId, Term, View, ViewNumber, Witness, WitnessKind
from protocol.parts import PART_BYTES, cut
from tests.agent.ground import CLUSTER, TERM, member
from tests.agent.leader import living, said, told
from tests.agent.witness_bench import SHARE, votes

DISK = Witness("w", WitnessKind.DISK, "/w")


def holder(witness: Witness = DISK) -> AgentCore:
    """Node a, which holds the witness."""
    now_in = View(ViewNumber(1), (member("a"), member("b")), votes(witness=witness))
    core = living("a", now_in)
    core.handle(Tick(), 1.0)
    core.handle(WitnessRead(0, None, 1.0), 1.0)
    core.carrier.ask(now_in.votes, CLUSTER, 1.0)
    core.handle(Tick(), 1.0)
    core.handle(WitnessWritten(0, True, 1.0), 1.0)
    status = core.carrier.status(1.0)
    assert status is not None
    assert status.state.name == "HELD", status
    return core


def orders(core: AgentCore, content: bytes, revision: int = 5, term: Term = TERM) -> list[KeepCopy]:
    pieces = cut(content)
    return [
        KeepCopy(CLUSTER, term, core.incarnation, revision, part, len(pieces), piece)
        for part, piece in enumerate(pieces)
    ]


def keep(core: AgentCore, content: bytes, revision: int = 5, now: float = 1.0) -> list[object]:
    return [done for order in orders(core, content, revision) for done in told(core, order, now)]


def one_store(actions: Iterable[object]) -> StoreCopy:
    (store,) = [action for action in actions if isinstance(action, StoreCopy)]
    return store


LONG = b"rows" * PART_BYTES


def test_a_whole_copy_is_kept_under_the_leaders_term_and_then_told() -> None:
    core = holder()
    store = one_store(keep(core, LONG))

    assert store.copy == DatabaseCopy(CopyName(CLUSTER, TERM, 5), LONG)
    assert store.witness == DISK
    assert said([*core.handle(CopyStored(store), 2.0)]) == [
        CopyKept(CLUSTER, TERM, core.incarnation, 5)
    ]


def test_a_disk_that_takes_nothing_is_told_of_with_the_reason() -> None:
    core = holder()
    store = one_store(keep(core, b"x"))

    note, tell = core.handle(CopyFailed(store, "it is full"), 2.0)

    assert isinstance(note, Note)
    assert said([tell]) == [CopyKept(CLUSTER, TERM, core.incarnation, 5, "it is full")]


@pytest.mark.parametrize("gone", range(4))
def test_a_copy_with_a_part_missing_is_not_kept(gone: int) -> None:
    core = holder()
    parts = orders(core, b"x" * (3 * PART_BYTES + 1))

    out = [done for part in parts if part.part != gone for done in told(core, part)]

    assert not any(isinstance(action, StoreCopy) for action in out)


def test_a_part_that_comes_twice_ends_the_copy_and_the_next_one_is_kept() -> None:
    core = holder()
    first, second, third = orders(core, b"x" * (2 * PART_BYTES + 1))

    assert [*told(core, first), *told(core, second), *told(core, second)] == []
    assert told(core, third) == []
    assert [*told(core, first), *told(core, first), *told(core, second)] == []
    one_store(told(core, third))


def test_parts_from_before_a_broken_link_are_forgotten() -> None:
    core = holder()
    first, second = orders(core, b"x" * (PART_BYTES + 1))
    told(core, first)
    core.handle(LinkDown("cut"), 1.0)

    assert told(core, second) == [core_note(told(core, second))]


def core_note(actions: list[object]) -> Note:
    """What it says of an order that came before its welcome."""
    (note,) = actions
    assert isinstance(note, Note)
    return note


def test_who_holds_no_disk_keeps_nothing_and_says_so_once() -> None:
    core = living("a")
    parts = orders(core, b"x" * (PART_BYTES + 1))

    (kept,) = said([done for part in parts for done in told(core, part)])

    assert isinstance(kept, CopyKept)
    assert "does not hold" in kept.reason


def test_a_file_share_keeps_nothing() -> None:
    (kept,) = said(keep(holder(SHARE), b"x"))

    assert isinstance(kept, CopyKept)
    assert kept.reason


def test_a_holder_whose_hold_ran_out_between_the_parts_keeps_nothing() -> None:
    core = holder()
    first, second = orders(core, b"x" * (PART_BYTES + 1))
    told(core, first, 1.0)

    assert not any(isinstance(done, StoreCopy) for done in told(core, second, 60.0))


def test_an_older_leaders_copy_is_refused() -> None:
    core = holder()
    (order,) = orders(core, b"x", term=Term(int(TERM) - 1))

    assert not any(isinstance(done, StoreCopy) for done in told(core, order))


def test_one_copy_is_written_at_a_time_and_then_the_newest() -> None:
    core = holder()
    first = one_store(keep(core, b"1", revision=1))
    assert keep(core, b"2", revision=2) == []
    assert keep(core, b"3", revision=3) == []

    out = [*core.handle(CopyStored(first), 2.0)]

    assert one_store(out).copy.content == b"3"
    assert core.handle(CopyStored(first), 2.0) == [], "it was answered"


def test_a_write_whose_answer_is_lost_does_not_block_the_next_for_ever() -> None:
    core = holder()
    keep(core, b"1", revision=1)
    told_late = 1.0 + UNANSWERED_MAX_S

    core.carrier.ask(votes(witness=DISK), CLUSTER, told_late)
    (renewal,) = [a for a in core.handle(Tick(), told_late) if isinstance(a, WriteWitness)]
    core.handle(WitnessWritten(renewal.version, True, told_late), told_late)

    assert one_store(keep(core, b"2", revision=2, now=told_late)).copy.content == b"2"


def test_a_negative_revision_is_refused() -> None:
    (kept,) = said(keep(holder(), b"x", revision=-1))

    assert isinstance(kept, CopyKept)
    assert kept.reason


# ---- saying what is there


def want(core: AgentCore, cluster: ClusterId = CLUSTER, term: Term = TERM) -> list[object]:
    return told(core, WantCopy(cluster, term, core.incarnation), 1.0)


def fetching(core: AgentCore) -> FetchCopy:
    (fetch,) = want(core)
    assert isinstance(fetch, FetchCopy)
    return fetch


@pytest.mark.parametrize("term", [Term(1), TERM, Term(99)])
def test_whoever_asks_under_whatever_term_is_told_in_parts(term: Term) -> None:
    core = holder()
    (fetch,) = want(core, term=term)
    assert isinstance(fetch, FetchCopy)
    copy = DatabaseCopy(CopyName(CLUSTER, Term(3), 9), LONG)

    offers = said([*core.handle(CopyFetched(fetch, copy), 2.0)])

    assert all(isinstance(offer, CopyOffered) for offer in offers)
    assert b"".join(offer.content for offer in offers if isinstance(offer, CopyOffered)) == LONG
    last = offers[-1]
    assert isinstance(last, CopyOffered)
    assert (last.copy_term, last.revision, last.term) == (3, 9, term)
    assert (last.part, last.parts) == (len(offers) - 1, len(offers))
    assert core.record.highest_term == TERM, "a question gives no right"


@pytest.mark.parametrize("found", [None, DatabaseCopy(CopyName(ClusterId("c9"), TERM, 1), b"x")])
def test_a_disk_without_a_copy_of_this_cluster_offers_none(found: DatabaseCopy | None) -> None:
    core = holder()
    fetch = fetching(core)

    (offer,) = said([*core.handle(CopyFetched(fetch, found), 2.0)])

    assert isinstance(offer, CopyOffered)
    assert offer.parts == 0
    assert offer.reason


def test_a_disk_that_cannot_be_read_is_a_reason() -> None:
    core = holder()
    fetch = fetching(core)

    (offer,) = said([*core.handle(CopyFailed(fetch, "it is away"), 2.0)])

    assert isinstance(offer, CopyOffered)
    assert (offer.parts, offer.reason) == (0, "it is away")


def test_who_knows_no_disk_says_so() -> None:
    (offer,) = said(want(living("a")))

    assert isinstance(offer, CopyOffered)
    assert offer.parts == 0


def test_an_answer_for_who_has_gone_is_nobodys() -> None:
    core = holder()
    fetch = fetching(core)
    core.handle(LinkDown("cut"), 1.0)

    assert core.handle(CopyFetched(fetch, None), 2.0) == []


def test_answers_of_an_earlier_life_are_not_looked_at() -> None:
    core = holder()
    fetch = fetching(core)
    late = replace(fetch, begun_at=0.5)

    assert core.handle(CopyFetched(late, None), 2.0) == []
    assert core.handle(CopyFailed(late, "late"), 2.0) == []
