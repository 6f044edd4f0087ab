import pytest

from coordinator.requests import CreateVm, EvictNode, MigrateVm, SetQuorum
from lab.script import Line, Rows, Stage, Standing, order_of, parse, places
from protocol.names import (
    PAGE_BYTES,
    AttemptId,
    Fill,
    NodeName,
    QuorumMode,
    Step,
    VmName,
    VmSpec,
    Witness,
    WitnessKind,
    Workload,
)

SPEC = VmSpec(PAGE_BYTES, Workload("idle"), Fill.ZERO, 1)
DISK = Witness("w", WitnessKind.DISK, "/w")
STAGE = Stage(SPEC, {QuorumMode.DISK_ONLY: DISK}.get, lambda: AttemptId(4))


def test_a_script_says_what_the_lab_is_made_of_and_what_is_done_when() -> None:
    script = parse(
        "# It promises.\nwith nodes 2 grace 6\n0.5 migrate a to node2 # now\nS6 add node3"
    )

    assert script.nodes == ("node1", "node2")
    assert script.spares == ("node3",)
    assert script.made_of["grace"] == "6"
    assert script.lines == (Line(0.5, "migrate a to node2"), Line(Step("S6"), "add node3"))


def test_who_comes_back_is_no_spare() -> None:
    assert parse("1 evict node3\n9 add node3").spares == ()


def test_a_lab_is_not_made_of_anything_else() -> None:
    with pytest.raises(ValueError, match="a lab is not made of cheese"):
        parse("with cheese 3")


def test_words_are_orders_of_operators_or_none() -> None:
    vm, node = VmName("a"), NodeName("node1")
    assert order_of(["vm", "a", "on", "node1"], STAGE) == CreateVm(vm, SPEC, node, start=True)
    assert isinstance(order_of(["migrate", "a", "to", "node1"], STAGE), MigrateVm)
    assert order_of(["evict", "node1"], STAGE) == EvictNode(node)
    assert order_of(["quorum", "DiskOnly"], STAGE) == SetQuorum(QuorumMode.DISK_ONLY, DISK)
    assert order_of(["kill", "node1"], STAGE) is None


def standing(node: str, members: tuple[str, ...] = ("n1",), holder: str = "") -> Standing:
    at = places([("a", node)] if node else [])
    return Standing(at, at, holder, Rows({"a": node}, members))


def test_what_is_not_known_is_like_everything() -> None:
    silent = Standing({"a": ("n1",)}, {"a": ("n1",)})

    assert standing("n1").is_like(silent)
    assert not standing("n2").is_like(silent)


def test_members_matter_where_something_runs() -> None:
    assert not standing("n1").is_like(standing("n1", ()))
    assert standing("").is_like(standing("", ()))


def test_it_matters_that_the_witness_is_held_and_not_by_whom() -> None:
    assert standing("n1", holder="n1").is_like(standing("n1", holder="n2"))
    assert not standing("n1", holder="n1").is_like(standing("n1"))


def test_a_vm_that_may_be_anywhere_is_still_where_its_owner_is() -> None:
    one, other, lost = standing("n1"), standing("n2"), standing("n3")
    stray = Standing(lost.runs, lost.copies, "", Rows({"a": "n2"}, ("n1",)))

    assert one.without_places({"a"}).is_like(other.without_places({"a"}))
    assert not one.without_places({"a"}).is_like(stray.without_places({"a"}))
