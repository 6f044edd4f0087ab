"""Sizes, rates and workloads as people write them, such as `1GiB` and `hotspot:rate=50MB/s`."""

import re
from fractions import Fraction

from protocol.names import VmSpec, Workload

DISK_WORKLOADS = ("ledger", "database")
"""Whose guests need a disk."""

WORKLOADS = ("idle", "uniform", "hotspot", "sweep", "wave", *DISK_WORKLOADS)
"""What a guest can be told to do."""

LOG_PLACES = 64
"""How many blocks the log of a database has, and a ledger at least."""

_BLOCKS = {"ledger": ("entry", 512), "database": ("page", 4096)}
_BLOCK_BYTES_MAX = 64 * 1024

SIZE_PATTERN = r"(-?[0-9]{1,20}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)"
BYTES_MAX = 2**63 - 1

_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


def parse_size(text: str) -> int:
    """The bytes that `1GiB`, `50MB` or `4096` name; ValueError says what would be right."""
    match = re.fullmatch(SIZE_PATTERN, text.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is no size: write it like 1GiB, 512MiB, 50MB or 4096 (bytes)")
    size = Fraction(match[1]) * _UNITS[match[2]]
    if match[1].startswith("-"):
        raise ValueError(f"{text!r} is below zero: a size is zero or more bytes")
    if size.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number of bytes: choose a size that is")
    if size > BYTES_MAX:
        raise ValueError(f"{text!r} is more than {BYTES_MAX} bytes: choose a smaller size")
    return int(size)


def parse_rate(text: str) -> int:
    """The bytes per second that `50MB/s` or, for short, `50MB` names."""
    try:
        return parse_size(text.strip().removesuffix("/s"))
    except ValueError as exc:
        raise ValueError(f"{text!r} is no rate ({exc}): write it like 50MB/s or 64MiB/s") from exc


def parse_seconds(text: str) -> float:
    """The seconds that `20ms` or `1.5s` name."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time: write it like 20ms or 1.5s")
    return float(match[1]) * (0.001 if match[2] == "ms" else 1.0)


def parse_workload(text: str) -> Workload:
    """The workload that `NAME:rate=RATE,set=SIZE` names; ValueError says what would be right."""
    name, colon, rest = text.strip().partition(":")
    if name not in WORKLOADS:
        raise ValueError(f"there is no workload {name!r}: choose one of {', '.join(WORKLOADS)}")
    if colon and not rest:
        raise ValueError(f"{text!r} ends in a colon: leave it out or go on like rate=50MB/s")

    said = _settings(text, name, rest)
    block = _block_of(name, said)
    rate = _rate_of(name, said["rate"], block) if "rate" in said else 0
    return Workload(name, rate, parse_size(said["set"]) if "set" in said else 0, block)


def _settings(text: str, name: str, rest: str) -> dict[str, str]:
    keys = ("rate", "set", *(_BLOCKS[name][:1] if name in _BLOCKS else ()))
    said: dict[str, str] = {}
    for setting in rest.split(",") if rest else ():
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or key not in keys:
            raise ValueError(
                f"{setting.strip()!r} is no setting of a workload: write rate=50MB/s or set=64MiB"
            )
        if key in said:
            raise ValueError(f"{text!r} sets {key} twice: say it once")
        said[key] = value
    return said


def _block_of(name: str, said: dict[str, str]) -> int:
    if name not in _BLOCKS or _BLOCKS[name][0] not in said:
        return 0
    key = _BLOCKS[name][0]
    block = parse_size(said[key])
    if wrong := _block_mistake(name, block):
        raise ValueError(f"{key}={said[key]} does not do: {wrong}")
    return block


def _block_mistake(name: str, block: int) -> str:
    """Nothing if a guest can write its disk in blocks of this size."""
    least = _BLOCKS[name][1]
    if least <= block <= _BLOCK_BYTES_MAX and block % least == 0:
        return ""
    return f"a multiple of {least} bytes is wanted, up to {_BLOCK_BYTES_MAX}"


def _rate_of(name: str, text: str, block: int) -> int:
    """Of a guest with a disk, `200/s` are operations, each of one block."""
    count = text.removesuffix("/s")
    if name not in _BLOCKS or not re.fullmatch("[0-9]{1,19}", count):
        return parse_rate(text)
    rate = int(count) * (block or _BLOCKS[name][1])
    if rate > BYTES_MAX:
        raise ValueError(f"{text!r} is more than {BYTES_MAX} bytes/s: choose a smaller rate")
    return rate


def block_bytes(workload: Workload) -> int:
    """In what blocks a guest writes its disk; 0 for guests that need none."""
    if workload.name not in _BLOCKS:
        return 0
    return workload.block_bytes or _BLOCKS[workload.name][1]


def why_no_disk(workload: Workload, disks_bytes: tuple[int, ...]) -> str | None:
    """What is wrong with a VM's disks for what its guest does, as a sentence; None if nothing is.

    A guest uses the first disk.
    """
    if workload.name not in DISK_WORKLOADS:
        return None
    block = block_bytes(workload)
    if wrong := _block_mistake(workload.name, block):
        return f"Workload {workload.name} cannot write blocks of {block} bytes: {wrong}."
    if not disks_bytes:
        return (
            f"Workload {workload.name} keeps what it does on a virtual disk, and the VM has none: "
            "give it one, on a volume."
        )
    least = (LOG_PLACES + 1) * block
    if disks_bytes[0] < least:
        return (
            f"Workload {workload.name} needs a virtual disk of at least {least} bytes for blocks "
            f"of {block}, and the first one of the VM has {disks_bytes[0]}."
        )
    return None


def format_size(size_bytes: int) -> str:
    """The shortest text that `parse_size` reads back as exactly `size_bytes`."""
    for unit in ("TiB", "GiB", "TB", "MiB", "GB", "MB", "KiB", "kB"):
        if size_bytes and size_bytes % _UNITS[unit] == 0:
            return f"{size_bytes // _UNITS[unit]}{unit}"
    return str(size_bytes)


def format_workload(workload: Workload) -> str:
    """The text that `parse_workload` reads back as `workload`; defaults are left out."""
    settings, block = [], block_bytes(workload)
    if rate := workload.rate_bytes_per_s:
        in_blocks = block and rate % block == 0
        plain = format_size(rate) + ("B" if block and format_size(rate).isdecimal() else "")
        settings.append(f"rate={rate // block if in_blocks else plain}/s")
    if workload.set_bytes:
        settings.append(f"set={format_size(workload.set_bytes)}")
    if workload.block_bytes:
        settings.append(f"{_BLOCKS[workload.name][0]}={format_size(workload.block_bytes)}")
    return ":".join([workload.name, *([",".join(settings)] if settings else [])])


def disk_bytes(spec: VmSpec) -> int:
    """Of the disk that the guest uses: the VM's first, if it uses one."""
    return spec.disks[0].size_bytes if spec.disks and spec.workload.name in DISK_WORKLOADS else 0
