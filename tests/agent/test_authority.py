from agent.actions import CloseLink, NodeRecord, Note, Persist, ReadWitness, Rejoin, SetLease
from agent.authority import silence_max_s
from agent.events import LinkUp, Tick
from protocol.messages import Arbitrate, Evicted, Hello, Ping, ViewAcked, Welcome
from protocol.names import ClusterId, Term, Timing, ViewNumber, VoteConfig, Witness, WitnessKind
from tests.agent.ground import CLUSTER, OUTLAST, TERM, TIMING, agent, life, member, view, votes
from tests.agent.leader import ABC, living, propose, running, said, told, welcome

SILENCE = silence_max_s(TIMING)
WITNESS = VoteConfig(3, (), witness=Witness("w", WitnessKind.SHARE, "/w"), witness_votes=1)

# ---- a leader that says nothing


def test_a_leader_that_is_silent_for_too_long_is_hung_up_on() -> None:
    core = agent("a")
    welcome(core, 10.0)
    told(core, Ping(CLUSTER, TERM, 1), 12.0)

    assert core.wake_at() == 12.0 + SILENCE
    note, close = core.handle(Tick(), 12.0 + SILENCE)
    assert isinstance(note, Note)
    assert close == CloseLink("The leader of term 7 was silent for 6 s.")
    assert [*core.handle(Tick(), 90.0)] == [], "once for each link"


def test_an_agent_that_has_slept_itself_hears_its_leader_out_first() -> None:
    core = agent("a")
    welcome(core, 10.0)

    assert core.handle(Tick(), 40.0) == []
    told(core, Ping(CLUSTER, TERM, 1), 40.0)
    assert core.wake_at() == 40.0 + SILENCE


def test_a_coordinator_that_welcomed_nobody_owes_nobody_a_word() -> None:
    core = agent("a")
    core.handle(LinkUp(), 0.0)

    assert core.wake_at() == float("inf")
    assert core.handle(Tick(), 90.0) == []


# ---- the same leader again


def test_a_leader_that_says_its_welcome_again_is_no_other_leader() -> None:
    core = living("b")
    propose(core, view(2, member("b"), member("c")), 1.0)
    slower = Timing(delay_s=2.0)

    (kept,) = told(core, Welcome(CLUSTER, TERM, life("b"), slower), 1.0)

    assert isinstance(kept, Persist)
    assert kept.record.timing == slower
    assert core.views.adopted is not None
    assert core.views.adopted.number == 2, "nothing was dropped"


def test_a_pending_view_outlives_a_repeated_welcome() -> None:
    core = agent("a", 2, NodeRecord(CLUSTER, TERM, ViewNumber(1), votes("abc"), TIMING))
    welcome(core)
    propose(core, view(2, member("a", 2), member("b"), member("c")))

    told(core, Welcome(CLUSTER, TERM, life("a", 2), TIMING), 1.0)

    (acked,) = said([*core.handle(Tick(), OUTLAST)])
    assert isinstance(acked, ViewAcked)


# ---- words for who was not welcomed


def arbitrate(cluster: ClusterId = CLUSTER, number: int = 1) -> Arbitrate:
    return Arbitrate(cluster, TERM, life("a", number), WITNESS)


def test_a_node_of_no_cluster_takes_the_witness_when_it_is_asked_and_belongs_to_none() -> None:
    core = agent("a")
    core.handle(LinkUp(), 0.0)

    told(core, arbitrate(), 1.0)

    (looks,) = core.handle(Tick(), 1.0)
    assert isinstance(looks, ReadWitness)
    assert core.record == NodeRecord()


def test_a_stranger_or_an_older_leader_cannot_send_a_node_to_the_witness() -> None:
    core = agent("a", record=NodeRecord(CLUSTER, Term(8)))
    core.handle(LinkUp(), 0.0)

    for wrong in (arbitrate(ClusterId("c2")), arbitrate()):
        _, close = told(core, wrong)
        assert isinstance(close, CloseLink)
    assert core.wake_at() == float("inf")


def test_what_another_life_was_asked_is_not_done() -> None:
    core = agent("a")
    core.handle(LinkUp(), 0.0)

    (note,) = told(core, arbitrate(number=2))

    assert isinstance(note, Note)
    assert core.wake_at() == float("inf")


def evicted(core_life: int = 1, term: Term = TERM) -> Evicted:
    return Evicted(CLUSTER, term, life("a", core_life))


def test_an_evicted_node_forgets_its_cluster_and_ends_its_guests() -> None:
    core = running(living("a", ABC))

    kept, lease, note, rejoin = told(core, evicted(), 3.0)

    assert kept == Persist(NodeRecord(outlast_s=OUTLAST))
    assert lease == SetLease(0.0)
    assert isinstance(note, Note)
    assert rejoin == Rejoin("Node a was evicted from cluster c1.")


def test_the_life_after_an_eviction_keeps_what_was_promised_before() -> None:
    core = agent("a", 2, NodeRecord(outlast_s=OUTLAST))
    (hello,) = said([*core.handle(LinkUp(), 0.0)])
    assert isinstance(hello, Hello)
    assert hello.cluster is None
    welcome(core)

    assert said(propose(core, view(1, member("a", 2), of="a"))) == []
    assert said([*core.handle(Tick(), OUTLAST - 0.001)]) == []
    (acked,) = said([*core.handle(Tick(), OUTLAST)])
    assert isinstance(acked, ViewAcked)


def test_an_evicted_node_is_brand_new_once_its_promises_have_run_out() -> None:
    core = agent("a", 2, NodeRecord(outlast_s=OUTLAST))

    assert core.wake_at() == OUTLAST
    assert core.handle(Tick(), OUTLAST) == [Persist(NodeRecord())]


def test_an_eviction_by_an_older_leader_or_of_another_life_is_not_obeyed() -> None:
    core = living("a", ABC)

    (note,) = told(core, evicted(core_life=2))
    assert isinstance(note, Note)
    _, close = told(core, evicted(term=Term(6)))
    assert isinstance(close, CloseLink)
    assert core.record.cluster == CLUSTER
