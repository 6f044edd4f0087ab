"""An agent as a process: what it weighs, how soon it is there, and how it refuses to start."""

import asyncio
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lab.cluster import ANY_PORT, topology_of
from lab.evidence import boottime, pss_bytes
from lab.home import Home
from lab.launching import Programs
from lab.processes import start_lab, stop_lab
from lab.procfs import family
from tests.live.cluster import live_cluster

PSS_MAX_BYTES = 60 << 20
START_MAX_S = 15.0
HOST = "127.77.3.1"


async def test_an_agent_without_vms_and_its_warm_parent_are_small(
    tmp_path: Path, story: list[Path]
) -> None:
    """The fewer agents share their libraries, the more of them each one pays for."""
    async with live_cluster(1, tmp_path, story) as cluster:
        node = cluster.lab.nodes[0].process
        warm = family(node)
        assert len(warm) == 1
        assert pss_bytes(node) + pss_bytes(warm[0]) < PSS_MAX_BYTES


async def test_sixteen_agents_and_a_coordinator_are_there_soon(
    tmp_path: Path, story: list[Path]
) -> None:
    home = Home(tmp_path / "home")
    story.append(home.folder("test") / "logs")
    began_s = boottime()
    record = await start_lab(topology_of(16, memory="64MiB"), home, ANY_PORT, Programs())
    took_s = boottime() - began_s
    await stop_lab(record)
    assert took_s < START_MAX_S


async def refused(*words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode().strip().splitlines()[-1]


def words(state: Path, **changed: str) -> list[str]:
    """The words of a good start, with some of them changed."""
    options = {
        "node": "node1",
        "state-dir": str(state),
        "network": f"management={HOST}",
        "coordinator": f"{HOST}:9",
        "memory-bytes": "1048576",
        "heartbeat-port": "0",
        "migration-port": "0",
        "tracker": "map",
        **{name.replace("_", "-"): word for name, word in changed.items()},
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


@pytest.mark.parametrize(
    ("kind", "option", "says"),
    [
        (socket.SOCK_DGRAM, "heartbeat_port", "cannot hear heartbeats on"),
        (socket.SOCK_STREAM, "migration_port", "cannot listen for migrations on"),
    ],
)
async def test_a_port_in_use_is_one_sentence(
    tmp_path: Path, kind: socket.SocketKind, option: str, says: str
) -> None:
    with closing(socket.socket(socket.AF_INET, kind)) as taken:
        taken.bind((HOST, 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = str(taken.getsockname()[1])

        status, said = await refused(*words(tmp_path, **{option: port}))

    assert status == 1
    assert said.startswith(f"agent node1: {says} {HOST}")
    assert f"port {port}: Address already in use" in said
    assert option.replace("_", "-") in said


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [
        ({"heartbeat_port": "65536"}, 2, "no port: 0 to 65535"),
        ({"coordinator": "127.0.0.1"}, 2, "ADDR:PORT"),
        ({"network": "management"}, 2, "NAME=ADDR"),
        ({"memory_bytes": "0"}, 1, "at least a page"),
        ({"node": ""}, 1, "needs the name of its node"),
        ({"network": "management=192.0.2.1"}, 1, "Cannot assign requested address"),
        ({"state_dir": "/proc/nowhere"}, 1, "name a folder that this user may write"),
    ],
)
async def test_a_bad_start_is_one_sentence(
    tmp_path: Path, changed: dict[str, str], status: int, says: str
) -> None:
    ended, said = await refused(*words(tmp_path, **changed))
    assert ended == status
    assert says in said
