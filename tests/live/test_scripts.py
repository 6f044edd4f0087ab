"""Scenarios of the simulation on real processes: all comes to stand as it does there.

What one copy of a guest is, is seen in the workers' own shared memory, again and again.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.guests import MAX_STEP_PAGES
from lab.cluster import running
from lab.home import Home
from lab.live_story import AT_END, LiveStory, Look, Missed, topology_for
from lab.script import Standing, parse
from lab.simulation.story import Story
from protocol.names import Fill, VmSpec
from protocol.workload import parse_workload
from tests.live.frozen import Frozen

SCENARIOS = Path(__file__).parent.parent / "scenarios"
DELAY_S = 0.2
THRESHOLD = 5
MIB = 2**20
TRIES = 3
SMALL = VmSpec(16 * MIB, parse_workload("wave:rate=20MB/s"), Fill.RANDOM, 7)
BUSY = VmSpec(256 * MIB, parse_workload("sweep:rate=4GB/s"), Fill.RANDOM, 7)
"""Its migration has many rounds, so that it can be hurt in one of them."""

CASES = {
    "the-owner-dies-and-its-guests-start-elsewhere": SMALL,
    "the-source-dies-in-round-1-and-the-vm-starts-once-elsewhere": BUSY,
    "the-target-dies-in-round-1-and-the-guest-stays": BUSY,
    "the-coordinator-restarts-in-mid-migration-and-it-goes-on": BUSY,
    "guests-end-with-the-majority-and-come-back-with-it": SMALL,
    "with-a-disk-either-of-two-nodes-may-die": SMALL,
    "with-a-share-two-of-four-nodes-may-die": SMALL,
    "with-disk-only-one-node-is-enough": SMALL,
    "a-forced-quorum-runs-under-an-oath": SMALL,
    "an-evicted-node-comes-back-as-a-stranger": SMALL,
    "a-stopped-node-gives-its-groups-away": SMALL,
    "the-quorum-mode-changes-while-guests-run": SMALL,
    "a-guest-that-dies-twice-fails-over": SMALL,
}
ANYWHERE = {
    "guests-end-with-the-majority-and-come-back-with-it": frozenset({"sql01", "web01"}),
    "a-stopped-node-gives-its-groups-away": frozenset({"sql01", "web01"}),
}
"""VMs whose node depends on which of two nodes, or guests, was the first."""


@pytest.mark.parametrize("name", CASES)
async def test_real_processes_come_to_stand_as_the_simulation_does(
    name: str, tmp_path: Path, story: list[Path]
) -> None:
    seen = await told(name, CASES[name], tmp_path, story)

    assert {len(nodes) for nodes in seen.runs.values()} == {1}
    assert seen.runs == seen.copies


async def test_a_guest_whose_agent_sleeps_longer_than_its_lease_is_still_before_and_after(
    tmp_path: Path, story: list[Path]
) -> None:
    with Frozen("node1", "sql01") as guest:
        name = "a-frozen-agent-loses-its-guests-before-they-start-elsewhere"
        looks: dict[str, Look] = {"thaw node1": guest.look, AT_END: guest.look_again}
        await play(name, SMALL, tmp_path, story, looks)

        assert (guest.outlets, guest.files_changed) == ([], [])
        assert (guest.steps_made, guest.pages_changed) == (0, 0)


async def test_a_guest_that_slept_longer_than_its_lease_ends_its_batch_and_does_no_more(
    tmp_path: Path, story: list[Path]
) -> None:
    with Frozen("node1", "sql01") as guest:
        name = "a-frozen-node-wakes-without-a-step"
        looks: dict[str, Look] = {"thaw node1": guest.wake, AT_END: guest.look_again}
        await play(name, SMALL, tmp_path, story, looks)

        assert (guest.outlets, guest.files_changed) == ([], [])
        assert 0 <= guest.steps_made <= MAX_STEP_PAGES
        assert 0 <= guest.pages_changed <= MAX_STEP_PAGES + 1, "the batch, and its registers"


async def told(name: str, spec: VmSpec, tmp_path: Path, logs: list[Path]) -> Standing:
    """A migration on a busy machine may be over before anybody sees its rounds: then once more."""
    for attempt in range(TRIES - 1):
        with contextlib.suppress(Missed):
            return await play(name, spec, tmp_path, logs, home=f"home{attempt}")
    return await play(name, spec, tmp_path, logs)


async def play(
    name: str,
    spec: VmSpec,
    tmp_path: Path,
    logs: list[Path],
    looks: Mapping[str, Look] | None = None,
    home: str = "home",
) -> Standing:
    """First in the simulation, which must end well, then on real processes."""
    text = (SCENARIOS / name / "script").read_text()
    simulated = Story(text)
    assert simulated.play().endswith("all is well\n")
    script, place = parse(text), Home(tmp_path / home)
    logs.append(place.folder("test") / "logs")
    async with running(topology_for(script, DELAY_S, THRESHOLD), place) as cluster:
        standings, anywhere = simulated.standings, ANYWHERE.get(name, frozenset())
        live = LiveStory(script, standings, cluster, spec, anywhere)
        try:
            return await live.play(looks)
        except BaseException:
            # The lab's folder goes with the lab; its logs are what a failure has to tell.
            kept = tmp_path / f"logs of {home}"
            (cluster.lab.state_dir / "logs").rename(kept)
            logs[-1] = kept
            raise
