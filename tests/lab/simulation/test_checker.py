"""The checker sees each kind of broken promise, and lets the lawful pass."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from agent.actions import NodeRecord
from coordinator.store.interface import Put, Txn
from lab.simulation.ballots import Violation
from lab.simulation.checker import CheckedStore, Checker
from lab.simulation.guest import LeasePage, SimWorker, wave_is_whole
from lab.simulation.operators import wave_vm
from lab.simulation.world import Clock, World
from protocol.messages import ViewAcked
from protocol.names import (
    ClusterId,
    Epoch,
    Hold,
    Incarnation,
    NodeName,
    Term,
    ViewNumber,
    VmName,
    VoteConfig,
)

VM = VmName("vm1")
HOME = ClusterId("home")
VOTER = NodeName("voter")
"""Has the only vote, and is in every view."""


@dataclass
class Machine:
    """A disk, and nothing that runs."""

    disk: NodeRecord = field(default_factory=NodeRecord)
    agent: None = None


class Ground:
    """A store, a checker and workers, with nobody else."""

    def __init__(self) -> None:
        self.world = World(1)
        self.truth = CheckedStore()
        self.term = self.truth.take_term(1, "c1")
        self.checker = Checker(self.world, self.truth)
        self.voter = Machine()
        self.checker.machines = cast(Any, {VOTER: self.voter})

    def write(self, **rows: dict[str, Any]) -> None:
        puts = tuple(Put(key.replace("_", "/"), value) for key, value in rows.items())
        self.truth.apply(Txn(self.term, puts=puts))
        self.checker.after_event()

    def view(self, number: int, *lives: str, held: bool = True) -> None:
        votes = {"index": 1, "votes": [[VOTER, 1]], "witness": None, "forced": False}
        members = [{"node": life[:-2], "incarnation": life} for life in (*lives, f"{VOTER}-1")]
        shown = {"members": members, "votes": votes}
        if held:
            self.acknowledge(number)
        self.write(view={"number": number, "term": 1, "held": held, "held_view": shown, **shown})

    def acknowledge(self, number: int) -> None:
        votes = VoteConfig(1, ((VOTER, 1),))
        self.voter.disk = NodeRecord(HOME, Term(1), ViewNumber(number), votes)
        life = Incarnation(f"{VOTER}-1")
        said = ViewAcked(HOME, Term(1), life, ViewNumber(number))
        self.checker.agent_says(VOTER, life, said)

    def owner(self, life: str, epoch: int, live: bool = True) -> None:
        row = {"owner_incarnation": life, "epoch": epoch, "live": live, "attempt": None}
        self.write(vm_vm1=row)

    def worker(self, life: str, epoch: int, lease_s: float = 100.0) -> SimWorker:
        clock = Clock(self.world)
        made = SimWorker(
            self.world,
            clock,
            LeasePage(lease_s),
            Incarnation(life),
            VM,
            Epoch(epoch),
            wave_vm(10),
            Hold.NONE,
        )
        made.begins = self.checker.guest_begins
        self.checker.guest_made(made)
        return made


def attempt(decision: str, ended: float | None = None) -> dict[str, Any]:
    return {
        "vm": "vm1",
        "source": "a",
        "target": "b",
        "source_incarnation": "a-1",
        "target_incarnation": "b-1",
        "decision": decision,
        "ended_at": ended,
    }


def test_the_owner_runs_its_guest() -> None:
    ground = Ground()
    ground.view(1, "a-1")
    ground.owner("a-1", 1)
    worker = ground.worker("a-1", 1)

    worker.look()

    assert worker.is_running()


def test_a_second_copy_is_seen_when_it_begins() -> None:
    ground = Ground()
    ground.view(1, "a-1", "b-1")
    ground.owner("a-1", 1)
    ground.worker("a-1", 1).look()
    second = ground.worker("a-1", 1)

    with pytest.raises(Violation, match="vm1 begins on a-1"):
        second.look()


def test_a_copy_whose_lease_has_ended_does_not_count_as_running() -> None:
    ground = Ground()
    ground.view(1, "a-1", "b-1")
    ground.owner("a-1", 1)
    first = ground.worker("a-1", 1, lease_s=5.0)
    first.look()
    ground.world.run(6.0)
    ground.view(2, "b-1")
    ground.owner("b-1", 2)

    second = ground.worker("b-1", 2)
    second.look()

    assert second.is_running()
    assert not first.is_running()


def test_a_guest_of_nobody_may_not_run() -> None:
    with pytest.raises(Violation, match="there is no such VM"):
        Ground().worker("a-1", 1).look()


def test_a_view_that_holds_while_the_one_left_out_runs_is_seen() -> None:
    ground = Ground()
    ground.view(1, "a-1", "b-1")
    ground.owner("a-1", 1)
    ground.worker("a-1", 1).look()

    with pytest.raises(Violation, match="view 2 holds without a-1"):
        ground.view(2, "b-1")


def test_an_epoch_has_one_owner_and_never_goes_back() -> None:
    ground = Ground()
    ground.view(1, "a-1", "b-1")
    ground.owner("a-1", 3)
    with pytest.raises(Violation, match="epoch 3 of vm1 was a-1's"):
        ground.owner("b-1", 3)

    ground = Ground()
    ground.owner("a-1", 3, live=False)
    with pytest.raises(Violation, match="went from 3 back to 2"):
        ground.owner("a-1", 2, live=False)


def test_a_vm_is_given_to_members_of_a_view_that_holds_only() -> None:
    ground = Ground()
    ground.view(1, "a-1")
    ground.owner("a-1", 1, live=False)

    with pytest.raises(Violation, match="b-1, which is in no view that holds"):
        ground.owner("b-1", 2)


def test_an_attempt_is_decided_once() -> None:
    ground = Ground()
    ground.write(attempt_1=attempt("aborted"))

    with pytest.raises(Violation, match="was aborted and is committed"):
        ground.write(attempt_1=attempt("committed"))


def test_a_node_takes_part_in_one_attempt_at_a_time() -> None:
    ground = Ground()
    ground.write(attempt_1=attempt("open"))
    with pytest.raises(Violation, match="attempts 1 and 2"):
        ground.write(attempt_2=attempt("open"))

    ground = Ground()
    ground.write(attempt_1=attempt("open"))
    ground.write(attempt_1=attempt("aborted", ended=1.0))
    ground.write(attempt_2=attempt("open"))
    assert ground.checker.attempts[2]["decision"] == "open"


def test_two_views_of_one_number_are_seen() -> None:
    ground = Ground()
    ground.view(1, "a-1", held=False)

    with pytest.raises(Violation, match="two views 1"):
        ground.view(1, "b-1", held=False)


def test_a_node_that_forgets_a_term_is_seen() -> None:
    ground = Ground()
    old, new = NodeRecord(HOME, highest_term=Term(3)), NodeRecord(HOME, highest_term=Term(2))

    with pytest.raises(Violation, match="go back"):
        ground.checker.persisted(NodeName("a"), old, new)


@pytest.mark.parametrize("count", [0, 1, 7, 15, 16, 200])
def test_a_wave_is_whole_after_any_number_of_steps(count: int) -> None:
    worker = Ground().worker("a-1", 1)
    worker.step(count)

    assert wave_is_whole(worker.pages)
    assert worker.steps == count


def test_a_page_that_is_one_step_behind_breaks_the_wave() -> None:
    worker = Ground().worker("a-1", 1)
    worker.step(20)
    worker.pages[3] -= 1

    assert not wave_is_whole(worker.pages)


def test_however_steps_are_cut_the_pages_and_marks_are_the_same() -> None:
    one, many = Ground().worker("a-1", 1), Ground().worker("a-1", 1)
    one.step(40)
    for _ in range(40):
        many.step(1)

    assert (one.pages, one.dirty) == (many.pages, many.dirty)
