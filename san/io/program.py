"""The san as a program: from its options to a target that serves until it is told to stop."""

import argparse
import asyncio
import ctypes
import gc
import json
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop
import xxhash

from protocol.errors import Refused
from protocol.iscsi.chap import SECRET_BYTES_MIN, Credentials
from protocol.iscsi.names import checked_name
from san.config import PORTAL_GROUP, Chap, TargetConfig
from san.core import Core
from san.io.admin import Admin
from san.io.connection import InitiatorConnection
from san.io.evidence import Evidence
from san.io.lun_file import LunFile
from san.io.medium import Medium
from san.io.target import Target
from san.logical_unit import LogicalUnit, UnitFacts
from san.units import Units

LOCALLY_ASSIGNED = "3"
MALLOC_MMAP_THRESHOLD, MALLOC_TRIM_THRESHOLD = -3, -1
KEPT_BYTES = 32 << 20


def run(chosen: argparse.Namespace) -> None:
    """Serve until SIGTERM. `ClusterError` or `ValueError` says why it could not be."""
    _keep_memory()
    uvloop.run(_live(chosen))


def _keep_memory() -> None:
    """Let the C library keep freed buffers: each request would have its pages made anew.

    And look for cycles rarely: PDUs and tasks have none, and would be looked at over and over.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    libc = ctypes.CDLL(None)
    libc.mallopt(MALLOC_MMAP_THRESHOLD, KEPT_BYTES)
    libc.mallopt(MALLOC_TRIM_THRESHOLD, 4 * KEPT_BYTES)


async def _live(chosen: argparse.Namespace) -> None:
    config = TargetConfig(
        checked_name(chosen.target),
        chap=None if chosen.chap_file is None else read_chap(chosen.chap_file),
    )
    folder = chosen.state_dir / "luns"
    for part in (chosen.state_dir, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    evidence = Evidence(chosen.state_dir / "evidence")
    files = {name: _opened(folder / f"{name}.img", size) for name, size in chosen.luns.items()}
    ids = {name: unit_id(config.name, name) for name in files}
    units = {
        lun: LogicalUnit(
            UnitFacts(ids[name], file.blocks, target=config.name, ports=(PORTAL_GROUP,)),
            file.load(),
        )
        for lun, (name, file) in enumerate(files.items())
    }
    media = {lun: Medium(lun, file, evidence) for lun, file in enumerate(files.values())}
    listening = [_bound(host, port) for host, port in chosen.portals]
    portals = tuple(_address(*sock.getsockname()[:2]) for sock in listening)
    target = Target(Core(config, Units(units), portals), media)
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(_factory(target, portal), sock=sock, backlog=64)
        for portal, sock in zip(portals, listening, strict=True)
    ]
    admin = Admin(target)
    await admin.listen(chosen.state_dir / "admin.sock")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    words = {"name": chosen.name, "pid": os.getpid(), "target": config.name}
    _ready(chosen.ready_fd, {**words, "portals": list(portals), "luns": ids})
    await stop.wait()
    admin.close()
    for server in servers:
        server.close()
    await target.close()
    evidence.close()


def _factory(target: Target, portal: str) -> Callable[[], InitiatorConnection]:
    return lambda: InitiatorConnection(target, portal)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise Refused(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --portal."
        ) from None
    return sock


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _opened(path: Path, size_bytes: int) -> LunFile:
    """The file of a LUN, made if it is not there. It is never resized."""
    if not path.exists():
        LunFile.create(path, size_bytes)
    file = LunFile.open(path)
    found = file.blocks * file.block_bytes
    if found != size_bytes:
        file.close()
        raise Refused(
            f"{path} has {found} bytes and {size_bytes} are asked for: name its size, or another "
            "LUN."
        )
    return file


def unit_id(target: str, name: str) -> str:
    """The LUN's id as its initiators see it: the same after every restart, on every portal."""
    return LOCALLY_ASSIGNED + xxhash.xxh64_hexdigest(f"{target}/{name}".encode())[1:]


def read_chap(path: Path) -> Chap:
    """The secrets in a file that only its owner can read. Raises `Refused`."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Refused(f"{path} can be read by others: chmod 600 it first.")
        words = json.loads(path.read_text())
        one = Credentials(str(words["name"]), str(words["secret"]).encode())
        mutual = None
        if "mutual_name" in words:
            secret = str(words["mutual_secret"]).encode()
            mutual = Credentials(str(words["mutual_name"]), secret)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Refused(f"{path} is no JSON object with name and secret: {error}.") from None
    for known in (one, mutual):
        if known is not None and len(known.secret) < SECRET_BYTES_MIN:
            raise Refused(f"{path}: a CHAP secret has at least {SECRET_BYTES_MIN} bytes.")
    if mutual is not None and mutual.secret == one.secret:
        raise Refused(f"{path}: the two secrets must differ.")
    return Chap((one,), mutual)


def _ready(fd: int | None, words: dict[str, object]) -> None:
    """Tell whoever started this program that it is ready, once."""
    line = f"ready {json.dumps(words)}\n".encode()
    if fd is None:
        sys.stdout.buffer.write(line)
        sys.stdout.flush()
        return
    os.write(fd, line)
    os.close(fd)
