"""Sizes, rates and workloads as people write them, such as `1GiB` and `hotspot:rate=50MB/s`."""

import re
from fractions import Fraction

from protocol.names import Workload

WORKLOADS = ("idle", "uniform", "hotspot", "sweep", "wave")
"""What a guest can be told to do."""

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


def parse_workload(text: str) -> Workload:
    """The workload that `NAME:rate=RATE,set=SIZE` names; ValueError says what would be right."""
    name, colon, rest = text.strip().partition(":")
    if name not in WORKLOADS:
        raise ValueError(f"there is no workload {name!r}: choose one of {', '.join(WORKLOADS)}")
    if colon and not rest:
        raise ValueError(f"{text!r} ends in a colon: leave it out or go on like rate=50MB/s")

    given: dict[str, int] = {}
    for setting in rest.split(",") if rest else ():
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or key not in ("rate", "set"):
            raise ValueError(
                f"{setting.strip()!r} is no setting of a workload: write rate=50MB/s or set=64MiB"
            )
        if key in given:
            raise ValueError(f"{text!r} sets {key} twice: say it once")
        given[key] = parse_rate(value) if key == "rate" else parse_size(value)
    return Workload(name, given.get("rate", 0), given.get("set", 0))


def format_size(size_bytes: int) -> str:
    """The shortest text that `parse_size` reads back as exactly `size_bytes`."""
    for unit in ("TiB", "GiB", "TB", "MiB", "GB", "MB", "KiB", "kB"):
        if size_bytes and size_bytes % _UNITS[unit] == 0:
            return f"{size_bytes // _UNITS[unit]}{unit}"
    return str(size_bytes)


def format_workload(workload: Workload) -> str:
    """The text that `parse_workload` reads back as `workload`; defaults are left out."""
    settings = []
    if workload.rate_bytes_per_s:
        settings.append(f"rate={format_size(workload.rate_bytes_per_s)}/s")
    if workload.set_bytes:
        settings.append(f"set={format_size(workload.set_bytes)}")
    return ":".join([workload.name, *([",".join(settings)] if settings else [])])
