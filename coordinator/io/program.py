"""The life of a coordinator's process: what it opens, in which order, and how it ends."""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import secrets
import signal
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError

from coordinator.config import CoordinatorConfig, Network
from coordinator.core import CoordinatorCore
from coordinator.io.api import application
from coordinator.io.driver import Driver, boottime
from coordinator.io.feed import Feed
from coordinator.io.operations import Operations
from coordinator.io.sqlite import SqliteStore
from coordinator.io.table import routes
from protocol.errors import Refused
from protocol.io.link import serve_links
from protocol.names import Timing

STORE = "coordinator.sqlite"
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


async def run(settings: Settings) -> None:
    """Lead until SIGTERM or SIGINT. A start that fails leaves nothing open and took no term."""
    _make_state_dir(settings.state_dir)
    async with contextlib.AsyncExitStack() as opened:
        store = await SqliteStore.open(settings.state_dir / STORE)
        opened.push_async_callback(store.close)
        core = CoordinatorCore(_config(settings), boottime())
        driver = Driver(core, store, settings.leader)
        feed = Feed(store, driver.picture)
        driver.watched_by(feed)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, driver.stop)
        control = []
        for host, port in settings.listen:
            server = await serve_links(host, port, driver.serve)
            await opened.enter_async_context(server)
            control.append(address_text(server.host, server.port))
        operations = Operations(driver, feed, settings.timing)
        app = application(routes(operations), feed, settings.api_names)
        close, api = await serve_http(app, *settings.api)
        opened.push_async_callback(close)
        if settings.ready_fd is not None:
            _say_ready(settings.ready_fd, control, api)
        structlog.get_logger(part="program").info("ready", control=control, api=api)
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(feed.run())
            await driver.run()
            telling.cancel()
    structlog.get_logger(part="program").info("ended")


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


def _config(settings: Settings) -> CoordinatorConfig:
    return CoordinatorConfig(
        lab=settings.lab,
        leader=settings.leader,
        networks=settings.networks,
        wall_offset_s=time.time() - boottime(),
        secret=secrets.token_bytes(32),
    )


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
