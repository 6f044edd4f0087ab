from agent.actions import NodeRecord, Persist, Rejoin, SendBeat, SetLease, Tell
from agent.core import AgentCore
from agent.events import BeatReceived, LinkDown, LinkUp, Tick
from protocol.messages import Ping, Pong, ViewAcked, Welcome
from protocol.names import Term, Timing, ViewNumber
from tests.agent.ground import CLUSTER, OUTLAST, TERM, TIMING, L, agent, life, member, view, votes
from tests.agent.leader import (
    ABC,
    beat,
    living,
    propose,
    running,
    said,
    start,
    support_in,
    told,
    welcome,
)

# ---- views and promises


def test_a_view_is_on_disk_before_it_is_acknowledged() -> None:
    core = agent("a")
    welcome(core)

    actions = propose(core, ABC)

    kinds = [type(action) for action in actions]
    assert kinds.index(Persist) < kinds.index(Tell)
    assert core.record.view == 1
    assert core.record.votes == votes("abc")


def test_a_restarted_agent_gives_no_support_and_acks_nothing_until_old_promises_ran_out() -> None:
    record = NodeRecord(CLUSTER, TERM, ViewNumber(1), votes("abc"), TIMING)
    core = agent("a", 2, record)
    welcome(core)
    mine = view(2, member("a", 2), member("b"), member("c"))

    assert said(propose(core, mine)) == []
    assert core.wake_at() == OUTLAST
    assert said([*core.handle(Tick(), OUTLAST - 0.001)]) == []
    assert core.handle(beat("b", "a"), OUTLAST - 0.001) == []
    acked = said([*core.handle(Tick(), OUTLAST)])
    assert acked == [ViewAcked(CLUSTER, TERM, life("a", 2), ViewNumber(2))]
    assert support_in([*core.handle(beat("b", "a"), OUTLAST)]) == L


def test_a_new_timing_makes_the_start_wait_longer_never_shorter() -> None:
    core = agent("a", record=NodeRecord(CLUSTER, TERM, timing=TIMING))
    core.handle(LinkUp(), 0.0)
    slower = Timing(delay_s=2.0)

    told(core, Welcome(CLUSTER, TERM, life("a"), slower))
    propose(core, view(2, member("a")))

    assert core.wake_at() == slower.outlast_s


def test_support_for_who_is_left_out_ends_at_once_and_the_ack_comes_when_promises_ran_out() -> None:
    core = living("b")
    assert support_in([*core.handle(beat("a", "b"), 2.0)]) == L

    bc = view(2, member("b"), member("c"))
    assert said(propose(core, bc, 3.0)) == []
    assert support_in([*core.handle(beat("a", "b", 2), 3.5)]) == 0.0
    assert support_in([*core.handle(beat("c", "b", 2), 3.5)]) == L
    assert said([*core.handle(Tick(), 2.0 + OUTLAST - 0.001)]) == []
    (acked,) = said([*core.handle(Tick(), 2.0 + OUTLAST)])
    assert isinstance(acked, ViewAcked)
    assert core.handle(beat("a", "b", 3), 9.0) == [], "it has no place in the view"


def test_a_pending_view_is_acknowledged_only_to_the_leader_who_proposed_it() -> None:
    core = living("b")
    core.handle(beat("a", "b"), 2.0)
    propose(core, view(2, member("b"), member("c")), 3.0)

    core.handle(LinkDown("reset"), 4.0)
    welcome(core, 5.0, Term(8))

    assert said([*core.handle(Tick(), 60.0)]) == []
    assert core.record.view == 1


def test_an_adopted_view_is_acknowledged_again_under_the_term_that_asks() -> None:
    core = living()
    welcome(core, term=Term(8))

    assert said(propose(core, ABC, term=Term(8))) == [
        ViewAcked(CLUSTER, Term(8), life("a"), ViewNumber(1))
    ]


def test_who_is_left_out_of_a_view_stops_everything_and_begins_anew() -> None:
    core = running(living())

    stop, _, rejoin = propose(core, view(2, member("b"), member("c")))

    assert stop == SetLease(0.0)
    assert rejoin == Rejoin("View 2 leaves a#1 out.")
    assert core.handle(Tick(), 9.0) == []
    assert core.wake_at() == float("inf")


def test_who_is_shown_a_view_without_it_begins_anew_even_if_it_never_saw_one_with_it() -> None:
    core = agent("d")
    welcome(core)

    actions = propose(core, view(4, member("a"), of="a"))

    assert actions[-1] == Rejoin("View 4 leaves d#1 out.")


# ---- the lease


def exchange(cores: dict[str, AgentCore], until_s: float) -> dict[str, list[float]]:
    """Heartbeats between all of `cores`, delivered at once; the leases that they set on the way."""
    leases: dict[str, list[float]] = {name: [] for name in cores}
    while (now := min(core.wake_at() for core in cores.values())) <= until_s:
        waiting = [(n, action) for n, core in cores.items() for action in core.handle(Tick(), now)]
        while waiting:
            name, action = waiting.pop(0)
            if isinstance(action, SetLease):
                leases[name].append(action.end_s)
            if isinstance(action, SendBeat) and action.message.to in cores:
                to = action.message.to
                heard = cores[to].handle(BeatReceived(action.network, action.message), now)
                waiting += [(to, follows) for follows in heard]
    return leases


def test_a_quorum_that_hears_itself_has_leases_that_only_grow() -> None:
    cores = {name: living(name) for name in "ab"}

    leases = exchange(cores, until_s=10.0)

    for ends in leases.values():
        assert ends == sorted(set(ends))
        assert 9.0 + L < ends[-1] <= 10.0 + L


def test_a_node_alone_in_a_cluster_of_three_has_no_lease() -> None:
    assert exchange({"a": living()}, until_s=10.0) == {"a": []}


def test_a_cluster_of_one_renews_its_lease_by_its_own_vote() -> None:
    core = living("a", view(1, member("a"), of="a"))

    (ends,) = exchange({"a": core}, until_s=3.0).values()

    assert ends[-1] == 3.0 + L


def test_routes_come_up_between_those_who_hear_each_other() -> None:
    cores = {name: living(name) for name in "ab"}

    exchange(cores, until_s=3.0)

    (pong,) = said(told(cores["a"], Ping(CLUSTER, TERM, 1), 3.0))
    assert isinstance(pong, Pong)
    assert {route.node for route in pong.routes if route.up} == {"b"}
    assert pong.lease_s > L - 1.0


# ---- the grace time


def test_guests_without_a_lease_are_turned_off_after_the_grace_time() -> None:
    core = running(living())
    told(core, Ping(CLUSTER, TERM, 1), 1.0)

    assert not any(isinstance(action, Rejoin) for action in core.handle(Tick(), 29.9))
    stop, _, rejoin = core.handle(Tick(), 30.0)

    assert stop == SetLease(0.0)
    assert rejoin == Rejoin("There was no quorum for 30 s: guests are turned off.")


def test_the_grace_time_begins_when_the_lease_ends() -> None:
    core = living("a", view(1, member("a"), of="a"))
    running(core)
    core.handle(Tick(), 4.0)

    assert core.wake_at() < 4.0 + L
    core.handle(LinkDown("reset"), 4.0)
    assert not any(isinstance(act, Rejoin) for act in core.handle(Tick(), 4.0 + L + 29.9))


def test_a_node_without_guests_waits_for_a_quorum_as_it_is() -> None:
    core = living()

    actions = core.handle(Tick(), 500.0)

    assert not any(isinstance(action, Rejoin) for action in actions)


def test_a_guest_that_comes_after_a_long_time_without_a_lease_has_its_own_grace_time() -> None:
    core = living()
    core.handle(Tick(), 100.0)

    told(core, start(core), 100.0)

    assert not any(isinstance(action, Rejoin) for action in core.handle(Tick(), 129.9))
    assert any(isinstance(action, Rejoin) for action in core.handle(Tick(), 130.0))


def test_a_node_that_slept_sees_whether_a_quorum_is_there_before_it_turns_guests_off() -> None:
    core = running(living())

    assert not any(isinstance(action, Rejoin) for action in core.handle(Tick(), 500.0))
    assert any(isinstance(action, Rejoin) for action in core.handle(Tick(), 530.0))
