"""What a guest that was frozen may have done when it is woken: looked at before and after."""

import os
import signal
from pathlib import Path
from typing import Self

import numpy as np

from agent.guests import PAGE_WORDS, Pages
from agent.io.control import WorkerState
from lab.cluster import Cluster, until
from lab.evidence import Witness, workers
from lab.procfs import runs, send


class Frozen:
    """The worker of a VM on one node, its memory and its node's disk. `close` it."""

    def __init__(self, node: str, vm: str) -> None:
        self._node, self._vm = node, vm
        self._memory_fd = -1
        self._worker: Witness | None = None
        self.steps_made = self.pages_changed = -1
        self.files_changed: list[str] = ["not looked at again"]
        self.outlets: list[str] = []
        """What the worker has open through which a byte could reach a disk or a client.
        Its log is where it would complain.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.control.close()
        if self._memory_fd >= 0:
            os.close(self._memory_fd)

    async def look(self, cluster: Cluster) -> None:
        """Before it is woken."""
        for one in workers(cluster.lab, self._vm):
            if one.node == self._node:
                self._worker = one
            else:
                one.control.close()
        assert self._worker is not None, f"{self._vm} has no copy on {self._node}"
        log = str(cluster.lab.log_path(self._node))
        self._open(Path(f"/proc/{self._worker.process.pid}/fd"), log)
        self._folder = cluster.lab.state_dir / "nodes" / self._node / "vms"
        self._steps, self._memory = self._worker.steps, self._content()
        self._disk = self._files()

    def _open(self, folder: Path, log: str) -> None:
        for entry in folder.iterdir():
            target = str(entry.readlink())
            if target.startswith(f"/memfd:vm-{self._vm}") and self._memory_fd < 0:
                self._memory_fd = os.open(entry, os.O_RDONLY | os.O_CLOEXEC)
            elif not target.startswith(("/memfd:", "pipe:", "anon_inode:", "/dev/null", log)):
                self.outlets.append(target)

    async def wake(self, cluster: Cluster) -> None:
        """The worker alone, whose agent sleeps on and can neither pause nor end it."""
        await self.look(cluster)
        worker = self._worker
        assert worker is not None

        async def stands() -> bool | None:
            return worker.control.reply.state is WorkerState.PAUSED or None

        send(worker.process, signal.SIGCONT)
        await until("the guest did not stand still", stands)
        await self.look_again(cluster)
        assert runs(worker.process), "nobody has ended it"

    async def look_again(self, _: Cluster) -> None:
        """When all that it might do is done. The memory of a worker that is gone stays readable,
        but for the pages that its agent gave back: they hold nothing any more.
        """
        assert self._worker is not None
        self.steps_made = self._worker.steps - self._steps
        now = self._content()
        changed = (self._memory != now).any(axis=1) & now.any(axis=1)
        self.pages_changed = max(self.pages_changed, int(changed.sum()))
        self.files_changed = [
            name for name, content in self._files().items() if self._disk.get(name) != content
        ]

    def _content(self) -> Pages:
        content = os.pread(self._memory_fd, os.fstat(self._memory_fd).st_size, 0)
        return np.frombuffer(content, np.uint64).reshape(-1, PAGE_WORDS)

    def _files(self) -> dict[str, tuple[int, bytes]]:
        """What lies on the node's disk of its VMs, and when it was last written."""
        return {
            path.name: (path.stat().st_mtime_ns, path.read_bytes())
            for path in self._folder.glob("*")
        }
