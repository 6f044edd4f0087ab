"""Whole stories through the one door, and the same story with the store failing everywhere."""

from collections.abc import Callable

import pytest

from coordinator.actions import Send, Transact
from coordinator.requests import (
    Accepted,
    CancelAttempt,
    CreateVm,
    Declined,
    DeleteVm,
    FormCluster,
    JoinNode,
    MigrateVm,
    PauseNode,
    ResumeNode,
    StartVm,
    StopVm,
)
from coordinator.store import Conflict, Indefinite, Result
from protocol.messages import Consented, Decided, GaveUp, Reserve, VmStopped
from protocol.names import AttemptId, Epoch, NodeName, Step, Verify, VmName
from tests.coordinator.driver import MIB, TIMING, World, another, formed, spec, with_vm

A, B, C = map(NodeName, "abc")
SQL = VmName("sql01")
MOVE = MigrateVm(SQL, B, "2008r2", Verify.FULL)


def sent(world: World, kind: type) -> list[Send]:
    return [
        action
        for action in world.actions
        if isinstance(action, Send) and isinstance(action.message, kind)
    ]


# ---- stories


def test_a_vm_is_created_moved_stopped_started_and_deleted() -> None:
    world = with_vm(formed())
    assert world.vm("sql01")["state"] == "Online"

    assert world.ask(MOVE) == Accepted({"attempt": 1})
    world.after(1)
    assert world.running() == {"a": [], "b": ["sql01"], "c": []}
    assert (world.row("vm/sql01")["epoch"], world.row("vm/sql01")["attempt"]) == (2, None)

    assert isinstance(world.ask(StopVm(SQL)), Accepted)
    world.after(1)
    assert world.vm("sql01")["state"] == "Offline"
    assert isinstance(world.ask(StartVm(SQL)), Accepted)
    world.after(1)
    assert world.running()["b"] == ["sql01"], "it starts where it was"
    assert world.row("vm/sql01")["epoch"] == 3
    world.ask(StopVm(SQL))
    assert world.ask(DeleteVm(SQL)) == Accepted({"vm": "sql01"})
    assert world.store.get("vm/sql01").value is None


def test_the_commit_is_on_its_way_in_the_same_turn_as_the_consent() -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    world.after(1)
    order = world["a"].sources[1]

    before = len(world.actions)
    world["a"].consent(order)
    event = world.inbox.popleft()
    actions = world.core.handle(event, world.now)

    commits = [action for action in actions if isinstance(action, Transact)]
    assert len(commits) == 1
    assert len(world.actions) == before
    keys = {compare.key for compare in commits[0].txn.compares}
    assert {"attempt/000000001", "vm/sql01", "view"} <= keys
    assert not any(isinstance(action, Send) for action in actions), "nobody is told before"


def test_the_record_has_every_field_of_the_contract() -> None:
    world = with_vm(formed())
    world.ask(MOVE)
    world.after(1)

    record = world.attempt(1)
    assert (record["outcome"], record["verified"], record["network"]) == (
        "completed",
        True,
        "migration",
    )
    assert record["blackout_s"] == pytest.approx(sum(record["blackout"].values()))
    assert list(record["blackout"]) == ["pause", "last pages", "storage", "commit", "resume"]
    assert record["rounds"][0]["pages"] == 1000
    assert record["wire_bytes"] == 4_000_000
    assert record["total_s"] >= 0
    assert record["predicted"] is None


def test_a_target_that_gives_up_leaves_the_guest_on_the_source_under_a_new_epoch() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    target = world["b"]
    head = (target.known, target.term, target.incarnation)
    target.say(GaveUp(*head, AttemptId(1), SQL, Epoch(1), False, Step.FIRST_ROUND, "no memory"))
    world.drain()
    world.after(1)

    record = world.attempt(1)
    assert (record["outcome"], record["reason"]) == ("failed", "no memory")
    assert world["a"].vms == {SQL: 2}
    assert world["b"].vms == {}
    assert 21502 in world.events()


def test_a_cancelled_migration_says_so_and_cannot_be_cancelled_twice() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)

    assert isinstance(world.ask(CancelAttempt(AttemptId(1))), Accepted)
    world.after(1)
    again = world.ask(CancelAttempt(AttemptId(1)))

    assert world.attempt(1)["outcome"] == "cancelled"
    assert world["a"].vms == {SQL: 2}
    assert isinstance(again, Declined)
    assert again.status == 409
    unknown = world.ask(CancelAttempt(AttemptId(9)))
    assert isinstance(unknown, Declined)
    assert unknown.status == 404


def test_a_consent_that_comes_after_the_abort_was_written_changes_nothing() -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    world["a"].ends = False
    world.ask(CancelAttempt(AttemptId(1)))
    world["a"].consent(world["a"].sources[1])
    world.drain()
    world["a"].ends = True
    world.after(2)

    assert world.attempt(1)["outcome"] == "cancelled"
    assert world.running() == {"a": ["sql01"], "b": [], "c": []}


def test_a_target_killed_in_mid_copy_ends_the_attempt_and_the_guest_stays() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    world.die("b")
    world.after(10)

    assert world.attempt(1)["outcome"] == "failed"
    assert "removed from the cluster" in world.attempt(1)["reason"]
    assert world["a"].vms == {SQL: 2}


def test_a_source_killed_in_mid_copy_ends_the_attempt_and_starts_the_vm_once() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    world.die("a")
    world.after(10)

    assert world.attempt(1)["decision"] == "aborted"
    running = world.running()
    assert (running["b"] == ["sql01"]) != (running["c"] == ["sql01"])
    assert world.row("vm/sql01")["epoch"] == 3


def test_a_dead_nodes_vms_start_elsewhere_once_on_the_emptiest_nodes() -> None:
    world = formed()
    for number in range(4):
        world.ask(CreateVm(VmName(f"vm{number}"), spec(), A, True))
    world.die("a")
    world.after(10)

    running = world.running()
    assert len(running["b"]) == len(running["c"]) == 2
    assert sorted(running["b"] + running["c"]) == ["vm0", "vm1", "vm2", "vm3"]
    assert world.events().count(1135) == 1
    assert world.node("a")["state"] == "Down"


def test_nothing_is_started_elsewhere_before_the_view_without_the_owner_holds() -> None:
    world = with_vm(formed(b={"acks": True}))
    for name in "bc":
        world[name].acks = False
    world.die("a")
    world.after(30)
    assert world.running()["b"] == world.running()["c"] == []
    assert world.row("vm/sql01")["owner"] == "a"

    world["b"].acks = world["c"].acks = True
    world.after(2)
    assert world.row("vm/sql01")["owner"] != "a"


def test_a_node_that_comes_back_is_a_new_member_and_its_old_life_never_is() -> None:
    world = with_vm(formed())
    world["a"].reborn()
    world.connect("a")
    world.after(2)

    row = world.row("view")
    assert [member["incarnation"] for member in row["members"]] == ["a-2", "b-1", "c-1"]
    assert row["left"] == ["a-1"]
    assert world.row("vm/sql01")["epoch"] == 2, "its VM was restarted"

    world["a"].life = 1
    world.connect("a")
    world.after(10)
    assert "a-1" not in [member["incarnation"] for member in world.row("view")["members"]]


def test_a_joined_node_is_up_once_the_old_and_the_new_votes_hold() -> None:
    world = formed()
    world.add(NodeName("d"))
    world.connect("d")
    assert [node["name"] for node in world.core.picture().available] == ["d"]

    answer = world.ask(JoinNode(NodeName("d")))
    world.all_hear_all()

    assert answer == Accepted({"node": "d"})
    assert world.node("d")["state"] == "Up"
    assert world.core.picture().status["quorum"]["votes"] == 4
    world.die("b")
    world.after(TIMING.outlast_s - 0.5)
    assert len(world.row("view")["members"]) == 4, "after changed votes no view for a while"
    world.after(10)
    assert len(world.row("view")["members"]) == 3


def test_a_vm_that_fails_is_restarted_elsewhere_once_and_then_stays_failed() -> None:
    world = with_vm(formed())

    def fail(name: str) -> None:
        agent = world[name]
        epoch = agent.vms.pop(SQL)
        head = (agent.known, agent.term, agent.incarnation)
        agent.say(VmStopped(*head, SQL, epoch, "its worker ended"))
        world.drain()
        world.after(3)

    fail("a")
    assert world.running() == {"a": [], "b": ["sql01"], "c": []}
    fail("b")
    assert world.running() == {"a": [], "b": [], "c": []}
    assert world.vm("sql01")["state"] == "Failed"
    assert world.events().count(1069) == 2
    assert 1254 in world.events()

    assert isinstance(world.ask(StartVm(SQL)), Accepted)
    world.after(1)
    assert world.vm("sql01")["state"] == "Online"


def test_a_vm_that_fails_while_it_moves_ends_the_attempt_with_it() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(MOVE)
    agent = world["a"]
    agent.vms.clear()
    agent.say(VmStopped(agent.known, agent.term, agent.incarnation, SQL, Epoch(1), "it crashed"))
    world.drain()
    world.after(5)

    assert world.attempt(1)["decision"] == "aborted"
    assert sum(names == ["sql01"] for names in world.running().values()) == 1


def test_what_a_node_runs_without_owning_it_is_stopped() -> None:
    world = with_vm(formed())
    world["c"].vms = {SQL: Epoch(1), VmName("ghost"): Epoch(3)}
    world.after(2)

    assert world.running() == {"a": ["sql01"], "b": [], "c": []}


def test_a_start_that_was_lost_is_ordered_again() -> None:
    world = with_vm(formed())
    world["a"].vms.clear()
    world.after(4)

    assert world.running()["a"] == ["sql01"]


def test_a_drain_moves_all_vms_one_after_the_other_and_resume_ends_the_pause() -> None:
    world = formed()
    for number in range(3):
        world.ask(CreateVm(VmName(f"vm{number}"), spec(), A, True))
    world.after(1)

    assert isinstance(world.ask(PauseNode(A, True)), Accepted)
    world.after(5)

    assert world.running()["a"] == []
    assert (world.node("a")["state"], world.node("a")["draining"]) == ("Paused", False)
    assert 1136 in world.events()
    refused = world.ask(MigrateVm(VmName("vm0"), A, "2008r2", Verify.OFF))
    assert isinstance(refused, Declined)
    assert refused.status == 409
    assert isinstance(world.ask(ResumeNode(A)), Accepted)
    assert world.node("a")["state"] == "Up"


def test_a_drain_gives_a_vm_up_after_two_tries() -> None:
    world = with_vm(formed(a={"copies": False}))
    world.ask(PauseNode(A, True))
    for number in (1, 2):
        source = world["a"]
        head = (source.known, source.term, source.incarnation)
        source.say(GaveUp(*head, AttemptId(number), SQL, Epoch(number), True, Step.CONNECT, "no"))
        world.drain()
        world.after(2)

    assert world.node("a")["draining"] is False
    assert world.running()["a"] == ["sql01"]
    assert 1137 in world.events()


# ---- refusals


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (MigrateVm(VmName("nope"), B, "", Verify.OFF), 404, "no VM 'nope'"),
        (MigrateVm(SQL, NodeName("x"), "", Verify.OFF), 404, "no node 'x'"),
        (MigrateVm(SQL, A, "", Verify.OFF), 409, "already"),
        (MigrateVm(VmName("off"), B, "", Verify.OFF), 409, "is off"),
        (CreateVm(SQL, spec(), None, True), 409, "exists"),
        (CreateVm(VmName("a/b"), spec(), None, True), 422, "letters"),
        (CreateVm(VmName("x" * 65), spec(), None, True), 422, "1 to 64"),
        (CreateVm(VmName("new"), spec(0), None, True), 422, "at least 4096"),
        (CreateVm(VmName("new"), spec(-4096), None, True), 422, "-4096"),
        (CreateVm(VmName("new"), spec(5000), None, True), 422, "4096 or 8192"),
        (CreateVm(VmName("new"), spec(2048 * MIB), None, True), 422, "largest has"),
        (CreateVm(VmName("new"), spec(), NodeName("x"), True), 404, "no node"),
        (DeleteVm(SQL), 409, "not off"),
        (DeleteVm(VmName("nope")), 404, "no VM"),
        (StartVm(SQL), 409, "on already"),
        (StopVm(VmName("off")), 409, "off already"),
        (JoinNode(A), 409, "already"),
        (JoinNode(NodeName("x")), 409, "not connected"),
        (FormCluster("other", (A,)), 409, "already"),
        (PauseNode(NodeName("x"), False), 404, "no node"),
        (ResumeNode(A), 409, "not paused"),
    ],
)
def test_what_cannot_be_done_is_declined_with_a_sentence_and_changes_no_vm(
    body: object, status: int, words: str
) -> None:
    world = with_vm(with_vm(formed()), "off", "b", start=False)
    before = {row.key: row for row in world.store.range("vm/") + world.store.range("view")}

    answer = world.ask(body)  # type: ignore[arg-type]

    assert isinstance(answer, Declined), answer
    assert answer.status == status
    assert words in answer.sentence
    assert answer.sentence.endswith(".")
    after = {row.key: row for row in world.store.range("vm/") + world.store.range("view")}
    assert before == after


def test_a_refused_migration_leaves_a_record_of_its_own() -> None:
    world = with_vm(formed())
    world.ask(MigrateVm(SQL, A, "2008r2", Verify.OFF))

    record = world.attempt(1)
    assert (record["outcome"], record["vm"], record["target"]) == ("refused", "sql01", "a")
    assert 21111 in world.events()
    assert world.ask(MOVE) == Accepted({"attempt": 2})


def test_a_busy_node_is_refused_with_the_attempt_that_keeps_it_busy() -> None:
    world = with_vm(with_vm(formed("abcd", a={"copies": False})), "web01", "c")
    world.ask(MOVE)

    for body in (
        MigrateVm(VmName("web01"), B, "", Verify.OFF),
        MigrateVm(VmName("web01"), A, "", Verify.OFF),
    ):
        answer = world.ask(body)
        assert isinstance(answer, Declined)
        assert answer.status == 409
        assert "attempt 1 of VM sql01" in answer.sentence
    moved = world.ask(MigrateVm(VmName("web01"), NodeName("d"), "2008r2", Verify.OFF))
    assert moved == Accepted({"attempt": 4}), "disjoint pairs may move at once"
    answer = world.ask(StopVm(SQL))
    assert isinstance(answer, Declined)
    assert "attempt 1" in answer.sentence


def test_a_target_without_memory_or_down_or_paused_is_refused() -> None:
    world = with_vm(formed(b={"memory_bytes": 32 * MIB}))
    small = world.ask(MOVE)
    assert isinstance(small, Declined)
    assert small.code == "no-memory"
    world.ask(PauseNode(C, False))
    paused = world.ask(MigrateVm(SQL, C, "", Verify.OFF))
    assert isinstance(paused, Declined)
    assert paused.code == "node-paused"
    world.die("c")
    world.after(10)
    down = world.ask(MigrateVm(SQL, C, "", Verify.OFF))
    assert isinstance(down, Declined)
    assert down.code == "node-down"
    none = world.ask(MigrateVm(SQL, None, "", Verify.OFF))
    assert isinstance(none, Declined)
    assert none.code == "no-memory"


# ---- the store fails at every point


def story(world: World) -> World:
    """Form, create, move, drain, kill a node, bring it back: every transaction but joins."""
    world.all_hear_all()
    world.begin()
    world.connect()
    world.ask(FormCluster("test", (A, B, C), TIMING))
    world.after(1)
    world.ask(CreateVm(SQL, spec(), A, True))
    world.ask(CreateVm(VmName("web01"), spec(), C, True))
    world.after(2)
    world.ask(MOVE)
    world.after(2)
    world.ask(PauseNode(B, True))
    world.after(4)
    world.ask(ResumeNode(B))
    world.after(1)
    world.die("a")
    world.after(10)
    world["a"].reborn()
    world.connect("a")
    world.all_hear_all()
    world.after(4)
    world.ask(StopVm(VmName("web01")))
    world.after(3)
    return world


Spoiler = Callable[[Transact, Callable[[], Result]], Result]


def spoiler(world: World, at: int, how: str) -> tuple[Spoiler, list[int]]:
    """Spoils transaction number `at`; the list counts them."""
    count = [0]

    def spoil(action: Transact, honest: Callable[[], Result]) -> Result:
        count[0] += 1
        if count[0] != at:
            return honest()
        if how == "applied":
            honest()
        return Conflict(()) if how == "conflict" else Indefinite("the wire broke")

    return spoil, count


@pytest.mark.parametrize("how", ["applied", "lost", "conflict"])
def test_the_story_ends_the_same_whichever_answer_of_the_store_is_lost(how: str) -> None:
    expected = story(World())
    rows = without_stamps(expected)
    at = 0
    while True:
        at += 1
        world = World()
        world.spoil, count = spoiler(world, at, how)
        story(world)
        assert without_stamps(world) == rows, f"transaction {at}, {how}"
        assert world.running() == expected.running()
        assert world.events() == expected.events(), f"transaction {at}, {how}"
        if count[0] < at:
            break
    assert at > 20


def without_stamps(world: World) -> dict[str, object]:
    """All rows but the log, without what depends on the moment."""
    kept: dict[str, object] = {}
    for row in world.store.range("", limit=100_000):
        if not row.key.startswith(("event/", "counter")):
            assert row.value is not None
            fleeting = ("by", "asked_at", "ended_at", "joined_at", "restarted_at")
            kept[row.key] = {k: v for k, v in row.value.items() if k not in fleeting}
    return kept


# ---- the coordinator restarts


def handed_over(world: World) -> World:
    """A new coordinator whom all agents call; what the old one knew is gone."""
    second = another(world)
    second.begin()
    second.connect()
    return second


@pytest.mark.parametrize("prepared", [True, False])
def test_a_consented_attempt_commits_after_a_restart_if_the_target_has_it_all(
    prepared: bool,
) -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    source = world["a"]
    source.consented.add(1)
    if prepared:
        world["b"].prepared.add(1)

    second = handed_over(world)
    second.after(3)

    record = second.attempt(1)
    assert record["outcome"] == ("completed" if prepared else "failed")
    assert second.running()["b" if prepared else "a"] == ["sql01"]
    assert len(sent(second, Decided)) >= 2


def test_an_attempt_that_still_copies_goes_on_after_a_restart() -> None:
    world = with_vm(formed(a={"consents": False}))
    world.ask(MOVE)
    second = handed_over(world)
    second.after(1)
    assert second.attempt(1)["state"] == "Travelling"

    second["a"].consent(second["a"].sources[1])
    second.drain()
    second.after(1)
    assert second.attempt(1)["outcome"] == "completed"


def test_an_attempt_whose_source_is_silent_is_aborted_after_two_leases() -> None:
    world = with_vm(formed("abcde", a={"consents": False}))
    world.ask(MOVE)
    second = another(world)
    second.begin()
    second.connect("b", "c", "d", "e")
    second.after(2 * TIMING.support_s - 1)
    assert second.attempt(1)["decision"] == "open"
    second.after(3)
    assert second.attempt(1)["decision"] == "aborted"

    second.connect("a")
    second.after(3)
    assert second.attempt(1)["outcome"] == "failed"
    assert second["a"].vms == {SQL: 2}


def test_a_decided_attempt_is_told_by_the_next_leader() -> None:
    world = with_vm(formed(a={"ends": False}, b={"ends": False}))
    world.ask(MOVE)
    assert world.attempt(1)["decision"] == "committed"
    second = handed_over(world)
    for name in "ab":
        second[name].ends = True
    second.after(3)

    assert second.attempt(1)["outcome"] == "completed"
    assert second.running() == {"a": [], "b": ["sql01"], "c": []}


@pytest.mark.parametrize("crash_at", range(1, 40))
def test_a_coordinator_that_dies_at_any_event_leaves_a_story_that_its_heir_can_end(
    crash_at: int,
) -> None:
    world = with_vm(formed())
    world.inbox.clear()
    steps = 0
    world.ask_later(MOVE)
    while world.inbox and steps < crash_at:
        world.carry(world.core.handle(world.inbox.popleft(), world.now))
        steps += 1

    second = handed_over(world)
    second.after(15)

    running = second.running()
    assert sum(names == ["sql01"] for names in running.values()) == 1, running
    row = second.row("vm/sql01")
    assert running[row["owner"]] == ["sql01"]
    assert row["attempt"] is None
    assert second[row["owner"]].vms[SQL] == row["epoch"]
    for attempt in second.core.picture().attempts:
        assert attempt["decision"] != "open"
        assert attempt["ended_at"] is not None


def test_reserve_names_the_source_and_the_token_that_the_source_will_show() -> None:
    world = with_vm(formed())
    world.ask(MOVE)
    (reserve,) = [action.message for action in sent(world, Reserve)]
    assert isinstance(reserve, Reserve)

    assert reserve.source.node == A
    assert len(reserve.token) == 64
    assert world.core.picture().attempts[0]["verify"] == "full"
    assert not any(isinstance(action.message, Consented) for action in sent(world, Reserve))
