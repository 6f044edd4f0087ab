"""Whole migrations through a lab, held against a bare send/recv loop in the same minutes.

The lab is real: two agents, a coordinator, an idle guest with random pages, the target populated in
S3. Each round measures the bare loop, then moves the VM to the other node.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.io.fill import filled
from agent.io.memory import VmMemory
from agent.runs import all_pages
from lab.bench.page_path import PAGE_PATH, measure, spread
from lab.cluster import running, topology_of
from lab.errors import LabError
from lab.home import Home
from protocol.names import PAGE_BYTES, Fill
from protocol.workload import format_size

NODES = ("node1", "node2")
COPY_PARTS = ("pause", "last pages")
"""What of the blackout is copying; the rest is verification, decisions and waking up."""

BARE = PAGE_PATH[0]


@dataclass(frozen=True, slots=True)
class Move:
    """One migration: round 0 against the bare loop, and the parts of its blackout."""

    ratio: float
    goodput_bytes_per_s: float
    bare_bytes_per_s: float
    copy_s: float
    blackout: dict[str, float]
    total_s: float


async def whole_migrations(
    memory_bytes: int, rounds: int, folder: Path, note: Callable[[str], None]
) -> list[Move]:
    """`rounds` migrations of one idle VM there and back, each beside a run of the bare loop."""
    size = format_size(memory_bytes)
    topology = topology_of(len(NODES), memory=format_size(memory_bytes * 2), delay="1s")
    moves = []
    with (
        closing(VmMemory.create("bench-source", memory_bytes)) as source,
        closing(VmMemory.create("bench-target", memory_bytes)) as target,
    ):
        for _ in filled(source, Fill.RANDOM, seed=1):
            pass
        target.populate()
        async with running(topology, Home(folder / "home")) as cluster:
            note(f"a VM of {size} on {NODES[0]}")
            await cluster.create("bench", str(memory_bytes), NODES[0])
            for number in range(rounds):
                note(f"migration {number + 1} of {rounds}")
                seconds, _ = measure(BARE, (source, target), all_pages(source.pages))
                there = NODES[(number + 1) % len(NODES)]
                record = await cluster.ended(await cluster.migrate("bench", there))
                moves.append(_move(record, memory_bytes / seconds))
    return moves


def _move(record: dict[str, Any], bare_bytes_per_s: float) -> Move:
    if record["outcome"] != "completed":
        raise LabError(f"a migration to measure ended {record['outcome']}: {record['reason']}")
    first = record["rounds"][0]
    goodput = first["pages"] * PAGE_BYTES / first["seconds"]
    blackout = record["blackout"]
    return Move(
        goodput / bare_bytes_per_s,
        goodput,
        bare_bytes_per_s,
        sum(blackout.get(part, 0.0) for part in COPY_PARTS),
        blackout,
        record["total_s"],
    )


def as_data(moves: list[Move]) -> dict[str, Any]:
    return {
        "ratio": spread([move.ratio for move in moves]),
        "goodput_bytes_per_s": spread([move.goodput_bytes_per_s for move in moves]),
        "copy_s": spread([move.copy_s for move in moves]),
        "total_s": spread([move.total_s for move in moves]),
        "migrations": [asdict(move) for move in moves],
    }
