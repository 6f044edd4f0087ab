"""How pages are to travel, from the fields of a request to those of `Travel`."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

TRAVEL = {
    **{name: name for name in ("streams", "stripe", "compress", "level", "kept", "marking")},
    **{"delta": "delta_bytes", "checksum": "checked"},
    **{"rate": "rate_bytes_per_s", "downtime": "downtime_s"},
}
"""The fields of a request, and what they choose."""


def choices(body: BaseModel) -> Iterator[tuple[str, Any]]:
    """What was chosen; what was left out is the cluster's default."""
    for field, name in TRAVEL.items():
        if (value := getattr(body, field, None)) is not None:
            yield name, value
