"""How the pages of one migration travel: what whoever asks for it may choose."""

import enum
from dataclasses import dataclass

from protocol.errors import Refused

STREAMS_MAX = 16
DELTA_BYTES_MAX = 64 << 30
RATE_BYTES_PER_S_MIN = 10**6
ZSTD_LEVELS = range(1, 20)


class Compress(enum.Enum):
    """Whether pages are packed before they travel."""

    OFF = "off"
    AUTO = "auto"
    """On, off and up, by what the wire and the processors turn out to do."""

    ZSTD = "zstd"
    """Always, at `level`."""


class Marking(enum.Enum):
    """When a page that is sent stops counting as dirty."""

    ROUND = "round"
    """When the round starts: what is written before the page is sent is sent again."""

    SENT = "sent"
    """When it is sent."""

    PEEK = "peek"
    """When the round starts; but a page that was written again since is left for the next round
    (Clark et al., NSDI 2005).
    """


@dataclass(frozen=True, slots=True)
class Travel:
    """The choices; every default is what serves an idle wire best.

    `rate_bytes_per_s`: of all streams together, 0 for no limit. `downtime_s`: the pause to aim at,
    0 for the node's own limit. `delta_bytes`: how much memory the source may spend on remembering
    what it sent last, 0 for none. `kept`: pages that the target still has from an earlier stay are
    not sent. `checked`: a checksum on every batch. `stripe`: with several streams, over as many
    networks as answer.
    """

    streams: int = 1
    compress: Compress = Compress.OFF
    level: int = 1
    delta_bytes: int = 0
    kept: bool = False
    checked: bool = True
    stripe: bool = False
    marking: Marking = Marking.PEEK
    rate_bytes_per_s: int = 0
    downtime_s: float = 0.0

    def refuse(self) -> None:
        """Raises `Refused` with the first choice that nobody can carry out, and what would be
        right.
        """
        for name, least, most in (
            ("streams", 1, STREAMS_MAX),
            ("level", ZSTD_LEVELS[0], ZSTD_LEVELS[-1]),
            ("delta_bytes", 0, DELTA_BYTES_MAX),
            ("downtime_s", 0, 3600),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise Refused(f"{name} is {value}; it must be {least} to {most}.")
        if 0 != self.rate_bytes_per_s < RATE_BYTES_PER_S_MIN:
            raise Refused(
                f"rate_bytes_per_s is {self.rate_bytes_per_s}; it must be 0 for no limit, or at"
                f" least {RATE_BYTES_PER_S_MIN}."
            )


AS_USUAL = Travel()
