"""The warm parent: a process with everything imported, from which VM workers are forked in 2 ms.

The agent forks it before there is an event loop, talks to it in small JSON datagrams with file
descriptors beside them, and is told when a worker ends. It and its workers end with the agent: each
holds the reading end of a pipe whose writing end only the agent has.

```text
agent -> warm parent   {"spawn": order} + descriptors     {"kill": pid}
warm parent -> agent   {"spawned": pid}  {"failed": why}  {"exited": pid, "status": wait status}
```
"""

import asyncio
import collections
import contextlib
import ctypes
import dataclasses
import gc
import json
import os
import select
import signal
import socket
import stat
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.io.control import ControlBlock, LeasePage
from agent.io.memory import VmMemory
from agent.io.ring import Ring
from agent.io.tracker import MarkMap
from agent.io.worker import EXIT_FAILED, Shared, Worker, WorkerOrder
from protocol.errors import ClusterError, NotReady
from protocol.names import Fill, VmDisk, VmSpec, Workload

_DATAGRAM_BYTES = 16384
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_DESCRIPTORS_MAX = 8
CLOSE_PATIENCE_S = 2.0

Exited = Callable[[str, int | None], None]
"""Hears how a worker ended, as part of a sentence, and its status (None: a signal)."""


class WarmParent:
    """The agent's end. Spawning needs an event loop; `fork` must come before there is one."""

    def __init__(self, pid: int, link: socket.socket, life_fd: int) -> None:
        self.pid = pid
        self._link = link
        self._life_fd = life_fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._asked: collections.deque[tuple[asyncio.Future[int], Exited]] = collections.deque()
        self._exits: dict[int, Exited] = {}
        self._on_lost: Callable[[], None] | None = None
        self._is_lost = False

    @classmethod
    def fork(cls) -> "WarmParent":
        gc.collect()
        gc.freeze()  # the children then leave the parent's objects where they are, and share them
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        agent_fd, life_fd = os.pipe()
        agent_pid = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _become_warm_parent(theirs, agent_fd, agent_pid)
        theirs.close()
        os.close(agent_fd)
        ours.setblocking(False)
        return cls(pid, ours, life_fd)

    async def spawn(self, order: WorkerOrder, fds: Sequence[int], exited: Exited) -> int:
        """Start a worker and return its pid; `exited` is called when it has ended, however."""
        async with self._turn:
            loop = self._listen()
            answer: asyncio.Future[int] = loop.create_future()
            spawn = json.dumps({"spawn": dataclasses.asdict(order)}, default=lambda f: f.value)
            try:
                socket.send_fds(self._link, [spawn.encode()], list(fds))
            except OSError as error:
                raise NotReady(f"The warm parent takes no orders: {error.strerror}.") from error
            self._asked.append((answer, exited))
            return await answer

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Have `on_lost` called when the warm parent ends by itself; from the running loop."""
        self._on_lost = on_lost
        self._listen()

    def kill(self, pid: int) -> None:
        """End a worker; only the warm parent knows for sure that the pid is still its own."""
        if pid in self._exits:
            with contextlib.suppress(ConnectionError):  # it is gone, and its workers with it
                self._link.send(json.dumps({"kill": pid}).encode())

    def close(self) -> None:
        """End the warm parent and its workers, and wait until it is gone."""
        if self._life_fd < 0:
            return
        os.close(self._life_fd)
        self._life_fd = -1
        self._end_within(CLOSE_PATIENCE_S)
        self._lost()
        self._link.close()

    def _end_within(self, seconds: float) -> None:
        """It ends because its pipe has; one that is stopped cannot, and is killed."""
        if self._is_lost:
            return
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], seconds)[0]:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)

    def _listen(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._link, self._hear)
        return self._loop

    def _hear(self) -> None:
        try:
            datagram = self._link.recv(_DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            datagram = b""
        if not datagram:
            self._lost()
            if self._on_lost is not None:
                self._on_lost()
            return
        match json.loads(datagram):
            case {"spawned": int(pid)}:
                answer, self._exits[pid] = self._asked.popleft()
                if answer.cancelled():  # nobody wants this worker any more
                    self._exits[pid] = _ignore
                    self.kill(pid)
                else:
                    answer.set_result(pid)
            case {"failed": str(why)}:
                self._fail(f"No VM worker could be started: {why}.")
            case {"exited": int(pid), "status": int(status)}:
                code = os.waitstatus_to_exitcode(status)
                how = f"ended with status {code}" if code >= 0 else _killed_by(-code)
                self._exits.pop(pid)(how, code if code >= 0 else None)

    def _fail(self, why: str) -> None:
        answer, _ = self._asked.popleft()
        if not answer.cancelled():
            answer.set_exception(NotReady(why))

    def _lost(self) -> None:
        """Without it there is no worker: the kernel kills them before it lets us reap it."""
        if self._is_lost:
            return
        self._is_lost = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._link)
        os.waitpid(self.pid, 0)
        while self._asked:
            self._fail("The warm parent of the VM workers is gone.")
        exits, self._exits = self._exits, {}
        for exited in exits.values():
            exited("was lost with the warm parent of the VM workers", None)


def _ignore(how: str, status: int | None) -> None:
    """How an unwanted worker ends is of no interest."""


def _killed_by(number: int) -> str:
    return f"was killed by {signal.Signals(number).name}"


# What follows runs in the warm parent and its children.


def _become_warm_parent(link: socket.socket, agent_fd: int, agent_pid: int) -> NoReturn:
    """In the forked child: keep the link and the pipe, forget all else that the agent has open."""
    status = EXIT_FAILED
    try:
        _die_with(agent_pid)
        _name("hvlab-warm")
        _default_signals()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        kept = {0, 1, 2, link.fileno(), agent_fd, null}
        _close_all_but(kept | _plugged(null, kept))
        os.dup2(null, 0)
        os.dup2(2, 1)  # what is printed by mistake must not look like the agent's own words
        os.close(null)
        gc.freeze()
        _Nursery(link, agent_fd).serve()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class _Nursery:
    """Forks workers on request and tells the agent when they end."""

    def __init__(self, link: socket.socket, agent_fd: int) -> None:
        self._link = link
        self._agent_fd = agent_fd
        self._pids: dict[int, int] = {}
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self._poll.register(agent_fd, select.POLLIN)

    def serve(self) -> None:
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._agent_fd:
                    return
                if fd in self._pids:
                    self._reap(fd)
                elif not self._obey():
                    return

    def _obey(self) -> bool:
        datagram, fds, _, _ = socket.recv_fds(self._link, _DATAGRAM_BYTES, _DESCRIPTORS_MAX)
        if not datagram:
            return False
        match json.loads(datagram):
            case {"spawn": order}:
                self._spawn(order, fds)
            case {"kill": int(pid)}:
                for pidfd in [pidfd for pidfd, known in self._pids.items() if known == pid]:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        return True

    def _spawn(self, order: dict[str, Any], fds: list[int]) -> None:
        parent_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell({"failed": error.strerror})
        else:
            if pid == 0:
                _become_worker(order, fds, self._agent_fd, parent_pid)
            pidfd = os.pidfd_open(pid)
            self._pids[pidfd] = pid
            self._poll.register(pidfd, select.POLLIN)
            self._tell({"spawned": pid})
        finally:
            for fd in fds:
                os.close(fd)

    def _reap(self, pidfd: int) -> None:
        pid = self._pids.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._tell({"exited": pid, "status": status})

    def _tell(self, news: dict[str, Any]) -> None:
        self._link.send(json.dumps(news).encode())


def _become_worker(
    order: dict[str, Any], fds: list[int], agent_fd: int, parent_pid: int
) -> NoReturn:
    """In the forked child: run one VM's guest to its end."""
    status = EXIT_FAILED
    try:
        _die_with(parent_pid)
        _name("hvlab-vm")
        _close_all_but({0, 1, 2, agent_fd, *fds})
        status = _run_worker(_order_of(order), fds, agent_fd)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _run_worker(order: WorkerOrder, fds: list[int], agent_fd: int) -> int:
    memory_fd, control_fd, lease_fd, command_fd, reply_fd, *others = fds
    watch_fd = others.pop() if order.may_miss else -1
    disk_fds = [others.pop() for _ in range(2)] if order.disk_bytes else []
    shared = Shared(
        memory=VmMemory(memory_fd, order.spec.memory_bytes),
        control=ControlBlock(control_fd),
        lease=LeasePage.watched(lease_fd),
        command_fd=command_fd,
        reply_fd=reply_fd,
        agent_fd=agent_fd,
        marks=MarkMap(others[0], order.spec.pages) if others else None,
        ring=Ring(disk_fds[1]) if disk_fds else None,
        asked_fd=disk_fds[0] if disk_fds else -1,
        watch_fd=watch_fd,
    )
    try:
        worker = Worker(order, shared)
    except ClusterError as error:
        shared.control.set_reason(str(error))
        return EXIT_FAILED
    return worker.run()


def _order_of(order: dict[str, Any]) -> WorkerOrder:
    spec = order["spec"]
    fields = spec | {
        "workload": Workload(**spec["workload"]),
        "fill": Fill(spec["fill"]),
        "disks": tuple(VmDisk(**disk) for disk in spec["disks"]),
    }
    return WorkerOrder(**{**order, "spec": VmSpec(**fields)})


def _die_with(parent_pid: int) -> None:
    """The second line: the kernel kills this process when its parent dies."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(EXIT_FAILED)  # it died before the line above


def _name(name: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def _default_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C reaches a terminal's whole group: it is the agent that ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _plugged(null: int, kept: set[int]) -> set[int]:
    """The pipes that the agent has open, each closed, but its number still taken.

    libuv, if a loop of it was ever made before, closes two pipes by their numbers after each fork:
    those must never come to be the numbers of what a worker is given.
    """
    pipes = set()
    for path in list(Path("/proc/self/fd").iterdir()):
        fd = int(path.name)
        with contextlib.suppress(OSError):
            if fd not in kept and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.dup2(null, fd, inheritable=False)
                pipes.add(fd)
    return pipes


def _close_all_but(kept: set[int]) -> None:
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if fd not in kept:
            try:
                os.close(fd)
            except OSError:
                pass  # the one with which the directory was read
