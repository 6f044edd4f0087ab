"""QEMU as a yardstick: two of them on this machine, a guest that beats, driven over QMP.

The source's RAM holds the bytes that our own VM has, the target's is populated before the clock
starts. The guest is emulated (TCG). As root, the two have a network of their own, so that QEMU's
streams use the congestion control that ours do; else it is the machine's, and `congestion` says so.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from agent.io.memory import VmMemory
from agent.io.stream import CONGESTION_CONTROL
from lab.bench.qemu_words import (
    Heard,
    QemuLoad,
    QemuMove,
    QemuWay,
    argv,
    gap_s,
    read_version,
    why_not_well,
)
from lab.errors import LabError
from lab.evidence import boottime, cpu_s
from lab.procfs import Process, stat

PROGRAM = "qemu-system-x86_64"
PACKAGES = "qemu-system-x86 (10 or newer: Debian has it in bookworm-backports), gcc, iproute2"
TIGHT_FROM = (8, 0)
"""Older QEMUs lose pages under TCG with a tight limit of downtime."""

BEATS_BEFORE, BEATS_AFTER = 60, 40
SWEEP_MAX_S = 4.0
READY_S, ENDED_S, LOOK_EVERY_S = 30.0, 120.0, 0.002
COPY_BYTES = 64 << 20
_CONGESTION = CONGESTION_CONTROL.decode()
_COMPILE = (
    *("gcc", "-m32", "-march=i686", "-Os", "-ffreestanding", "-fno-pic", "-fno-pie", "-nostdlib"),
    *("-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-mgeneral-regs-only", "-static"),
    *("-Wl,-m,elf_i386", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments"),
)
_OWN_NETWORK = (
    *("unshare", "--net", "sh", "-c"),
    f"ip link set lo up && echo {_CONGESTION} > /proc/sys/net/ipv4/tcp_congestion_control"
    ' && exec "$@"',
    "sh",
)


@dataclass(frozen=True, slots=True)
class Qemu:
    """What is installed, and a folder with a kernel for its guest."""

    program: str
    version: tuple[int, int]
    kernel: Path
    own_network: bool

    @classmethod
    def found(cls, folder: Path) -> Self:
        """LabError says what to install."""
        program = shutil.which(os.environ.get("HVLAB_QEMU", PROGRAM))
        if program is None or shutil.which("gcc") is None:
            lacks = "gcc" if program else PROGRAM
            raise LabError(f"There is no {lacks} here: install Debian's {PACKAGES}.")
        try:
            import qemu.qmp  # noqa: F401 - of the extra `bench`
        except ImportError:
            raise LabError("There is no Python package qemu.qmp: install hvlab[bench].") from None
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        here, kernel = Path(__file__).parent, folder / "guest"
        kernel.parent.mkdir(parents=True, exist_ok=True)
        words = [*_COMPILE, f"-Wl,-T,{here / 'qemu_guest.ld'}", "-o", str(kernel)]
        done = subprocess.run([*words, str(here / "qemu_guest.c")], capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"QEMU's guest cannot be compiled: {done.stderr.strip()[:200]}")
        tools = all(shutil.which(name) for name in ("unshare", "nsenter", "ip"))
        return cls(program, read_version(said.stdout), kernel, tools and os.geteuid() == 0)

    @property
    def congestion(self) -> str:
        if self.own_network:
            return _CONGESTION
        path = Path("/proc/sys/net/ipv4/tcp_congestion_control")
        return f"{path.read_text().strip()} (the machine's)"

    @property
    def name(self) -> str:
        return f"QEMU {'.'.join(map(str, self.version))} (TCG)"


@dataclass(slots=True)
class _End:
    """One QEMU of the pair."""

    child: subprocess.Popen[bytes]
    process: Process
    monitor: Any
    heard: Heard


async def migrated(
    qemu: Qemu, way: QemuWay, load: QemuLoad, content: VmMemory, folder: Path
) -> QemuMove:
    """One migration of a guest whose RAM held `content` when it was switched on."""
    ram = Path("/dev/shm") / f"hvlab-bench-{os.getpid()}-{folder.name}.ram"
    size = str(content.memory_bytes)
    options = (f"id=ram0,size={content.memory_bytes}", "prealloc=on")
    try:
        _fill(ram, content)
        here = f"memory-backend-file,{options[0]},mem-path={ram},share=on,{options[1]}"
        words = argv(qemu.program, (size, here), str(qemu.kernel), load, _sockets(folder, "source"))
        prefix = list(_OWN_NETWORK) if qemu.own_network else []
        async with _running([*prefix, *words], _sockets(folder, "source")) as source:
            await _until("QEMU's guest did not boot", lambda: _beats(source, BEATS_BEFORE))
            there = f"memory-backend-ram,{','.join(options)}"
            words = argv(
                qemu.program, (size, there), str(qemu.kernel), load, _sockets(folder, "target")
            )
            network = f"--net=/proc/{source.process.pid}/ns/net"
            prefix = ["nsenter", network, "--"] if qemu.own_network else []
            incoming = [*prefix, *words, "-incoming", "defer"]
            async with _running(incoming, _sockets(folder, "target")) as target:
                return await _migrate(source, target, way, load)
    finally:
        ram.unlink(missing_ok=True)


async def _migrate(source: _End, target: _End, way: QemuWay, load: QemuLoad) -> QemuMove:
    for end in (source, target):
        await end.monitor.execute("migrate-set-capabilities", {"capabilities": way.capabilities})
        await end.monitor.execute("migrate-set-parameters", way.parameters)
    await target.monitor.execute("migrate-incoming", {"uri": "tcp:127.0.0.1:0"})
    address = (await target.monitor.execute("query-migrate"))["socket-address"][0]
    cpu = [cpu_s(end.process) for end in (source, target)]
    began = boottime()
    uri = f"tcp:{address['host']}:{address['port']}"
    await source.monitor.execute("migrate", {"uri": uri})
    told = await _completed(source, way)
    total_s = boottime() - began
    cpu_after = [cpu_s(end.process) for end in (source, target)]
    why = "" if told["status"] == "completed" else str(told.get("error-desc", told["status"]))
    if not why:
        await _heard_enough(target, load)
        why = why_not_well(source.heard, target.heard)
    ram = told.get("ram", {})
    return QemuMove(
        total_s=told.get("total-time", total_s * 1e3) / 1e3,
        downtime_s=told.get("downtime", 0) / 1e3,
        gap_s=gap_s(source.heard, target.heard) if target.heard.beats else float("inf"),
        cpu_s=sum(cpu_after) - sum(cpu),
        wire_bytes=ram.get("transferred", 0),
        passes=ram.get("dirty-sync-count", 0),
        well=not why,
        why=why,
    )


async def _completed(source: _End, way: QemuWay) -> dict[str, Any]:
    """What QEMU says of it once it is over; meanwhile it is told to switch to post-copy."""
    switched = way.post_copy_after is None
    give_up = boottime() + ENDED_S
    while boottime() < give_up:
        told: dict[str, Any] = await source.monitor.execute("query-migrate")
        if told.get("status") in ("completed", "failed", "cancelled"):
            return told
        passes = told.get("ram", {}).get("dirty-sync-count", 0)
        if not switched and told.get("status") == "active" and passes >= (way.post_copy_after or 0):
            # It refuses while it is still setting up, and is asked again.
            with contextlib.suppress(_execute_error()):
                await source.monitor.execute("migrate-start-postcopy")
                switched = True
        await asyncio.sleep(LOOK_EVERY_S)
    raise LabError(f"QEMU's migration did not end within {ENDED_S:g} s")


async def _heard_enough(target: _End, load: QemuLoad) -> None:
    """Until the guest has beaten for a while, and looked at its whole set again."""
    beats = max(BEATS_AFTER, int(min(load.sweep_s, SWEEP_MAX_S) / 0.005))
    with contextlib.suppress(LabError):  # a guest that says too little is judged by what it said
        await _until("QEMU's guest is silent", lambda: _beats(target, beats), SWEEP_MAX_S * 2)


def _beats(end: _End, count: int) -> bool:
    if end.child.poll() is not None:
        raise LabError(f"QEMU ended with status {end.child.returncode}")
    return len(end.heard.beats) >= count


def _sockets(folder: Path, name: str) -> dict[str, str]:
    return {word: str(folder / f"{name}.{word}") for word in ("qmp", "beats")}


def _fill(path: Path, content: VmMemory) -> None:
    """The same bytes in a file of RAM; nothing of it touches a disk."""
    with path.open("wb", buffering=0) as file:
        for start in range(0, content.memory_bytes, COPY_BYTES):
            piece = content.view[start : start + COPY_BYTES]
            while piece:
                piece = piece[file.write(piece) :]


@asynccontextmanager
async def _running(words: list[str], sockets: dict[str, str]) -> AsyncIterator[_End]:
    """A QEMU with its monitor open; it ends with the context."""
    from qemu.qmp import QMPClient

    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # it tells of every end as of an error
    heard, gone = Heard(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(4096):
            heard.add(boottime(), content)
        writer.close()
        gone.set()

    _cleared(sockets)
    server = await asyncio.start_unix_server(listen, sockets["beats"])
    child = _started(words)
    monitor = QMPClient()
    try:
        await _until("QEMU did not start", lambda: _listens(child, Path(sockets["qmp"])))
        await _connected(lambda: monitor.connect(sockets["qmp"]), child)
        found = stat(child.pid)
        if found is None:
            raise LabError("QEMU ended as soon as it was there")
        yield _End(child, found.process, monitor, heard)
    finally:
        with contextlib.suppress(Exception):  # it may be gone, and is killed in any case
            await monitor.disconnect()
        child.kill()
        child.communicate()
        server.close()
        if heard.beats:
            await gone.wait()


def _cleared(sockets: dict[str, str]) -> None:
    for path in sockets.values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)


def _started(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)


async def _connected(
    connect: Callable[[], Awaitable[None]], child: subprocess.Popen[bytes]
) -> None:
    """The socket's name is there a moment before somebody listens."""
    from qemu.qmp import ConnectError

    for _ in range(int(READY_S / 0.05)):
        try:
            return await connect()
        except ConnectError:
            _listens(child, Path("/"))
            await asyncio.sleep(0.05)
    raise LabError(f"QEMU's monitor did not answer within {READY_S:g} s")


def _listens(child: subprocess.Popen[bytes], path: Path) -> bool:
    if child.poll() is not None:
        said = b"" if child.stderr is None else child.stderr.read()
        raise LabError(f"QEMU ended at once: {said.decode(errors='replace').strip()[-300:]}")
    return path.exists()


async def _until(trouble: str, look: Callable[[], bool], within_s: float = READY_S) -> None:
    give_up = boottime() + within_s
    while not look():
        if boottime() > give_up:
            raise LabError(f"{trouble} within {within_s:g} s")
        await asyncio.sleep(LOOK_EVERY_S)


def _execute_error() -> type[Exception]:
    from qemu.qmp import ExecuteError

    return ExecuteError
