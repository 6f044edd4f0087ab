"""etcd for a lab: real processes on loopback addresses, each with a folder of its own."""

import asyncio
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from lab.errors import LabError
from lab.procfs import Process, runs

LOOK_EVERY_S = 0.02
COMPACT_AFTER_REVISIONS = 20_000
"""Older changes are forgotten, so that a lab that runs for days does not fill the disk."""


@dataclass(frozen=True, slots=True)
class Member:
    """One etcd process: where it is asked, and where the others reach it."""

    name: str
    client: str
    peer: str

    @property
    def url(self) -> str:
        return f"http://{self.client}"


def program() -> str:
    """The etcd of this machine; LabError says how to get one."""
    found = shutil.which("etcd", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise LabError("there is no etcd on this machine: install the Debian package etcd-server")
    return found


def members(count: int, host: str) -> tuple[Member, ...]:
    """So many members on free ports of `host`."""
    ports = iter(_free_ports(host, 2 * count))
    return tuple(
        Member(f"e{number}", f"{host}:{next(ports)}", f"{host}:{next(ports)}")
        for number in range(1, count + 1)
    )


def argv(
    member: Member, everybody: Sequence[Member], data_dir: Path, token: str
) -> tuple[str, ...]:
    """How this member is started, for the first time and again."""
    peers = ",".join(f"{one.name}=http://{one.peer}" for one in everybody)
    return (
        program(),
        *("--name", member.name, "--data-dir", str(data_dir)),
        *("--listen-client-urls", member.url, "--advertise-client-urls", member.url),
        *("--listen-peer-urls", f"http://{member.peer}"),
        *("--initial-advertise-peer-urls", f"http://{member.peer}"),
        *("--initial-cluster", peers, "--initial-cluster-token", token),
        *("--initial-cluster-state", "new", "--pre-vote"),
        *("--auto-compaction-mode", "revision"),
        *("--auto-compaction-retention", str(COMPACT_AFTER_REVISIONS)),
        *("--logger", "zap", "--log-level", "warn", "--log-outputs", "stderr"),
    )


async def until_healthy(
    url: str, within_s: float, process: Process | None = None, log: Path | None = None
) -> None:
    """Wait until this member answers and knows a leader; LabError if it ends or takes too long."""
    where = "" if log is None else f" (log: {log})"
    give_up_at = asyncio.get_running_loop().time() + within_s
    timeout = aiohttp.ClientTimeout(total=1.0)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        while True:
            if process is not None and not runs(process):
                raise LabError(f"etcd at {url} ended before it was ready{where}")
            try:
                async with http.get(f"{url}/health") as response:
                    said = await response.json(content_type=None)
                    if response.status == 200 and said["health"] == "true":
                        return
            except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError):
                pass  # not yet: it is asked again
            if asyncio.get_running_loop().time() >= give_up_at:
                raise LabError(f"etcd at {url} has no leader after {within_s:g} s{where}")
            await asyncio.sleep(LOOK_EVERY_S)


def _free_ports(host: str, count: int) -> list[int]:
    """Held together while they are chosen, so that no two are the same."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind((host, 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
