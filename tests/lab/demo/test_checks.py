"""The demonstration's checks: each of them turns on what it is there to notice."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
import rich.console

from lab.demo import checks
from lab.demo.checks import Check, Sample
from lab.demo.play import STEPS
from lab.demo.report import Report, Result, as_data, exit_code
from shell.errors import DONE, FAILED, INCONCLUSIVE

Row = dict[str, Any]


def vm(steps: int = 10, **fields: Any) -> Row:
    row = {"name": "sql01", "state": "Online", "node": "node2", "epoch": 2, "steps": steps}
    return {**row, "memory_bytes": 8192, **fields}


def record(**fields: Any) -> Row:
    row = {
        "attempt": 1,
        "vm": "sql01",
        "source": "node1",
        "target": "node2",
        "network": "migration",
        "outcome": "completed",
        "reason": "the rest is small",
        "total_s": 1.0,
        "blackout_s": 0.02,
        "blackout": {"pause": 0.02},
        "rounds": [
            {
                "round": 0,
                "pages": 1,
                "left_pages": 1,
                "zero_pages": 0,
                "wire_bytes": 8192,
                "seconds": 0.5,
                "dirty_pages_at_end": 1,
            }
        ],
        "wire_bytes": 8192,
        "goodput_bytes_per_s": 16384.0,
        "verified": True,
        "asked_at": 100.0,
        "ended_at": 101.0,
    }
    return {**row, **fields}


def coming_online(name: str = "sql01", **fields: Any) -> Row:
    return {"id": checks.COMING_ONLINE, "vm": name, "node": "node1", "epoch": 3, **fields}


def moved() -> list[Row]:
    return [vm(10, node="node1", epoch=1), vm(20), vm(30)]


def test_a_created_vm_is_online_and_works() -> None:
    assert checks.created(vm(1), vm(2)).ok
    assert checks.created(vm(2), vm(2)).ok is False
    assert checks.created(vm(1, state="OnlinePending"), vm(2)).ok is False


def test_a_migration_that_did_all_it_should_passes() -> None:
    check = checks.migrated(record(), moved(), [])

    assert check.ok
    assert "10 steps before, 20 after" in check.sentence
    assert "20.0 ms" in check.sentence


@pytest.mark.parametrize(
    ("changed", "vms", "events", "says"),
    [
        ({"outcome": "failed", "reason": "node2 went away"}, moved(), [], "node2 went away"),
        ({"verified": False}, moved(), [], "byte-identical"),
        ({"verified": None}, moved(), [], "byte-identical"),
        ({"rounds": []}, moved(), [], "round 0"),
        ({"blackout": {}}, moved(), [], "blackout"),
        ({}, [vm(10, epoch=1), vm(20, node="node1"), vm(30, node="node1")], [], "on node1"),
        ({}, [vm(10, epoch=1), vm(20), vm(30, epoch=3)], [], "epoch went from 1 to 3"),
        ({}, moved(), [coming_online()], "started anew"),
        ({}, [vm(10, epoch=1), vm(5), vm(30)], [], "did not go on"),
        ({}, [vm(10, epoch=1), vm(20), vm(20)], [], "did not go on"),
    ],
)
def test_a_migration_that_missed_something_fails(
    changed: Row, vms: Sequence[Row], events: Sequence[Row], says: str
) -> None:
    check = checks.migrated(record(**changed), vms, events)

    assert check.ok is False
    assert says in check.sentence


def test_the_start_of_another_vm_is_no_trouble() -> None:
    assert checks.migrated(record(), moved(), [coming_online("web01")]).ok


def other(**fields: Any) -> Row:
    return record(vm="app01", source="node3", target="node4", **fields)


def test_two_at_once_must_have_overlapped_on_disjoint_pairs() -> None:
    assert checks.two_at_once([record(), other(asked_at=100.9, ended_at=102.0)]).ok
    assert checks.two_at_once([record(), other(asked_at=101.1, ended_at=102.0)]).ok is None
    assert checks.two_at_once([record(), other(outcome="failed")]).ok is False
    assert checks.two_at_once([record(), {**other(), "target": "node1"}]).ok is False


def refusal(**fields: Any) -> Row:
    answer = {"status": 409, "code": "node-busy", "message": "node2 is busy: wait."}
    return {**answer, "record": record(outcome="refused"), **fields}


def test_a_refusal_names_the_busy_node_leaves_a_record_and_touches_nothing() -> None:
    before = vm(1)

    assert checks.refused(refusal(), "web01", before, vm(5)).ok
    assert checks.refused(None, "web01", before, vm(5)).ok is False
    assert checks.refused(refusal(code="no-memory"), "web01", before, vm(5)).ok is False
    assert checks.refused(refusal(record=None), "web01", before, vm(5)).ok is False
    assert checks.refused(refusal(), "web01", before, vm(5, epoch=3)).ok is False


def samples(*pairs: tuple[float, int]) -> list[Sample]:
    return [Sample(at, steps) for at, steps in pairs]


def test_the_longest_stall_is_measured_between_two_moves() -> None:
    assert checks.longest_stall_s([]) == 0.0
    assert checks.longest_stall_s(samples((0, 1), (1, 2), (2, 2), (3, 2), (4, 3), (5, 4))) == 3.0
    assert checks.longest_stall_s(samples((0, 1), (1, 2), (6, 2))) == 5.0


GROWING = samples((0.0, 1), (1.0, 5), (2.0, 9))
ABORTED: Row = {"outcome": "failed", "reason": "node2 was lost", "blackout": {}, "verified": None}
STAYED = vm(9, node="node1")


def test_a_guest_whose_target_was_killed_runs_on() -> None:
    check = checks.target_killed(record(**ABORTED), "S5", GROWING, STAYED, [])

    assert check.ok
    assert "never stopped on node1 (8 steps meanwhile): node2 was lost" in check.sentence


@pytest.mark.parametrize("step", ["", "S4", "S11"])
def test_a_target_that_was_not_killed_in_mid_copy_proves_nothing(step: str) -> None:
    assert checks.target_killed(record(**ABORTED), step, GROWING, STAYED, []).ok is None


def test_a_migration_that_was_over_before_the_kill_proves_nothing() -> None:
    assert checks.target_killed(record(), "S6", GROWING, STAYED, []).ok is None


@pytest.mark.parametrize(
    ("changed", "seen", "now", "events"),
    [
        ({"outcome": "cancelled"}, GROWING, STAYED, []),
        ({"reason": ""}, GROWING, STAYED, []),
        ({"blackout": {"pause": 0.1}}, GROWING, STAYED, []),
        ({}, GROWING, vm(9), []),
        ({}, GROWING, STAYED, [coming_online()]),
        ({}, samples((0.0, 5), (1.0, 5)), STAYED, []),
        ({}, samples((0.0, 1), (1.0, 5), (9.0, 6)), STAYED, []),
    ],
)
def test_a_guest_that_suffered_from_its_target_fails(
    changed: Row, seen: list[Sample], now: Row, events: list[Row]
) -> None:
    failed = record(**{**ABORTED, **changed})

    assert checks.target_killed(failed, "S6", seen, now, events).ok is False


def failover(**changed: Any) -> Check:
    facts: dict[str, Any] = {
        "victim": {"name": "node4", "state": "Down"},
        "lost": [vm(50, node="node4", epoch=2)],
        "now": [vm(3, node="node1", epoch=3)],
        "later": [vm(9, node="node1", epoch=3)],
        "events": [coming_online()],
        "bystander": [vm(1, name="web01"), vm(2, name="web01")],
    }
    return checks.failed_over(**{**facts, **changed})


def test_the_vms_of_a_killed_node_are_started_once_elsewhere() -> None:
    check = failover()

    assert check.ok
    assert check.sentence == "started once each: sql01 on node1 under epoch 3"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"lost": [], "now": [], "later": []}, "no VM"),
        ({"victim": {"name": "node4", "state": "Up"}}, "is Up, not Down"),
        ({"now": [vm(3, node="node4", epoch=3)]}, "Online on node4"),
        ({"events": []}, "started 0 times"),
        ({"events": [coming_online(), coming_online(node="node3", epoch=4)]}, "started 2 times"),
        ({"events": [coming_online(node="node3")]}, "was not started"),
        ({"lost": [vm(50, node="node4", epoch=3)]}, "epochs of sql01 were 3, 3, 3"),
        ({"later": [vm(3, node="node1", epoch=3)]}, "does nothing"),
        ({"bystander": [vm(1), vm(2, epoch=9)]}, "was touched"),
        ({"bystander": [vm(2), vm(2)]}, "stood still"),
    ],
)
def test_a_failover_that_missed_something_fails(changed: Row, says: str) -> None:
    check = failover(**changed)

    assert check.ok is False
    assert says in check.sentence


def test_a_node_is_back_when_it_is_up_and_quorum_was_kept() -> None:
    assert checks.rejoined({"name": "node2", "state": "Up"}, True).ok
    assert checks.rejoined({"name": "node2", "state": "Joining"}, True).ok is False
    assert checks.rejoined({"name": "node2", "state": "Up"}, False).ok is False


def test_the_end_leaves_neither_processes_nor_files() -> None:
    assert checks.ended([], False).ok
    assert checks.ended([17], False).sentence == "still running: pid 17"
    assert checks.ended([], True).ok is False


def results(*verdicts: bool | None) -> list[Result]:
    return [Result(f"step-{ok}", Check(ok, "so it was"), 0.5, {"n": 1}) for ok in verdicts]


@pytest.mark.parametrize(
    ("verdicts", "wanted", "code"),
    [
        ((True, True), 2, DONE),
        ((True,), 2, FAILED),
        ((True, False), 2, FAILED),
        ((True, None), 2, INCONCLUSIVE),
        ((None, False), 2, FAILED),
        ((), 1, FAILED),
    ],
)
def test_the_exit_code_is_0_only_if_every_step_was_shown(
    verdicts: tuple[bool | None, ...], wanted: int, code: int
) -> None:
    assert exit_code(results(*verdicts), wanted) == code


def test_the_data_has_every_step_with_verdict_and_facts() -> None:
    data = as_data("demo-1", results(True, None), INCONCLUSIVE, 3.0)

    assert (data["lab"], data["ok"], data["seconds"]) == ("demo-1", False, 3.0)
    assert data["steps"][0] == {
        "step": "step-True",
        "ok": True,
        "verdict": "so it was",
        "seconds": 0.5,
        "n": 1,
    }


def test_the_report_says_all_to_a_person_and_nothing_to_a_script() -> None:
    said = []
    for silent in (False, True):
        out = io.StringIO()
        report = Report(rich.console.Console(file=out, width=120), silent=silent)
        report.title(1, "A step")
        report.note("a [remark]")
        report.record(record())
        report.verdict(results(None)[0])
        report.end(INCONCLUSIVE, 2.0, "logs/here")
        said.append(out.getvalue())

    assert all(
        word in said[0]
        for word in ("1. A step", "a [remark]", "byte-identical", "? so it was", "logs/here")
    )
    assert said[1] == ""


def test_every_step_of_the_demonstration_has_a_name_of_its_own() -> None:
    assert len({name for name, _, _ in STEPS}) == len(STEPS)
