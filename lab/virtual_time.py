"""An event loop whose clock jumps over waiting, so that an hour of timers takes no time."""

import asyncio
import selectors


class JumpingSelector(selectors.DefaultSelector):
    """Never sleeps: when no file is ready it moves the clock on by what it would have slept.

    It cannot see work in threads or in other processes: a timer fires before they answer,
    unless `patience_s` is long enough for them.
    """

    def __init__(self, patience_s: float = 0.0) -> None:
        super().__init__()
        self.patience_s = patience_s  # a few ms let bytes between real local sockets arrive
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)  # no timer to jump to: only a file can wake us
        waited_s = min(max(timeout, 0.0), self.patience_s)
        ready = super().select(waited_s)
        if not ready:
            self.skipped_s += max(timeout, 0.0) - waited_s
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For tests of drivers: `asyncio.sleep(3600)` takes no time, and nothing changes its turn."""

    def __init__(self, patience_s: float = 0.0) -> None:
        self._jumping = JumpingSelector(patience_s)
        super().__init__(self._jumping)

    def time(self) -> float:
        return super().time() + self._jumping.skipped_s
