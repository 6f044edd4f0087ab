from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.migration import admission
from coordinator.migration.attempts import Open
from coordinator.requests import Declined
from protocol.names import Decision, Fill, NodeName, Verify, VmName, VmSpec, Workload
from protocol.workload import format_size
from tests.coordinator.ground import MIB, spec
from tests.coordinator.stage import NODE_BYTES, SQL, WEB, A, B, Stage

Spoil = Callable[[Stage], object]


def small(stage: Stage) -> None:
    stage.vm(WEB, owner="b", memory_bytes=NODE_BYTES - 63 * MIB)


def paused(stage: Stage) -> None:
    stage.node("b", paused=True)


def joining(stage: Stage) -> None:
    stage.view("a", "c")
    for name in "ac":
        stage.hears(name, "ac")


def unreachable(stage: Stage) -> None:
    stage.cut("b")  # the others hear it: it is Up, and cannot be told anything


def pending(stage: Stage) -> None:
    stage.agent("a").vms.clear()


# What is wrong, the request's status and code, and what its sentence names.
REFUSALS: list[tuple[Spoil, VmName, str | None, int, str, tuple[str, ...]]] = [
    (lambda s: None, VmName("nope"), "b", 404, "unknown-vm", ("'nope'", "name one that exists")),
    (lambda s: None, SQL, "x", 404, "unknown-node", ("'x'", "one of its nodes")),
    (lambda s: None, SQL, "a", 409, "same-node", ("sql01", "node a", "another node")),
    (lambda s: s.vm(on=False, live=False), SQL, "b", 409, "vm-off", ("sql01", "start it")),
    (lambda s: s.vm(on=False), SQL, "b", 409, "vm-off", ("sql01", "start it")),
    (lambda s: s.vm(failed="crash", live=False), SQL, "b", 409, "vm-off", ("start it",)),
    (lambda s: s.vm(on=False, live=False), SQL, "a", 409, "vm-off", ("start it",)),
    (pending, SQL, "b", 409, "vm-pending", ("sql01", "not online yet", "wait")),
    (lambda s: s.cut("a"), SQL, "b", 409, "source-unreachable", ("Node a", "sql01", "wait")),
    (lambda s: s.die("b"), SQL, "b", 409, "node-down", ("Node b is Down", "choose another")),
    (paused, SQL, "b", 409, "node-paused", ("Node b is Paused", "resume it first")),
    (joining, SQL, "b", 409, "node-joining", ("Node b is Joining", "until it is Up")),
    (unreachable, SQL, "b", 409, "node-unreachable", ("Node b", "not connected")),
    (small, SQL, "b", 409, "no-memory", (f"{63 * MIB} bytes", f"{64 * MIB} are needed", "b")),
    (lambda s: s.attempt(), SQL, "c", 409, "vm-busy", ("attempt 1", "cancel it")),
]


@pytest.mark.parametrize(("spoil", "vm", "target", "status", "code", "words"), REFUSALS)
def test_a_migration_is_refused_with_what_is_wrong_and_what_would_be_right(
    spoil: Spoil, vm: VmName, target: str | None, status: int, code: str, words: tuple[str, ...]
) -> None:
    stage = Stage()
    stage.vm()
    assert not isinstance(admission.migration_target(stage.scene, SQL, B), Declined)
    spoil(stage)

    refusal = admission.migration_target(stage.scene, vm, NodeName(target) if target else None)

    assert isinstance(refusal, Declined)
    assert (refusal.status, refusal.code) == (status, code)
    assert refusal.sentence.endswith(".")
    for word in words:
        assert word in refusal.sentence, refusal.sentence


def test_a_busy_node_is_named_with_the_attempt_that_keeps_it_busy() -> None:
    stage = Stage("abcd")
    stage.vm()
    stage.vm(WEB, owner="c")
    stage.attempt(7)

    for source, target in ((WEB, "a"), (WEB, "b")):
        refusal = admission.migration_target(stage.scene, source, NodeName(target))
        assert isinstance(refusal, Declined)
        assert refusal.code == "node-busy"
        assert f"Node {target}" in refusal.sentence
        assert "attempt 7 of VM sql01" in refusal.sentence
        assert "wait for its end" in refusal.sentence
    chosen = admission.migration_target(stage.scene, WEB, None)
    assert chosen == (stage.row(WEB), "d"), "placement leaves busy nodes out"


def test_a_decided_attempt_keeps_its_nodes_busy_until_both_ends_have_cleaned_up() -> None:
    stage = Stage()
    stage.vm()
    stage.vm(WEB, owner="c")
    stage.aborted()
    assert admission.busy_with(stage.scene, B) is not None

    stage.aborted(ended_at=100.0)
    assert admission.busy_with(stage.scene, B) is None
    assert not isinstance(admission.migration_target(stage.scene, WEB, B), Declined)


def test_without_a_target_that_could_be_chosen_the_sentence_says_what_is_needed() -> None:
    stage = Stage("ab")
    stage.vm()
    paused(stage)

    refusal = admission.migration_target(stage.scene, SQL, None)
    assert isinstance(refusal, Declined)
    assert (refusal.code, str(64 * MIB) in refusal.sentence) == ("no-memory", True)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcdef")), max_size=12))
def test_no_node_ever_takes_part_in_two_attempts(asked: list[tuple[int, str]]) -> None:
    stage = Stage("abcdef")
    names = [VmName(f"vm{number}") for number in range(6)]
    for number, name in enumerate(names):
        stage.vm(name, owner="abcdef"[number])
    for number, target in asked:
        plan = Open(None, names[number], NodeName(target), "2008r2", Verify.OFF)
        if not isinstance(plan.draft(stage.scene), Declined):
            stage.write(plan)

    nodes = [
        node for row in stage.scene.book.unclosed.values() for node in (row.source, row.target)
    ]
    assert len(nodes) == len(set(nodes))
    assert all(row.decision is Decision.OPEN for row in stage.scene.book.unclosed.values())


# ---- new VMs


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, ("0 bytes", "at least 4096")),
        (-4096, ("-4096 bytes", "at least 4096")),
        (1, ("1 bytes", " 4096 would be")),
        (5000, ("5000 bytes", "4096 or 8192 would be")),
        (
            NODE_BYTES + 4096,
            (format_size(NODE_BYTES + 4096), f"largest has {format_size(NODE_BYTES)}", "no more"),
        ),
    ],
)
def test_memory_that_no_vm_can_have_is_refused(size: int, words: tuple[str, ...]) -> None:
    refusal = admission.check_spec(Stage().scene, spec(size))

    assert refusal is not None
    assert refusal.status == 422
    assert all(word in refusal.sentence for word in words), refusal.sentence
    assert "4096 or 4096" not in refusal.sentence


@pytest.mark.parametrize(("rate", "working_set"), [(-1, 0), (0, -1), (0, 8 * 4096 + 1)])
def test_a_workload_that_does_not_fit_its_vm_is_refused(rate: int, working_set: int) -> None:
    work = Workload("hotspot", rate, working_set)
    refusal = admission.check_spec(Stage().scene, VmSpec(8 * 4096, work, Fill.ZERO, 1))

    assert refusal is not None
    assert refusal.code == "bad-workload"
    assert "0 to 32768 bytes" in refusal.sentence


def test_every_size_from_one_page_to_the_largest_node_is_possible() -> None:
    scene = Stage().scene
    for size in (4096, 8192, NODE_BYTES - 4096, NODE_BYTES):
        assert admission.check_spec(scene, spec(size)) is None


def test_names_are_short_and_plain() -> None:
    for name in ("sql01", "SQL-01_a.b", "x" * 64):
        assert admission.check_vm_name(VmName(name)) is None
    for name in ("", "a/b", "x" * 65, "a b", "sql01\n", "ü"):
        refusal = admission.check_vm_name(VmName(name))
        assert refusal is not None, name
        assert "letters, digits" in refusal.sentence


def test_reservations_of_migrations_count_as_taken_memory() -> None:
    stage = Stage("abcd", memory_bytes=100 * MIB)
    stage.vm()
    stage.attempt()
    stage.vm(WEB, owner="c")

    for node in (A, B):
        refusal = admission.too_little(stage.scene, node, 64 * MIB)
        assert f"{36 * MIB} bytes" in refusal.sentence
    assert admission.check_target(stage.scene, stage.row(WEB), A) is not None


def test_a_guest_that_keeps_its_work_on_a_disk_needs_one() -> None:
    refusal = admission.check_spec(
        Stage().scene, VmSpec(8 * 4096, Workload("ledger"), Fill.ZERO, 1)
    )

    assert refusal is not None
    assert (refusal.status, refusal.code) == (422, "no-disk")
    assert "the VM has none: give it one, on a volume" in refusal.sentence


# ---- policies


@pytest.mark.parametrize(
    "policy", ["", "2008R2", "auto-converge:step=0.05", "ramp", "acme.mine", "acme.mine:pays=1"]
)
def test_a_policy_that_a_node_may_have_is_let_through(policy: str) -> None:
    assert admission.check_policy(policy) is None


@pytest.mark.parametrize("policy", ["never", "never:step=0.5", ":step=1"])
def test_a_policy_that_no_node_has_is_refused_before_memory_is_reserved(policy: str) -> None:
    declined = admission.check_policy(policy)

    assert declined is not None
    assert (declined.status, declined.code) == (422, "unknown-policy")
    assert "choose one of 2008r2, downtime, clark, auto-converge, ramp, post-copy" in (
        declined.sentence
    )
