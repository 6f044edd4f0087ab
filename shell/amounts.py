"""Sizes, rates and times as a person reads them: MiB and ms."""

MIB = 2**20


def mib(size_bytes: float | None) -> str:
    if size_bytes is None:
        return "-"
    size = size_bytes / MIB
    return f"{size:,.0f} MiB" if size >= 10 or size == int(size) else f"{size:.1f} MiB"


def mib_per_s(rate_bytes_per_s: float | None) -> str:
    return "-" if rate_bytes_per_s is None else f"{mib(rate_bytes_per_s)}/s"


def ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    millis = seconds * 1000
    return f"{millis:,.0f} ms" if millis >= 100 else f"{millis:.1f} ms"


def seconds(value: float) -> str:
    """A time that may be long."""
    return f"{value:,.1f} s" if value >= 1 else ms(value)


def count(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"
