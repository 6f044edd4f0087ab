import time
from dataclasses import replace

import pytest

from agent.actions import (
    CloseLink,
    CreateVm,
    DestroyVm,
    NodeRecord,
    Note,
    ObserveGuests,
    Persist,
    Rejoin,
    SendBeat,
    SetLease,
    Tell,
)
from agent.core import AgentCore
from agent.events import (
    BeatReceived,
    GuestObserved,
    LinkDown,
    LinkUp,
    ReserveDone,
    ReserveFailed,
    Tick,
    Told,
    VmCreated,
    VmDestroyed,
    VmFailed,
)
from protocol.messages import (
    Decided,
    GaveUp,
    Heartbeat,
    HeartbeatAnswer,
    Hello,
    Migrate,
    Ping,
    Pong,
    ProposeView,
    Reserve,
    Reserved,
    StartVm,
    StopVm,
    ToAgent,
    TurnedAway,
    ViewAcked,
    VmStarted,
    VmStopped,
    Welcome,
)
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    Hold,
    NodeName,
    Term,
    Timing,
    Verify,
    View,
    ViewNumber,
    VmName,
)
from tests.agent.ground import (
    CLUSTER,
    CSV,
    LAN,
    OUTLAST,
    SPEC,
    TERM,
    TIMING,
    VM,
    L,
    agent,
    life,
    member,
    view,
    votes,
)

ABC = view(1, member("a"), member("b"), member("c"))
A1, E1 = AttemptId(1), Epoch(1)


def welcome(core: AgentCore, now: float = 0.0, term: Term = TERM) -> list[object]:
    core.handle(LinkUp(), now)
    return [*told(core, Welcome(CLUSTER, term, core.incarnation, TIMING), now)]


def told(core: AgentCore, message: ToAgent, now: float = 0.0) -> list[object]:
    return [*core.handle(Told(message), now)]


def said(actions: list[object]) -> list[object]:
    return [action.message for action in actions if isinstance(action, Tell)]


def living(name: str = "a", now_in: View = ABC) -> AgentCore:
    core = agent(name)
    welcome(core)
    assert any(isinstance(m, ViewAcked) for m in said(propose(core, now_in)))
    return core


def propose(core: AgentCore, proposed: View, now: float = 0.0, term: Term = TERM) -> list[object]:
    return told(core, ProposeView(CLUSTER, term, proposed), now)


def beat(sender: str, to: str, seq: int = 1, number: int = 1) -> BeatReceived:
    message = Heartbeat(
        CLUSTER, NodeName(sender), life(sender, number), NodeName(to), seq, True, ViewNumber(1)
    )
    return BeatReceived(LAN, message)


def support_in(actions: list[object]) -> float:
    (send,) = actions
    assert isinstance(send, SendBeat)
    assert isinstance(send.message, HeartbeatAnswer)
    return send.message.support_s


def start(core: AgentCore, epoch: int = 1) -> StartVm:
    return StartVm(CLUSTER, TERM, core.incarnation, VM, Epoch(epoch), SPEC)


def running(core: AgentCore) -> AgentCore:
    told(core, start(core))
    core.handle(VmCreated(VM), 0.0)
    return core


def reserve(core: AgentCore, attempt: int = 1, vm: VmName = VM, epoch: Epoch = E1) -> Reserve:
    return Reserve(
        CLUSTER,
        TERM,
        core.incarnation,
        AttemptId(attempt),
        vm,
        epoch,
        SPEC,
        member("b"),
        "token",
        Verify.OFF,
    )


def migrate(core: AgentCore, policy: str = "2008r2", epoch: Epoch = E1) -> Migrate:
    return Migrate(
        CLUSTER,
        TERM,
        core.incarnation,
        A1,
        VM,
        epoch,
        member("b"),
        (CSV, LAN),
        "token",
        Verify.OFF,
        policy,
    )


# ---- the link


def test_the_first_words_on_a_link_say_who_it_is_and_what_it_has() -> None:
    core = agent("a", record=NodeRecord(CLUSTER, Term(4), ViewNumber(9), votes("ab")))

    (hello,) = said([*core.handle(LinkUp(), 1.0)])

    assert isinstance(hello, Hello)
    assert (hello.node, hello.incarnation, hello.cluster) == ("a", "a#1", CLUSTER)
    assert (hello.highest_term, hello.view, hello.votes) == (4, 9, votes("ab"))


def test_a_node_of_no_cluster_belongs_to_the_one_that_welcomes_it() -> None:
    core = agent("a")

    assert welcome(core) == [Persist(NodeRecord(CLUSTER, TERM, timing=TIMING))]
    assert welcome(core) == [], "nothing new"


def test_a_newer_term_is_on_disk_before_anything_is_done_under_it() -> None:
    core = living()

    actions = welcome(core, term=Term(8))

    assert isinstance(actions[0], Persist)
    assert actions[0].record.highest_term == 8


def test_a_leader_of_an_older_term_is_hung_up_on() -> None:
    core = agent("a", record=NodeRecord(CLUSTER, Term(8)))

    note, close = welcome(core, term=TERM)

    assert isinstance(note, Note)
    assert close == CloseLink("The coordinator speaks for term 7; term 8 was seen.")


def test_an_older_leaders_word_on_a_newer_leaders_link_ends_the_link() -> None:
    core = living()

    _, close = told(core, Ping(CLUSTER, Term(6), 1))
    assert isinstance(close, CloseLink)
    (note,) = told(core, start(core))
    assert isinstance(note, Note), "nothing more is heard on that link"


def test_another_clusters_leader_is_hung_up_on() -> None:
    core = living()

    _, close = told(core, Welcome(ClusterId("c2"), Term(9), life("a"), TIMING))
    assert close == CloseLink("The coordinator leads cluster c2; this node is of c1.")

    welcome(core)
    _, close = told(core, Ping(ClusterId("c2"), TERM, 1))
    assert isinstance(close, CloseLink)


def test_who_is_turned_away_tries_elsewhere() -> None:
    actions = told(agent("a"), TurnedAway("Node a is of cluster c2."))

    assert CloseLink("Node a is of cluster c2.") in actions


def test_what_comes_before_a_welcome_on_this_link_carries_no_authority() -> None:
    core = living()
    core.handle(LinkDown("reset"), 1.0)
    core.handle(LinkUp(), 1.0)

    (note,) = told(core, start(core), 1.0)

    assert isinstance(note, Note)
    assert core.vms.vms == {}


def test_what_was_meant_for_another_life_is_not_obeyed() -> None:
    core = living()

    (note,) = told(core, replace(start(core), incarnation=life("a", 2)))

    assert isinstance(note, Note)
    assert core.vms.vms == {}


def test_a_ping_is_answered_with_what_there_is_to_report() -> None:
    core = running(living())
    core.handle(GuestObserved(VM, True, 5, 1e6), 0.5)

    pong, observe = told(core, Ping(CLUSTER, TERM, 3), 1.0)

    assert observe == ObserveGuests()
    (message,) = said([pong])
    assert isinstance(message, Pong)
    assert (message.seq, message.view, message.lease_s) == (3, 1, 0.0)
    assert [(route.node, route.up) for route in message.routes] == [
        ("b", False),
        ("b", False),
        ("c", False),
        ("c", False),
    ]
    (report,) = message.vms
    assert (report.vm, report.steps, report.holds) == (VM, 5, Hold.LEASE)


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


def test_who_joins_ignores_views_without_it_until_it_is_in_one() -> None:
    core = agent("d")
    welcome(core)

    assert propose(core, view(4, member("a"), of="a")) == []
    joined = view(5, member("a"), member("d"), of="ad", index=2)
    propose(core, joined)
    assert said([*core.handle(Tick(), OUTLAST)]) != []


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


# ---- VMs


def test_a_vm_starts_once_and_says_so() -> None:
    core = living()

    (create,) = told(core, start(core))
    assert create == CreateVm(VM, E1, SPEC, Hold.NONE)
    assert said([*core.handle(VmCreated(VM), 0.0)]) == [VmStarted(CLUSTER, TERM, life("a"), VM, E1)]


def test_a_vm_that_fails_says_why() -> None:
    core = running(living())

    assert said([*core.handle(VmFailed(VM, "Its worker ended."), 0.0)]) == [
        VmStopped(CLUSTER, TERM, life("a"), VM, E1, "Its worker ended.")
    ]


def test_a_stop_is_confirmed_when_nothing_is_left() -> None:
    core = running(living())

    assert told(core, StopVm(CLUSTER, TERM, life("a"), VM, E1)) == [DestroyVm(VM)]
    assert said([*core.handle(VmDestroyed(VM), 0.0)]) == [
        VmStopped(CLUSTER, TERM, life("a"), VM, E1)
    ]


def test_a_stop_in_mid_migration_ends_the_attempt() -> None:
    core = running(living())
    told(core, migrate(core))

    actions = told(core, StopVm(CLUSTER, TERM, life("a"), VM, E1))

    assert actions[0] == DestroyVm(VM)
    (gave_up,) = said(actions)
    assert isinstance(gave_up, GaveUp)
    assert gave_up.reason == "sql01 is being stopped under epoch 1."


# ---- attempts that cannot begin


def refused(actions: list[object]) -> str:
    (message,) = said(actions)
    assert isinstance(message, GaveUp)
    return message.reason


def test_a_node_takes_part_in_one_migration_at_a_time() -> None:
    core = running(living())
    told(core, migrate(core))

    reason = refused(told(core, reserve(core, attempt=2, vm=VmName("web"))))

    assert reason == "This node takes part in attempt 1 already; try again when it has ended."


def test_a_vm_that_is_here_already_cannot_come() -> None:
    core = running(living())

    assert refused(told(core, reserve(core))).startswith("This node still has a sql01")


def test_a_vm_that_does_not_fit_cannot_come() -> None:
    core = living()
    big = replace(SPEC, memory_bytes=5 * SPEC.memory_bytes)

    reason = refused(told(core, replace(reserve(core), spec=big)))

    assert reason == "sql01 needs 1310720 bytes, and this node has 1048576 left."


@pytest.mark.parametrize("epoch", [Epoch(2), Epoch(0)])
def test_a_vm_that_is_not_here_under_that_epoch_cannot_go(epoch: Epoch) -> None:
    core = running(living())

    assert "epoch" in refused(told(core, migrate(core, epoch=epoch))).lower()


def test_a_policy_that_does_not_exist_is_refused_by_name() -> None:
    core = running(living())

    assert "policy 'never'" in refused(told(core, migrate(core, policy="never")))


def test_a_refusal_is_told_again_until_the_abort_comes_and_keeps_nobody_out() -> None:
    core = living()
    told(core, migrate(core))

    again = said(welcome(core))
    assert isinstance(again[0], GaveUp)
    assert not any(isinstance(m, GaveUp) for m in said(told(core, reserve(core, attempt=2))))

    aborted = Decided(CLUSTER, TERM, life("a"), A1, VM, Epoch(2), Decision.ABORTED, "no sql01")
    told(core, aborted)
    assert set(core.attempts.sides) == {2}


def test_a_reservation_that_failed_leaves_its_place_to_the_next() -> None:
    core = living()
    told(core, reserve(core))

    assert refused([*core.handle(ReserveFailed(A1, "No memory is left."), 0.0)]) == (
        "No memory is left."
    )
    assert not any(isinstance(m, GaveUp) for m in said(told(core, reserve(core, attempt=2))))


def test_an_order_that_comes_twice_is_carried_out_once() -> None:
    core = living()

    first = told(core, reserve(core))
    assert len(first) == 1
    assert told(core, reserve(core)) == []
    core.handle(ReserveDone(A1), 0.0)
    (message,) = said(told(core, reserve(core)))
    assert isinstance(message, Reserved)


def test_hello_tells_of_attempts_and_not_of_vms_that_are_still_coming() -> None:
    core = living()
    told(core, reserve(core))

    (hello,) = said([*core.handle(LinkUp(), 1.0)])

    assert isinstance(hello, Hello)
    assert hello.vms == ()
    (report,) = hello.attempts
    assert (report.attempt, report.is_source, report.consented) == (A1, False, False)


def test_a_deadline_is_when_it_wants_to_be_woken() -> None:
    core = agent("a")
    welcome(core)
    told(core, reserve(core))
    core.handle(ReserveDone(A1), 3.0)

    assert core.wake_at() == 63.0
    (message,) = said([*core.handle(Tick(), 63.0)])
    assert isinstance(message, GaveUp)
    assert message.reason == "No source connected within 60 s."


# ---- cost


def test_a_heartbeat_and_its_answer_cost_next_to_nothing() -> None:
    """The simulation handles 100 000 of them for a seed; the bound allows for slow machines."""
    core = living()
    event = beat("b", "a")
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(1000):
            core.handle(event, 1.0)
        best = min(best, (time.perf_counter() - began) / 1000)

    assert best < 100e-6
