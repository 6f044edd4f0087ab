from agent.heartbeat import Promises
from agent.views import Verdict, Views
from protocol.names import NodeName, Term, ViewNumber
from tests.agent.ground import life, member, view

T = Term(1)


def views(acked: int = 0, waits_until_s: float = 5.0) -> Views:
    return Views(NodeName("b"), life("b"), ViewNumber(acked), waits_until_s)


def living_by_abc() -> tuple[Views, Promises]:
    here, promises = views(waits_until_s=0.0), Promises()
    assert here.propose(T, ABC, promises, brand_new=False) is Verdict.PENDING
    assert here.take_ready(0.0) == ABC
    return here, promises


ABC = view(1, member("a"), member("b"), member("c"))
BC = view(2, member("b"), member("c"))


def test_a_new_incarnation_acknowledges_nothing_before_its_start_wait_is_over() -> None:
    here = views(acked=3, waits_until_s=5.0)

    assert here.propose(T, view(4, member("b")), Promises(), False) is Verdict.PENDING
    assert here.ready_s == 5.0
    assert not here.may_support(life("b"), 4.999), "nor does it support anybody"
    assert here.may_support(life("b"), 5.0)
    assert here.take_ready(4.999) is None
    assert here.take_ready(5.0) is not None


def test_a_brand_new_node_need_not_wait_in_a_brand_new_cluster() -> None:
    here = views()

    here.propose(T, ABC, Promises(), brand_new=True)

    assert here.take_ready(0.0) == ABC
    assert here.may_support(life("a"), 0.0)


def test_a_brand_new_node_waits_where_a_cluster_was_before_it() -> None:
    here = views()

    here.propose(T, view(2, member("a"), member("b")), Promises(), brand_new=True)

    assert here.take_ready(0.0) is None


def test_a_view_is_acknowledged_only_when_promises_to_the_left_out_have_run_out() -> None:
    here, promises = living_by_abc()
    promises.promise(life("a"), 9.0)
    promises.promise(life("c"), 99.0)

    here.propose(T, BC, promises, False)

    assert here.take_ready(8.999) is None
    assert here.take_ready(9.0) == BC


def test_support_ends_for_those_whom_the_pending_view_leaves_out() -> None:
    here, promises = living_by_abc()
    promises.promise(life("a"), 9.0)

    here.propose(T, BC, promises, False)

    assert not here.may_support(life("a"), 1.0)
    assert here.may_support(life("c"), 1.0)


def test_another_life_of_a_member_is_somebody_else() -> None:
    here, promises = living_by_abc()
    promises.promise(life("a"), 9.0)

    here.propose(T, view(2, member("a", 2), member("b"), member("c")), promises, False)

    assert not here.may_support(life("a"), 1.0)
    assert here.ready_s == 9.0


def test_a_newer_proposal_takes_the_place_but_old_promises_still_count() -> None:
    here, promises = living_by_abc()
    promises.promise(life("a"), 9.0)
    promises.promise(life("c"), 7.0)

    here.propose(T, BC, promises, False)
    newer = view(3, member("b"))
    assert here.propose(T, newer, promises, False) is Verdict.PENDING
    assert here.propose(T, BC, promises, False) is Verdict.OLD

    assert here.take_ready(8.0) is None
    assert here.take_ready(9.0) == newer


def test_the_adopted_view_is_acknowledged_again_and_an_impostor_is_not() -> None:
    here, promises = living_by_abc()

    assert here.propose(Term(2), ABC, promises, False) is Verdict.ADOPTED
    assert here.propose(Term(2), view(1, member("b")), promises, False) is Verdict.DIFFERS


def test_what_an_earlier_life_has_acknowledged_is_old() -> None:
    assert views(acked=4).propose(T, view(4, member("b")), Promises(), False) is Verdict.OLD


def test_a_view_without_this_life_is_never_acknowledged() -> None:
    fresh = views(waits_until_s=0.0)
    without = view(1, member("a"), member("b", 2))
    assert fresh.propose(T, without, Promises(), False) is Verdict.NOT_IN_YET
    assert fresh.take_ready(99.0) is None

    member_once, promises = living_by_abc()
    left = view(2, member("a"), member("c"))
    assert member_once.propose(T, left, promises, False) is Verdict.LEFT_OUT


def test_who_was_only_proposed_and_is_left_out_is_out() -> None:
    here = views(waits_until_s=5.0)
    here.propose(T, ABC, Promises(), False)

    assert here.propose(T, view(2, member("a")), Promises(), False) is Verdict.LEFT_OUT


def test_a_proposal_is_forgotten_with_its_leader() -> None:
    here, promises = living_by_abc()
    promises.promise(life("a"), 9.0)
    here.propose(T, BC, promises, False)

    here.drop_pending()

    assert here.take_ready(99.0) is None
    assert here.may_support(life("a"), 1.0), "nothing was acknowledged"
