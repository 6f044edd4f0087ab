"""Debian's tgtd, a target that we did not write, in the foreground: for tests and benchmarks."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from protocol.iscsi.chap import Credentials

TARGET = "iqn.2026-01.test:disks"
TRIES = 20
READY_S = 5.0
LOOK_EVERY_S = 0.005


def program(name: str) -> str:
    """Where it is: Debian keeps it where only root's PATH looks. Raises FileNotFoundError."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise FileNotFoundError(f"There is no {name} here: install Debian's package tgt.")
    return found


@dataclass(slots=True)
class Tgtd:
    """One running tgtd."""

    process: subprocess.Popen[bytes]
    ports: tuple[int, ...]
    environment: dict[str, str]
    control: int

    def tell(self, *words: str) -> str:
        """`tgtadm` with these words."""
        command = [program("tgtadm"), "-C", str(self.control), "--lld", "iscsi", *words]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def end(self) -> None:
        """It ignores SIGTERM while it has targets."""
        self.process.kill()
        self.process.wait()


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that were free a moment ago; tgtd cannot choose one itself."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(sock.getsockname()[1] for sock in socks)
    for sock in socks:
        sock.close()
    return ports


def _begun(folder: Path, portals: int) -> Tgtd:
    for attempt in range(TRIES):
        ports = free_ports(portals)
        control = 1 + (os.getpid() * 31 + attempt) % 30000
        environment = {**os.environ, "TGT_IPC_SOCKET": str(folder / f"ipc{attempt}")}
        words = [program("tgtd"), "-f", "-C", str(control), "--iscsi"]
        words.append(",".join(f"portal=127.0.0.1:{port}" for port in ports))
        with (folder / f"tgtd{attempt}.log").open("wb") as log:
            process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        tgtd = Tgtd(process, ports, environment, control)
        if _listens(tgtd):
            return tgtd
        tgtd.end()
    raise RuntimeError(f"tgtd did not listen in {TRIES} tries")


def _listens(tgtd: Tgtd) -> bool:
    """A bind that failed is only logged, so tgtd is asked which portals it has."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end and tgtd.process.poll() is None:
        with suppress(RuntimeError):
            shown = tgtd.tell("--op", "show", "--mode", "portal")
            return all(f":{port}," in shown for port in tgtd.ports)
        time.sleep(LOOK_EVERY_S)
    return False


@contextmanager
def tgtd(
    folder: Path,
    lun_bytes: Sequence[int],
    portals: int = 1,
    credentials: Credentials | None = None,
    digests: str = "",
) -> Iterator[Tgtd]:
    """A target with these LUNs from 1 on (0 is its controller)."""
    running = _begun(folder, portals)
    try:
        target = ("--mode", "target", "--tid", "1")
        running.tell("--op", "new", *target, "-T", TARGET)
        for number, size in enumerate(lun_bytes, 1):
            path = folder / f"lun{number}"
            with path.open("wb") as file:
                file.truncate(size)
            unit = ("--mode", "logicalunit", "--tid", "1", "--lun", str(number))
            running.tell("--op", "new", *unit, "-b", str(path))
        if digests:
            for name in ("HeaderDigest", "DataDigest"):
                running.tell("--op", "update", *target, "--name", name, "--value", digests)
        if credentials is not None:
            account = ("--mode", "account", "--user", credentials.name)
            running.tell("--op", "new", *account, "--password", credentials.secret.decode())
            running.tell("--op", "bind", *account, "--tid", "1")
        running.tell("--op", "bind", *target, "-I", "ALL")
        yield running
    finally:
        running.end()
