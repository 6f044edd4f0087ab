"""What QEMU is told, and what is read from its answers and from its guest's beats."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.names import PAGE_BYTES

BEAT_S = 0.005
TICKS_PER_S = 1000
LOST = 0x80
"""Set in a beat once the guest has found a page that was not as it left it."""

_COUNT = 0x7F
NO_LIMIT_BYTES_PER_S = 1 << 40

Word = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QemuWay:
    """One way to migrate with QEMU. `post_copy_after`: passes of pre-copy before the switch."""

    name: str
    downtime_ms: int = 300
    streams: int = 0
    """Channels of multifd; 0 for its plain stream."""

    compression: str = "none"
    post_copy_after: int | None = None
    rate_bytes_per_s: int = NO_LIMIT_BYTES_PER_S

    @property
    def capabilities(self) -> list[Word]:
        wanted = ["events"]
        wanted += ["multifd"] if self.streams else []
        wanted += ["postcopy-ram"] if self.post_copy_after is not None else []
        return [{"capability": name, "state": True} for name in wanted]

    @property
    def parameters(self) -> dict[str, Any]:
        words: dict[str, Any] = {
            "max-bandwidth": self.rate_bytes_per_s,
            "downtime-limit": self.downtime_ms,
        }
        if self.streams:
            words |= {"multifd-channels": self.streams, "multifd-compression": self.compression}
        return words


PLAIN = QemuWay("QEMU plain")
MULTIFD = QemuWay("QEMU multifd", streams=2)
PACKED = QemuWay("QEMU multifd, zstd", streams=2, compression="zstd")
POST_COPY = QemuWay("QEMU post-copy", post_copy_after=1)
TIGHT = QemuWay("QEMU plain, 5 ms", downtime_ms=5)
WAYS = (PLAIN, MULTIFD, PACKED, POST_COPY, TIGHT)


@dataclass(frozen=True, slots=True)
class QemuLoad:
    """What QEMU's guest does: bytes written in each second, spread in turns over a set."""

    rate_bytes_per_s: int = 0
    set_bytes: int = 0

    @property
    def words(self) -> str:
        """For the guest: its own name, pages for each tick, pages of the set."""
        per_tick = round(self.rate_bytes_per_s / TICKS_PER_S / PAGE_BYTES)
        return f"guest {per_tick} {self.set_bytes // PAGE_BYTES}"

    @property
    def sweep_s(self) -> float:
        """How long the guest takes to look at every page of its set."""
        return self.set_bytes / self.rate_bytes_per_s if self.rate_bytes_per_s else 0.0


@dataclass(slots=True)
class Heard:
    """What came over a serial port, and when."""

    moments: list[float] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)

    def add(self, now: float, content: bytes) -> None:
        self.moments += [now] * len(content)
        self.beats += content


@dataclass(frozen=True, slots=True)
class QemuMove:
    """One migration. `gap_s`: from the guest's last beat on the source to its first on the target,
    of which a beat's own time is about `BEAT_S`. `well`: its guest went on and its pages are right.
    """

    total_s: float
    downtime_s: float
    gap_s: float
    cpu_s: float
    wire_bytes: int
    passes: int
    well: bool
    why: str = ""


def argv(
    program: str, memory: Sequence[str], kernel: str, load: QemuLoad, sockets: Mapping[str, str]
) -> list[str]:
    """One of the pair: a machine with nothing but memory, a processor and a serial port."""
    size, backend = memory
    return [
        *(program, "-accel", "tcg", "-machine", "pc,memory-backend=ram0", "-smp", "1"),
        *("-m", f"size={size}B", "-object", backend, "-kernel", kernel, "-append", load.words),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-chardev", f"socket,id=beats,path={sockets['beats']}", "-serial", "chardev:beats"),
        *("-qmp", f"unix:{sockets['qmp']},server=on,wait=off"),
    ]


def gap_s(source: Heard, target: Heard) -> float:
    return target.moments[0] - source.moments[-1]


def why_not_well(source: Heard, target: Heard) -> str:
    """What is wrong with the guest after its migration; nothing if it goes on as it should."""
    if not target.beats:
        return "The guest says nothing on the target."
    if (target.beats[0] & _COUNT) != (source.beats[-1] + 1 & _COUNT):
        return f"After beat {source.beats[-1] & _COUNT} came {target.beats[0] & _COUNT}."
    if any(beat & LOST for beat in (*source.beats, *target.beats)):
        return "The guest found a page that was not as it left it."
    return ""


def read_version(text: str) -> tuple[int, int]:
    """Of `QEMU emulator version 10.0.2 (Debian ...)`."""
    words = text.split("version", 1)
    if len(words) < 2:
        raise ValueError(f"{text[:60]!r} names no version of QEMU")
    major, minor, *_ = words[1].split()[0].split(".")
    return int(major), int(minor)
