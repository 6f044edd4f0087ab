"""The free blocks of a volume. They are not kept on the disk: what no file and no quarantine has
is free, so nothing can be free and used at once after a crash."""

import bisect
from collections.abc import Iterable

from agent.volumes.errors import Damaged, VolumeFull
from agent.volumes.extents import BLOCK_BYTES, Extent


class FreeSpace:
    """Free runs in the order of the disk, never touching each other."""

    def __init__(self, whole: Extent, used: Iterable[Extent] = ()) -> None:
        """Free is `whole` without `used`; where extents of `used` overlap, the checker tells."""
        self._starts: list[int] = []
        self._ends: list[int] = []
        at = whole.start
        for extent in sorted(used, key=lambda extent: extent.start):
            until = min(extent.start, whole.end)
            if until > at:
                self._starts.append(at)
                self._ends.append(until)
            at = max(at, extent.end)
        if at < whole.end:
            self._starts.append(at)
            self._ends.append(whole.end)
        self.blocks = sum(self._ends) - sum(self._starts)

    def extents(self) -> tuple[Extent, ...]:
        pairs = zip(self._starts, self._ends, strict=True)
        return tuple(Extent(start, end - start) for start, end in pairs)

    def choose(self, blocks: int, after: int | None = None) -> tuple[Extent, ...]:
        """Blocks to take: next to `after` if they are free, else the first run that has room for
        all, else the largest runs. Takes none of them yet."""
        if blocks == 0:
            return ()
        if blocks > self.blocks:
            free, wanted = self.blocks * BLOCK_BYTES, blocks * BLOCK_BYTES
            raise VolumeFull(
                f"{wanted} bytes are wanted and {free} are free on the volume: delete files,"
                " or wait until deleted ones are closed everywhere"
            )
        runs = list(zip(self._starts, self._ends, strict=True))
        if after is not None:
            at = bisect.bisect_left(self._starts, after)
            if at < len(runs) and runs[at][0] == after and runs[at][1] - after >= blocks:
                return (Extent(after, blocks),)
        for start, end in runs:
            if end - start >= blocks:
                return (Extent(start, blocks),)
        out = []
        for start, end in sorted(runs, key=lambda run: (run[0] - run[1], run[0])):
            taken = min(blocks, end - start)
            out.append(Extent(start, taken))
            blocks -= taken
            if not blocks:
                break
        return tuple(out)

    def take(self, extents: Iterable[Extent]) -> None:
        for extent in extents:
            at = bisect.bisect_right(self._starts, extent.start) - 1
            if at < 0 or extent.end > self._ends[at]:
                raise Damaged(f"blocks {extent.start} to {extent.end} are not free")
            start, end = self._starts[at], self._ends[at]
            left, right = (start, extent.start), (extent.end, end)
            kept = [run for run in (left, right) if run[0] < run[1]]
            self._starts[at : at + 1] = [run[0] for run in kept]
            self._ends[at : at + 1] = [run[1] for run in kept]
            self.blocks -= extent.blocks

    def give(self, extents: Iterable[Extent]) -> None:
        for extent in extents:
            start, end = extent.start, extent.end
            at = bisect.bisect_right(self._starts, start)
            before = at > 0 and self._ends[at - 1] >= start
            behind = at < len(self._starts) and self._starts[at] <= end
            assert not (at > 0 and self._ends[at - 1] > start), "given back twice"
            assert not (at < len(self._starts) and self._starts[at] < end), "given back twice"
            low, high = at - before, at + behind
            start = self._starts[low] if before else start
            end = self._ends[high - 1] if behind else end
            self._starts[low:high] = [start]
            self._ends[low:high] = [end]
            self.blocks += extent.blocks
