"""How much of a file a client has its owner prepare for first writes: more and more ahead of who
writes one piece behind the other, and no more than is touched for anybody else.
"""

from dataclasses import dataclass, field

PIECE_BYTES = 1024 * 1024
"""The owner prepares whole ones of these."""

AHEAD_BYTES_MAX = 16 * PIECE_BYTES


@dataclass(slots=True)
class Preparing:
    """Of one open file."""

    asked: list[tuple[int, int]] = field(default_factory=list)
    """What the owner was asked for and has not answered: from which byte of the file to which."""

    until: int = 0
    """The byte of the file at which the newest question ended."""

    ahead_bytes: int = 0

    def covers(self, offset: int, length_bytes: int) -> bool:
        """Whether a question under way is about all of this."""
        return any(low <= offset and offset + length_bytes <= high for low, high in self.asked)

    def ask(self, offset: int, length_bytes: int, size_bytes: int) -> tuple[int, int]:
        """From which byte of the file to which; `answered` must follow, whatever comes of it."""
        low = offset // PIECE_BYTES * PIECE_BYTES
        high = -(-(offset + length_bytes) // PIECE_BYTES) * PIECE_BYTES
        if self.until and low == self.until:
            self.ahead_bytes = min(max(2 * self.ahead_bytes, PIECE_BYTES), AHEAD_BYTES_MAX)
        else:
            self.ahead_bytes = 0
        self.until = high + self.ahead_bytes
        found = low, min(self.until, size_bytes)
        self.asked.append(found)
        return found

    def answered(self, asked: tuple[int, int]) -> None:
        self.asked.remove(asked)
