import time
from dataclasses import replace

from agent.actions import (
    CloseLink,
    CreateVm,
    DestroyVm,
    NodeRecord,
    Note,
    ObserveGuests,
    Persist,
    SetHolds,
)
from agent.core import AgentCore
from agent.events import (
    DiskGone,
    GuestObserved,
    LinkDown,
    LinkUp,
    VmCreated,
    VmDestroyed,
    VmFailed,
)
from protocol.messages import (
    FailVm,
    GaveUp,
    Hello,
    Ping,
    Pong,
    StopVm,
    TurnedAway,
    VmStarted,
    VmStopped,
    Welcome,
)
from protocol.names import ClusterId, Hold, Term, ViewNumber
from tests.agent.ground import CLUSTER, SPEC, TERM, TIMING, VM, agent, config, life, votes
from tests.agent.leader import E1, beat, living, migrate, running, said, start, told, welcome

# ---- the link


def test_the_first_words_on_a_link_say_who_it_is_and_what_it_has() -> None:
    core = agent("a", record=NodeRecord(CLUSTER, Term(4), ViewNumber(9), votes("ab")))

    (hello,) = said([*core.handle(LinkUp(), 1.0)])

    assert isinstance(hello, Hello)
    assert (hello.node, hello.incarnation, hello.cluster) == ("a", "a#1", CLUSTER)
    assert (hello.highest_term, hello.view, hello.votes) == (4, 9, votes("ab"))


def test_a_node_that_prevents_quorum_says_so_first() -> None:
    wary = replace(config("a"), prevents_quorum=True)
    core = AgentCore(wary, NodeRecord(), life("a"), 0.0)

    (hello,) = said([*core.handle(LinkUp(), 0.0)])

    assert isinstance(hello, Hello)
    assert hello.prevents_quorum


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


def test_a_vm_that_the_coordinator_found_failed_is_ended_and_told_as_failed() -> None:
    core = running(living())

    assert told(core, FailVm(CLUSTER, TERM, life("a"), VM, E1)) == [DestroyVm(VM)]
    (stopped,) = said([*core.handle(VmDestroyed(VM), 0.0)])
    assert isinstance(stopped, VmStopped)
    assert stopped.reason == "The coordinator found it failed."


def test_a_vm_in_mid_migration_is_not_made_to_fail() -> None:
    core = running(living())
    told(core, migrate(core))

    (note,) = told(core, FailVm(CLUSTER, TERM, life("a"), VM, E1))
    assert isinstance(note, Note)
    assert "a migration decides" in note.text


def test_a_guest_whose_disk_is_lost_is_ended_and_told_as_failed() -> None:
    core = running(living())

    note, destroy = core.handle(DiskGone(VM, "The registration was preempted."), 0.0)
    assert isinstance(note, Note)
    assert destroy == DestroyVm(VM)
    (stopped,) = said([*core.handle(VmDestroyed(VM), 0.0)])
    assert isinstance(stopped, VmStopped)
    assert stopped.reason == "its disk is lost here: The registration was preempted."


def test_a_migration_decides_about_a_guest_whose_disk_is_lost() -> None:
    core = running(living())
    told(core, migrate(core))

    actions = core.handle(DiskGone(VM, "Epoch 1 is over."), 0.0)

    assert DestroyVm(VM) not in actions
    assert SetHolds(VM, E1, Hold.FAULT) in actions


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
