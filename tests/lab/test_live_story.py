from collections.abc import Iterator

import pytest

from agent.io.control import ControlBlock, WorkerState
from lab.errors import LabError
from lab.evidence import Witness
from lab.live_story import check_one_runs, moments, topology_for
from lab.procfs import Process
from lab.script import parse
from protocol.names import Epoch

RUNNING, PAUSED = WorkerState.RUNNING, WorkerState.PAUSED


@pytest.fixture
def copies() -> Iterator[list[Witness]]:
    made = [
        Witness(node, "a", Process(1, 1), ControlBlock.create(node)) for node in ("node1", "node2")
    ]
    yield made
    for one in made:
        one.control.close()


def say(one: Witness, state: WorkerState, changed_s: int, beat_s: int) -> None:
    one.control.answer(1, state, Epoch(1), changed_s * 10**9)
    one.control.beat(0, 0, beat_s * 10**9)


def test_two_guests_that_make_steps_since_both_began_are_an_error(copies: list[Witness]) -> None:
    say(copies[0], RUNNING, changed_s=1, beat_s=7)
    say(copies[1], RUNNING, changed_s=5, beat_s=6)

    with pytest.raises(LabError, match="a runs more than once: on node1 and node2"):
        check_one_runs("a", copies)


@pytest.mark.parametrize("state", [PAUSED, RUNNING])
def test_one_that_made_its_last_step_before_the_other_began_is_none(
    copies: list[Witness], state: WorkerState
) -> None:
    say(copies[0], state, changed_s=1, beat_s=4)
    say(copies[1], RUNNING, changed_s=5, beat_s=6)

    check_one_runs("a", copies)

    assert copies[1].control.reply.state is RUNNING


def test_nodes_die_and_return_together_and_all_else_comes_in_its_order() -> None:
    script = parse("0 vm a on node1\n0 vm b on node2\n5 kill node1\n5 kill node2\n6 kill node3")

    found = [(number, [line.words for line in lines]) for number, lines in moments(script.lines)]

    assert found == [
        (0, ["vm a on node1"]),
        (1, ["vm b on node2"]),
        (2, ["kill node1", "kill node2"]),
        (4, ["kill node3"]),
    ]


def test_a_real_lab_has_the_mode_of_the_script_and_its_times_as_the_clocks_are() -> None:
    topology = topology_for(parse("with nodes 2 mode DiskOnly grace 20\n0 kill node1"), 0.2, 5)

    assert list(topology.nodes) == ["node1", "node2"]
    assert topology.quorum.mode == "DiskOnly"
    assert topology.properties == {"QuorumGraceTime": 4}


def test_a_real_lab_has_no_spares() -> None:
    with pytest.raises(ValueError, match="no spare nodes"):
        topology_for(parse("1 add node4"), 0.2, 5)
