"""Targets for the tests of disks, a way to them that can be cut, and how to ask a disk."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.io.disks.device import IscsiLun
from agent.io.disks.targets import IscsiLuns
from lab.tgtd import TARGET, tgtd
from protocol.disks import RegistrationKey
from protocol.iscsi.chap import Credentials

SECRET = Credentials("node", b"twelve bytes and more")
DISK_BYTES = 64 << 20
KEY_A, KEY_B = RegistrationKey(b"lifeAAA\1"), RegistrationKey(b"lifeBBB\1")
DEADLINE_S = 10.0
PORTALS = 2


@dataclass(slots=True)
class Target:
    """A running target, and how to hurt it."""

    ports: tuple[int, ...]


@contextmanager
def foreign(folder: Path, chap: bool, digests: bool) -> Iterator[Target]:
    credentials = SECRET if chap else None
    with tgtd(folder, (DISK_BYTES,), PORTALS, credentials, "CRC32C" if digests else "") as running:
        yield Target(running.ports)


@contextmanager
def own(folder: Path, chap: bool, digests: bool) -> Iterator[Target]:
    ready_fd, told_fd = os.pipe()
    words = [sys.executable, "-m", "san", "--name", "san", "--state-dir", str(folder / "san")]
    words += ["--target", TARGET, "--lun", f"one={DISK_BYTES}", "--ready-fd", str(told_fd)]
    for _ in range(PORTALS):
        words += ["--portal", "127.0.0.1:0"]
    if chap:
        file = folder / "chap.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps({"name": SECRET.name, "secret": SECRET.secret.decode()}))
        words += ["--chap-file", str(file)]
    with (folder / "san.log").open("wb") as log:
        process = subprocess.Popen(words, pass_fds=(told_fd,), stdout=log, stderr=log)
    os.close(told_fd)
    try:
        with os.fdopen(ready_fd) as told:
            line = told.readline()
        assert line.startswith("ready "), (folder / "san.log").read_text()
        said = json.loads(line.removeprefix("ready "))
        yield Target(tuple(int(portal.rpartition(":")[2]) for portal in said["portals"]))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


class Relay:
    """A way to a portal that can be cut and mended."""

    def __init__(self) -> None:
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.is_cut = False
        self.holds_answers = False
        """Commands are carried out, and nobody hears of it."""

        self.held = 0

    async def listen(self, port: int) -> int:
        self._port = port
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, back}
        try:
            await asyncio.gather(self._copy(reader, back, False), self._copy(there, writer, True))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            back.transport.abort()
            self._writers -= {writer, back}
            self._tasks.discard(task)

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: bool
    ) -> None:
        while data := await reader.read(65536):
            if answers and self.holds_answers:
                self.held += 1
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def only(luns: IscsiLuns) -> IscsiLun:
    (lun,) = luns.luns.values()
    return lun


async def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {what}"
        await asyncio.sleep(0)


async def read(lun: IscsiLun, lba: int, blocks: int) -> bytes:
    target = bytearray(blocks * lun.block_bytes)
    await lun.read_into(lba, memoryview(target))
    return bytes(target)
