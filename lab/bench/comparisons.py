"""What `hvlab bench NAME` compares: which ways, under which load, and what they are held against.

The names follow QEMU's guestperf where it has them. A wire of 1 Gbit/s is a rate limit of 118 MB/s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.bench.qemu_words import MULTIFD, PACKED, PLAIN, POST_COPY, TIGHT, QemuLoad, QemuWay
from protocol.names import PAGE_BYTES

WIRE = "118MB/s"
WIRED_SHARE = 4
"""A VM that travels over a wire has so much less memory, or each migration takes ten seconds."""

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Load:
    """What the guest does while it moves: `kind` of writing, at a rate, over a set."""

    name: str
    kind: str = "idle"
    rate_bytes_per_s: int = 0
    set_bytes: int = 0
    fill: str = "random"

    @property
    def writes(self) -> bool:
        return self.kind != "idle"

    def in_memory(self, memory_bytes: int) -> int:
        """The set, and at most half of a VM that is smaller."""
        return min(self.set_bytes, memory_bytes // 2) // PAGE_BYTES * PAGE_BYTES

    def workload(self, memory_bytes: int) -> str:
        """In the words of `hvlab vm create --workload`."""
        if not self.writes:
            return self.kind
        return f"{self.kind}:rate={self.rate_bytes_per_s}B/s,set={self.in_memory(memory_bytes)}"

    def on_qemu(self, memory_bytes: int) -> QemuLoad:
        return QemuLoad(self.rate_bytes_per_s, self.in_memory(memory_bytes))


IDLE = Load("idle")
TEXT = Load("text", fill="files")
CALM = Load("uniform 20 MB/s over 64 MiB", "uniform", 20_000_000, 64 * MIB)
FAST = Load("uniform 1 GB/s over 512 MiB", "uniform", 1_000_000_000, 512 * MIB)
HOT = Load("hot and cold, 200 MB/s", "hotspot", 200_000_000, 28 * MIB)
SWEEP = Load("sweep 50 MB/s over 256 MiB", "sweep", 50_000_000, 256 * MIB)
MUNCHER = Load("more than the wire, 300 MB/s", "sweep", 300_000_000, 512 * MIB)
KEY_VALUE = Load("like a key-value store, 0.55 of the wire", "uniform", 65_000_000, 256 * MIB)
FEW_WORDS = Load("some words of hot pages", "uniform", 500_000_000, 32 * MIB)
LOADS = (IDLE, CALM, KEY_VALUE, SWEEP, HOT, MUNCHER)


@dataclass(frozen=True)
class Case:
    """One way under one load; `travel` are fields of the request. With `qemu` it is not ours."""

    name: str
    load: Load = IDLE
    policy: str = "2008r2"
    travel: Mapping[str, Any] = field(default_factory=dict)
    verify: str = "off"
    qemu: QemuWay | None = None


@dataclass(frozen=True)
class Comparison:
    """Some cases in turns; the first is what the others are held against."""

    name: str
    about: str
    cases: tuple[Case, ...]
    wired: bool = False
    """Its VM is smaller, for it travels over a wire of 1 Gbit/s or less."""

    def memory_bytes(self, asked_bytes: int) -> int:
        return max(16 * MIB, asked_bytes // WIRED_SHARE) if self.wired else asked_bytes


def _wired(name: str, load: Load, policy: str = "2008r2", **travel: Any) -> Case:
    return Case(name, load, policy, {"rate": WIRE, **travel})


def _streams(count: int, **travel: Any) -> Case:
    return Case(f"{count} stream{'s' * (count > 1)}", travel={"streams": count, **travel})


COMPARISONS = (
    Comparison(
        "rounds",
        "when pre-copy stops: after ten rounds, or at a pause to aim at",
        (
            _wired("2008 R2: ten rounds", KEY_VALUE),
            *(
                _wired(f"downtime {ms} ms", KEY_VALUE, "downtime", downtime=f"{ms}ms")
                for ms in (300, 100, 20)
            ),
        ),
        wired=True,
    ),
    Comparison(
        "policies",
        "every policy with a guest that writes faster than its wire",
        tuple(
            _wired(policy, MUNCHER, policy)
            for policy in ("2008r2", "clark", "auto-converge", "ramp", "post-copy")
        ),
        wired=True,
    ),
    Comparison(
        "auto-converge",
        "in which steps the guest is slowed down",
        tuple(
            _wired(f"steps of {step:g}", MUNCHER, f"auto-converge:step={step:g}")
            for step in (0.1, 0.05, 0.2, 0.4)
        ),
        wired=True,
    ),
    Comparison(
        "post-copy",
        "post-copy after so many rounds",
        (
            _wired("2008 R2: no post-copy", MUNCHER),
            *(
                _wired(f"after {rounds}", MUNCHER, f"post-copy:rounds={rounds}")
                for rounds in (1, 2, 5)
            ),
        ),
        wired=True,
    ),
    Comparison(
        "compression",
        "levels of zstd, over a wire of 1 Gbit/s; memory full of text and code",
        (
            _wired("off", TEXT),
            _wired("auto", TEXT, compress="auto"),
            *(_wired(f"zstd {n}", TEXT, compress="zstd", level=n) for n in (1, 3, 9)),
        ),
        wired=True,
    ),
    Comparison(
        "compression-random",
        "what compression costs where nothing can be compressed",
        (
            _wired("off", IDLE),
            _wired("auto", IDLE, compress="auto"),
            _wired("zstd 1", IDLE, compress="zstd"),
        ),
        wired=True,
    ),
    Comparison(
        "compression-threads",
        "each stream packs in a thread of its own; no limit on the wire",
        (
            Case("off", TEXT),
            *(
                Case(
                    f"zstd 1, {n} stream{'s' * (n > 1)}",
                    TEXT,
                    travel={"compress": "zstd", "streams": n},
                )
                for n in (1, 2, 4)
            ),
        ),
    ),
    Comparison(
        "delta",
        "how much the source may remember of what it sent",
        (
            _wired("no delta", FEW_WORDS),
            *(_wired(f"{n} MiB", FEW_WORDS, delta=f"{n}MiB") for n in (8, 64, 256)),
        ),
        wired=True,
    ),
    Comparison(
        "kept",
        "pages that the target still has from an earlier stay",
        (_wired("all are sent", CALM), _wired("kept ones are not", CALM, kept=True)),
        wired=True,
    ),
    Comparison("streams", "connections side by side", tuple(map(_streams, (1, 2, 4)))),
    Comparison(
        "ladder",
        "limits of bandwidth",
        tuple(
            Case(f"{rate} MB/s" if rate else "no limit", CALM, travel={"rate": f"{rate}MB/s"})
            for rate in (118, 30, 300, 1000, 0)
        ),
        wired=True,
    ),
    Comparison(
        "marking",
        "when a page that is sent stops counting as dirty",
        tuple(_wired(name, KEY_VALUE, marking=name) for name in ("round", "sent", "peek")),
        wired=True,
    ),
    Comparison(
        "checks",
        "checksums on batches, and comparing the memory at the switch",
        (
            Case("no checksum", travel={"checksum": False}),
            Case("checksum", travel={"checksum": True}),
            Case("checksum, verify full", travel={"checksum": True}, verify="full"),
        ),
    ),
    Comparison(
        "workloads",
        "the named loads over a wire of 1 Gbit/s: predicted beside measured",
        tuple(_wired(load.name, load) for load in LOADS),
        wired=True,
    ),
    Comparison(
        "qemu",
        "QEMU with the same bytes, an idle guest",
        (
            Case("hvlab, 1 stream"),
            Case("hvlab, 2 streams", travel={"streams": 2}),
            *(Case(way.name, qemu=way) for way in (PLAIN, MULTIFD, PACKED, POST_COPY)),
        ),
    ),
    Comparison(
        "qemu-busy",
        "QEMU with the same bytes, a guest that writes 20 MB/s over 64 MiB",
        (
            Case("hvlab, downtime 5 ms", CALM, "downtime", {"downtime": "5ms"}),
            Case("hvlab, post-copy", CALM, "post-copy"),
            *(Case(way.name, CALM, qemu=way) for way in (PLAIN, MULTIFD, TIGHT, POST_COPY)),
        ),
    ),
)
BY_NAME = {comparison.name: comparison for comparison in COMPARISONS}
