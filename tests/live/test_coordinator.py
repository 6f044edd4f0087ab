"""The coordinator as a process: its ready line, its end, and one sentence for every bad start."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.coordinator.io.scripted import PATIENCE_S, Operator, ScriptedAgent

ROOT = Path(__file__).parent.parent.parent
HOST = "127.83.7.1"
NETWORK = 'management={"subnet": "127.0.0.0/8", "role": 3, "metric": 1000}'


@dataclass
class Running:
    process: asyncio.subprocess.Process
    said: dict[str, Any]
    operator: Operator

    @property
    def control(self) -> tuple[str, int]:
        host, _, port = self.said["control"][0].rpartition(":")
        return host, int(port)


async def begin(*args: str, fd: int | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "coordinator", *args),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=() if fd is None else (fd,),
    )


def options(state: Path, listen: str = f"{HOST}:0", api: str = f"{HOST}:0") -> list[str]:
    return [
        *("--state-dir", str(state), "--listen", listen, "--api", api),
        *("--network", NETWORK, "--delay-s", "0.1", "--threshold", "10"),
    ]


@contextlib.asynccontextmanager
async def running(state: Path, listen: str = f"{HOST}:0") -> AsyncIterator[Running]:
    reader, writer = os.pipe()
    process = await begin(*options(state, listen), "--ready-fd", str(writer), fd=writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        line = await asyncio.to_thread(pipe.read)
    try:
        word, _, rest = line.partition(" ")
        assert word == "ready", (await process.communicate())[1].decode()
        said = json.loads(rest)
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
            port = int(said["control"][0].rpartition(":")[2])
            url = f"{said['api']}/api/v1"
            operator = Operator(url, (HOST, port), http, group)
            yield Running(process, said, operator)
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        await process.communicate()


async def refusal(*args: str) -> tuple[int | None, str]:
    process = await begin(*args)
    async with asyncio.timeout(PATIENCE_S):
        _, said = await process.communicate()
    return process.returncode, said.decode()


async def test_a_cluster_of_one_runs_a_vm_and_its_coordinator_ends_cleanly(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as it:
        await it.operator.form(ScriptedAgent("node1"))
        status, vm = await it.operator.post("/vms", name="sql01", memory="1MiB")
        assert (status, vm["node"]) == (201, "node1")
        await it.operator.until("/vms/sql01", state="Online")
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert it.said["pid"] == it.process.pid
        it.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            _, log = await it.process.communicate()

    assert it.process.returncode == 0, log.decode()
    assert "Traceback" not in log.decode()
    assert "Group sql01 is online" in log.decode()


async def test_a_killed_coordinator_comes_back_with_all_that_it_has_answered(
    tmp_path: Path,
) -> None:
    agent = ScriptedAgent("node1")
    async with running(tmp_path) as it:
        await it.operator.form(agent)
        await it.operator.post("/vms", name="sql01", memory="1MiB")
        await it.operator.until("/vms/sql01", state="Online")
        term = (await it.operator.get("/status"))["term"]
        it.process.kill()
        await it.process.wait()

    async with running(tmp_path, "{}:{}".format(*it.control)) as again:
        assert (await again.operator.get("/status"))["leader"] is None
        await again.operator.join(agent)
        status = await again.operator.until("/status", leader="coordinator")
        vm = await again.operator.get("/vms/sql01")

    assert status["term"] > term
    assert (vm["state"], vm["epoch"], vm["node"]) == ("Online", 1, "node1")


async def test_a_second_coordinator_on_the_same_store_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        code, said = await refusal(*options(tmp_path))
        pid = it.process.pid

    assert code == 1
    assert said.startswith(f"coordinator: the store {tmp_path}/coordinator.sqlite is held")
    assert f"pid {pid}" in said
    assert said.count("\n") == 1


async def test_a_port_in_use_is_named_and_nothing_is_left_running(tmp_path: Path) -> None:
    async with running(tmp_path / "one") as it:
        control, api = it.said["control"][0], it.said["api"].removeprefix("http://")
        taken = [
            await refusal(*options(tmp_path / "two", listen=control)),
            await refusal(*options(tmp_path / "two", api=api)),
        ]

    for (code, said), port in zip(taken, (control, api), strict=True):
        assert code == 1
        assert f"port {port.rpartition(':')[2]}" in said
        assert "in use" in said
        assert said.count("\n") == 1


async def test_a_wrong_option_is_one_sentence_without_a_traceback(tmp_path: Path) -> None:
    code, said = await refusal(*options(tmp_path / "state", listen="0.0.0.0:3343"))

    assert code == 2
    assert said.startswith("coordinator: ")
    assert said.count("\n") == 1


async def test_a_state_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)  # noqa: ASYNC240 - one call on a local folder

    code, said = await refusal(*options(tmp_path))

    assert code == 1
    assert "others may write" in said
