"""Moments as a person says them: `10m` ago, or a time of the calendar."""

import datetime
import re

from shell.errors import BadWords

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AGO = re.compile(r"([0-9]{1,9})([smhd])")


def moment(text: str, now: float) -> float:
    """Seconds since 1970; a time of the calendar without a zone is the local one."""
    if ago := AGO.fullmatch(text):
        return now - int(ago[1]) * SECONDS[ago[2]]
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadWords(
            f"{text!r} is no time: write 30s, 10m, 2h or 1d (so long ago), or one like "
            "2026-03-01T14:30:00"
        ) from None
