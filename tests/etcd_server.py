"""An etcd for tests: real processes on free ports, ended with the context."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import uvloop

from lab.etcd import Member, argv, members, until_healthy

PATIENCE_S = 30.0


class Etcd:
    """Members that run, by number from 0."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.members = members(count, "127.93.4.1")
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(member.url for member in self.members)

    def start(self) -> None:
        for member in self.members:
            self.processes.append(self._spawn(member))
        for url in self.urls:
            uvloop.run(until_healthy(url, PATIENCE_S))

    def _spawn(self, member: Member) -> "subprocess.Popen[bytes]":
        words = argv(member, self.members, self.folder / member.name, "test")
        with (self.folder / f"{member.name}.log").open("ab") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def running_etcd(folder: Path, count: int = 1) -> Iterator[Etcd]:
    etcd = Etcd(folder, count)
    try:
        etcd.start()
        yield etcd
    finally:
        etcd.end()
