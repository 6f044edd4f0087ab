"""The disk loop: an event loop in a thread of its own, so that the I/O of disks and the heartbeats
of the node do not delay each other.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

from protocol.errors import ClusterError

T = TypeVar("T")

END_WITHIN_S = 10.0


async def whole(work: Coroutine[Any, Any, T]) -> T:
    """Carry `work` out to its end, whatever becomes of who waits: one that is cancelled ends only
    when nothing of it can reach a disk any more.
    """
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


class DiskLoop:
    """Begun by `start`; everything of the node's disks is made and used in it alone."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self._broken: Callable[[Exception], None] | None = None
        self._thread = threading.Thread(target=self._work, name="disks", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def watch(self, broken: Callable[[Exception], None]) -> None:
        """`broken` hears, in this thread, of the bugs that no caller waits for."""
        self._broken = broken

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        match context.get("exception"):
            case OSError() | ClusterError():
                pass
            case Exception() as bug if self._broken is not None:
                self._broken(bug)
                return
        loop.default_exception_handler(context)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=END_WITHIN_S))
        finally:
            self.loop.close()

    def soon(self, call: Callable[[], object]) -> None:
        """From any thread, in the order of the calls; nothing happens any more once it ended."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """From another loop: carry `work` out on this one, and wait for what comes of it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    async def stop(self) -> None:
        """Whoever uses it has ended before. May be repeated."""
        if self._thread.is_alive():
            self.soon(self.loop.stop)
            await asyncio.to_thread(self._thread.join, END_WITHIN_S)
        elif not self.loop.is_closed():
            self.loop.close()
