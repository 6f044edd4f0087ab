"""Content that is too long for one field of bytes: cut into parts, and put together again.

Parts travel in order on one link, so whatever does not continue what has come is of no use, and the
sender begins anew.
"""

from typing import Generic, TypeVar

PART_BYTES = 60 * 1024
PARTS_MAX = 64
"""Of one content: so much a receiver keeps of what is not whole yet."""

CONTENT_BYTES_MAX = PART_BYTES * PARTS_MAX

Name = TypeVar("Name")


def cut(content: bytes) -> tuple[bytes, ...]:
    """The parts of `content`, at least one; `ValueError` if they would be too many."""
    if len(content) > CONTENT_BYTES_MAX:
        raise ValueError(f"{len(content)} bytes; at most {CONTENT_BYTES_MAX} go into parts")
    starts = range(0, max(len(content), 1), PART_BYTES)
    return tuple(content[start : start + PART_BYTES] for start in starts)


class Assembly(Generic[Name]):
    """What has come of one content. A first part begins anew; one out of turn ends it."""

    def __init__(self) -> None:
        self._name: Name | None = None
        self._parts = 0
        self._pieces: list[bytes] = []

    def add(self, name: Name, part: int, parts: int, piece: bytes) -> bytes | None:
        """The whole content once its last part has come, and only then."""
        if part == 0:
            self._name, self._parts, self._pieces = name, parts, []
        fits = 0 < len(piece) <= PART_BYTES and 0 < parts <= PARTS_MAX
        if not fits or (name, parts, part) != (self._name, self._parts, len(self._pieces)):
            self.forget()
            return None
        self._pieces.append(piece)
        if part + 1 < parts:
            return None
        content = b"".join(self._pieces)
        self.forget()
        return content

    def forget(self) -> None:
        self._name, self._parts, self._pieces = None, 0, []
