"""The life of a coordinator's process: what it opens, in which order, and how it ends."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
import stat
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from coordinator.config import CoordinatorConfig, Network
from coordinator.core import CoordinatorCore
from coordinator.io.api import application
from coordinator.io.driver import Driver, boottime
from coordinator.io.etcd import EtcdStore
from coordinator.io.feed import Feed
from coordinator.io.operations import Operations
from coordinator.io.seat import Seat
from coordinator.io.sqlite import STORE, SqliteStore
from coordinator.io.table import routes
from protocol.errors import Refused
from protocol.io.link import serve_links
from protocol.names import Timing

SHUTDOWN_S = 2.0
"""How long answers that are on their way may take once it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says."""

    state_dir: Path
    lab: str
    leader: str
    listen: tuple[tuple[str, int], ...]
    api: tuple[str, int]
    api_names: tuple[str, ...]
    networks: tuple[Network, ...]
    timing: Timing
    ready_fd: int | None
    etcd: tuple[str, ...] = ()
    """Endpoints of the etcd that several coordinators share; without any, it is SQLite."""

    cluster_prefix: str = ""
    """Below it lies all that this cluster keeps in etcd; empty: `hvlab/LAB`."""

    node_folders: tuple[str, ...] = ()


async def run(settings: Settings) -> None:
    """Lead, or follow, until SIGTERM or SIGINT. A start that fails has changed no row."""
    _make_state_dir(settings.state_dir)
    async with contextlib.AsyncExitStack() as opened:
        store = await _opened(settings)
        opened.push_async_callback(store.close)
        seat = await _seat(settings, store)
        feed = Feed(store, seat.picture)
        seat.watched_by(feed)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, seat.stop)
        control = []
        for host, port in settings.listen:
            server = await serve_links(host, port, seat.serve)
            await opened.enter_async_context(server)
            control.append(address_text(server.host, server.port))
        operations = Operations(seat, feed, settings.timing)
        app = application(routes(operations), feed, settings.api_names)
        close, api = await serve_http(app, *settings.api)
        opened.push_async_callback(close)
        if settings.ready_fd is not None:
            _say_ready(settings.ready_fd, control, api)
        structlog.get_logger(part="program").info("ready", control=control, api=api)
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(feed.run())
            await seat.run(api)
            telling.cancel()
    structlog.get_logger(part="program").info("ended")


async def _opened(settings: Settings) -> SqliteStore | EtcdStore:
    if not settings.etcd:
        return await SqliteStore.open(settings.state_dir / STORE)
    store = await EtcdStore.open(settings.etcd, settings.cluster_prefix or f"hvlab/{settings.lab}")
    try:
        await store.claim(settings.lab, settings.leader, _life(settings.state_dir))
    except BaseException:
        await store.close()
        raise
    return store


async def _seat(settings: Settings, store: SqliteStore | EtcdStore) -> "Seat | LoneSeat":
    config = partial(_config, settings, await store.secret())
    if isinstance(store, EtcdStore):
        return Seat(store, config, boottime)
    core = CoordinatorCore(config(), boottime())
    return LoneSeat(core, store, settings.leader)


class LoneSeat(Driver):
    """The only coordinator of its store: it leads, and nobody else ever does."""

    async def run(self, api: str = "") -> None:
        await super().run()


async def serve_http(
    app: web.Application, host: str, port: int
) -> tuple[Callable[[], Awaitable[None]], str]:
    """Listen on one address; how to end it, and its URL."""
    sock = _tcp_socket(host, port)
    try:
        # A subscriber or asker that hangs up ends its handler; what it asked goes on in the core.
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            logger=_http_log(),
            shutdown_timeout=SHUTDOWN_S,
        )
        await runner.setup()
        await web.SockSite(runner, sock).start()
    except BaseException:
        sock.close()
        raise
    return runner.cleanup, f"http://{address_text(*sock.getsockname()[:2])}"


class _HttpLog(logging.Handler):
    """What the HTTP library has to say. Bytes that are no HTTP are a stranger's mistake: a line."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(part="api")
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            log.info("no-http", code=error.code, reason=" ".join(error.message.split())[:100])
        else:
            log.error(record.getMessage(), exc_info=record.exc_info)


def _http_log() -> logging.Logger:
    log = logging.Logger("http", logging.INFO)  # apart from the tree: nobody else prints it, too
    log.addHandler(_HttpLog())
    return log


def address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _config(settings: Settings, secret: bytes) -> CoordinatorConfig:
    return CoordinatorConfig(
        lab=settings.lab,
        leader=settings.leader,
        networks=settings.networks,
        wall_offset_s=time.time() - boottime(),
        local_offset_s=float(time.localtime().tm_gmtoff),
        secret=secret,
        node_folders=settings.node_folders,
        forecasts=True,
    )


def _life(folder: Path) -> str:
    """What tells the coordinator of this state folder from others of its name."""
    path = folder / "life"
    try:
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.write_text(uuid.uuid4().hex, encoding="ascii")
            draft.replace(path)
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise Refused(f"the file {path} cannot be made or read: {exc}") from exc


def _make_state_dir(folder: Path) -> None:
    """A folder that nobody else may write to, or a sentence why not."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as exc:
        raise Refused(f"the state folder {folder} cannot be made: {exc.strerror}") from exc
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(
            f"others may write to the state folder {folder}: name one of your own, mode 0700"
        )


def _tcp_socket(host: str, port: int) -> socket.socket:
    version = ipaddress.ip_address(host).version
    sock = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(128)  # bound alone, two could still hold the port
    except OSError as exc:
        sock.close()
        raise Refused(f"cannot listen on {host} port {port} for the API: {exc.strerror}") from exc
    sock.setblocking(False)
    return sock


def _say_ready(fd: int, control: list[str], api: str) -> None:
    said = {"pid": os.getpid(), "control": control, "api": api}
    # A launcher that has gone meanwhile takes nothing from the coordinator.
    with contextlib.suppress(BrokenPipeError), os.fdopen(fd, "wb", buffering=0) as pipe:
        pipe.write(b"ready " + json.dumps(said).encode() + b"\n")
