import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from lab.errors import LabError, LabRunning, StartFailed, UnknownNode
from lab.home import Home, LabRecord
from lab.launching import Programs
from lab.loopback import Loopback, Ports
from lab.processes import (
    kill_coordinator,
    kill_node,
    restart_coordinator,
    restart_node,
    signal_node,
    start_lab,
    stop_lab,
)
from lab.procfs import family, runs
from lab.procfs import stat as process_stat
from lab.topology import parse_topology

FAKE = str(Path(__file__).with_name("fake_program.py"))
PROGRAMS = Programs((sys.executable, FAKE, "agent"), (sys.executable, FAKE, "coordinator"))
ANY_PORT = Loopback(Ports(heartbeat=0, control=0, migration=0, api=0))
WITHIN_S = 20.0


def text(*nodes: str) -> str:
    return (
        "name: lab\nnetworks:\n"
        "  lan: {subnet: 10.0.1.0/24, gateway: true}\n  csv: {subnet: 10.0.2.0/24}\n"
        "coordinator: {networks: [lan]}\n"
        f"nodes: {{{', '.join(f'{node}: {{}}' for node in nodes)}}}\n"
    )


async def start(home: Home, *nodes: str, within_s: float = WITHIN_S) -> LabRecord:
    topology = parse_topology(text(*nodes))
    return await start_lab(topology, home, ANY_PORT, PROGRAMS, ready_within_s=within_s)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
async def lab(home: Home, story: list[Path]) -> AsyncIterator[LabRecord]:
    record = await start(home, "node1", "node2")
    story.append(record.state_dir / "logs")
    yield record
    if record.state_dir.exists():
        await stop_lab(home.lab("lab"), patience_s=1.0)


async def until(true: Callable[[], object]) -> None:
    """Wait for what another process does; looks until the test's own deadline."""
    async with asyncio.timeout(WITHIN_S):
        while not true():  # noqa: ASYNC110 - no event of ours comes of another process
            await asyncio.sleep(0)


async def until_state(pid: int, states: str) -> None:
    await until(lambda: (now := process_stat(pid)) is None or now.state in states)


async def test_a_started_lab_is_ready_recorded_and_private(home: Home, lab: LabRecord) -> None:
    assert home.lab() == lab
    assert lab.is_running()
    assert all(runs(process) for process in lab.processes)
    assert [node.ready["pid"] for node in lab.nodes] == [node.pid for node in lab.nodes]
    assert lab.coordinators[0].control == (f"{lab.coordinators[0].addresses['lan']}:7001",)
    assert lab.api == f"http://{lab.coordinators[0].addresses['lan']}:7002"
    assert stat.S_IMODE(lab.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((lab.state_dir / "lab.json").stat().st_mode) == 0o600
    assert parse_topology(lab.topology_path.read_text()) == parse_topology(text("node1", "node2"))


async def test_each_program_is_told_its_own_addresses_and_the_coordinators(lab: LabRecord) -> None:
    first, second = lab.nodes
    assert set(first.addresses.values()).isdisjoint(second.addresses.values())
    told = lab.log_path("node1").read_text()
    for network, address in first.addresses.items():
        assert f"{network}={address}" in told
    assert lab.coordinators[0].control[0] in told
    assert "'--memory-bytes', '4294967296'" in told
    assert '"role": 3, "metric": 10000' in lab.log_path("coordinator").read_text()


async def test_stop_ends_every_process_and_leaves_nothing(home: Home, lab: LabRecord) -> None:
    everyone = [*lab.processes, *family(*lab.processes)]
    assert len(everyone) == 3 + 2 * 2

    await stop_lab(lab, patience_s=1.0)

    assert not any(runs(process) for process in everyone)
    assert home.labs() == ()
    assert list((home.root / "octets").iterdir()) == []


async def test_what_ignores_the_request_to_end_is_killed(home: Home) -> None:
    record = await start(home, "stubborn-1")
    signal_node(record, "stubborn-1", signal.SIGSTOP, whole=True)
    everyone = [*record.processes, *family(*record.processes)]

    await stop_lab(record, patience_s=0.1)

    assert not any(runs(process) for process in everyone)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("broken-1", "broken-1 ended before it was ready: UDP port 3343 is in use"),
        ("rude-1", "rude-1 said b'hello"),
        ("silent-1", "silent-1 was not ready within 1 s: silent-1 starts with"),
    ],
)
async def test_a_program_that_does_not_get_ready_undoes_the_whole_start(
    home: Home, node: str, says: str
) -> None:
    with pytest.raises(StartFailed) as failed:
        await start(home, "node1", node, within_s=1.0 if "silent" in node else WITHIN_S)

    assert str(failed.value).startswith(says)
    assert "\n" not in str(failed.value)
    assert not home.folder("lab").exists()
    assert list((home.root / "octets").iterdir()) == []
    assert (home.failed_logs("lab") / f"{node}.log").exists()


async def test_a_program_that_is_not_there_is_one_sentence(home: Home) -> None:
    with pytest.raises(StartFailed, match=r"^cannot start coordinator \(/no/such: No such file"):
        await start_lab(
            parse_topology(text("node1")), home, ANY_PORT, Programs(("/no/such",), ("/no/such",))
        )
    assert not home.folder("lab").exists()


async def test_a_cancelled_start_leaves_no_process(home: Home) -> None:
    starting = asyncio.create_task(start(home, "node1", "silent-1"))
    await until(lambda: home.labs() and home.labs()[0].nodes)
    processes = home.labs()[0].processes

    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert len(processes) == 3
    assert not any(runs(process) for process in processes)
    assert not home.folder("lab").exists()


async def test_a_name_that_runs_is_refused_and_the_running_lab_is_untouched(
    home: Home, lab: LabRecord
) -> None:
    with pytest.raises(LabRunning, match="'lab' is already running: end it with hvlab down"):
        await start(home, "node1")
    assert home.lab("lab") == lab
    assert all(runs(process) for process in lab.processes)


async def test_labs_of_one_home_run_side_by_side(home: Home, lab: LabRecord) -> None:
    topology = parse_topology(text("node1")).called("other")
    other = await start_lab(topology, home, ANY_PORT, PROGRAMS)

    assert not set(other.nodes[0].addresses.values()) & set(lab.nodes[0].addresses.values())
    assert [record.name for record in home.running()] == ["lab", "other"]

    await stop_lab(other, patience_s=1.0)
    assert all(runs(process) for process in lab.processes)


async def test_killing_a_node_takes_its_workers_along_and_nobody_else(lab: LabRecord) -> None:
    agent, other = (node.process for node in lab.nodes)
    workers = family(agent)

    killed = await kill_node(lab, "node1")

    assert set(killed) == {agent, *workers}
    assert len(workers) == 2
    assert not any(runs(process) for process in killed)
    assert runs(other)
    assert len(family(other)) == 2
    with pytest.raises(LabError, match="node1 does not run"):
        await kill_node(lab, "node1")


async def test_workers_are_found_when_their_agent_is_gone(lab: LabRecord) -> None:
    agent = lab.node("node1").process
    workers = family(agent)
    signal_node(lab, "node1", signal.SIGKILL, whole=False)
    await until_state(agent.pid, "ZX")

    assert set(family(agent)) == set(workers)
    assert set(await kill_node(lab, "node1")) == set(workers)


async def test_a_pause_takes_the_agent_alone_or_the_whole_node(lab: LabRecord) -> None:
    agent = lab.node("node1").process
    workers = family(agent)

    assert signal_node(lab, "node1", signal.SIGSTOP, whole=False) == (agent,)
    await until_state(agent.pid, "T")
    assert all((now := process_stat(w.pid)) and now.state == "S" for w in workers)

    assert set(signal_node(lab, "node1", signal.SIGSTOP, whole=True)) == {agent, *workers}
    for process in workers:
        await until_state(process.pid, "T")

    signal_node(lab, "node1", signal.SIGCONT, whole=True)
    for process in (agent, *workers):
        await until_state(process.pid, "S")


async def test_an_unknown_node_is_refused_with_the_known_ones(lab: LabRecord) -> None:
    with pytest.raises(UnknownNode, match="no node 'node7': it has node1, node2"):
        signal_node(lab, "node7", signal.SIGSTOP, whole=False)


async def test_a_killed_node_restarts_as_a_new_process_in_its_old_folder(
    home: Home, lab: LabRecord
) -> None:
    with pytest.raises(LabError, match="node1 still runs as pid"):
        await restart_node(lab, "node1")
    await kill_node(lab, "node1")

    after = await restart_node(lab, "node1")

    assert after == home.lab("lab")
    assert after.node("node1").process != lab.node("node1").process
    assert after.node("node1").argv == lab.node("node1").argv
    assert after.node("node2") == lab.node("node2")
    assert runs(after.node("node1").process)


async def test_nodes_restarted_at_once_are_all_recorded(home: Home, lab: LabRecord) -> None:
    await asyncio.gather(kill_node(lab, "node1"), kill_node(lab, "node2"), kill_coordinator(lab))

    await asyncio.gather(
        restart_node(lab, "node1"), restart_node(lab, "node2"), restart_coordinator(lab)
    )

    after = home.lab("lab")
    assert all(runs(process) for process in after.processes)
    assert set(after.processes).isdisjoint(lab.processes)


async def test_a_restarted_coordinator_listens_where_it_did(home: Home, lab: LabRecord) -> None:
    await kill_coordinator(lab)
    after = await restart_coordinator(lab)

    assert after.coordinators[0].ready["control"] == list(lab.coordinators[0].control)
    assert after.coordinators[0].ready["api"] == lab.api == after.api


async def test_a_lab_outlives_its_launcher_and_can_still_print(home: Home) -> None:
    script = f"""
import asyncio, sys
from lab.home import Home
from lab.loopback import Loopback, Ports
from lab.launching import Programs
from lab.processes import start_lab
from lab.topology import parse_topology
from pathlib import Path
programs = Programs((sys.executable, {FAKE!r}, "agent"), (sys.executable, {FAKE!r}, "coordinator"))
fabric = Loopback(Ports(heartbeat=0, control=0, migration=0, api=0))
topology = parse_topology({text("node1")!r})
print(asyncio.run(start_lab(topology, Home(Path({str(home.root)!r})), fabric, programs)).api)
"""
    launcher = await asyncio.to_thread(
        partial(
            subprocess.run,
            [sys.executable, "-c", script],
            capture_output=True,
            timeout=WITHIN_S,
            check=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    )

    record = home.lab("lab")
    log = record.log_path("node1")
    try:
        assert launcher.stdout.strip() == record.api
        assert launcher.stderr == ""
        assert all(runs(process) for process in record.processes)
        signal_node(record, "node1", signal.SIGUSR1, whole=False)
        await until(lambda: "still here" in log.read_text())
        assert runs(record.node("node1").process)
    finally:
        await stop_lab(record, patience_s=1.0)
    assert not any(runs(process) for process in record.processes)


async def test_a_stale_lab_is_recognised_and_its_name_is_free_again(
    home: Home, lab: LabRecord
) -> None:
    for node in lab.nodes:
        signal_node(lab, node.name, signal.SIGKILL, whole=False)
    orphans = family(*lab.processes)
    await kill_coordinator(lab)
    await until(lambda: not lab.is_running())
    assert len(orphans) == 4

    again = await start(home, "node1")

    assert not any(runs(process) for process in orphans)
    assert home.running() == (again,)
