"""What the target is told at its start."""

from dataclasses import dataclass, field

from protocol.iscsi.chap import Credentials
from protocol.iscsi.negotiation import Wishes

TARGET_NAME = "iqn.2012-09.lab.hvlab:san"
PORTAL_GROUP = 1
"""All portals are one group, so that a session may be taken over through any of them: whoever logs
in with the same ISID ends the old session's tasks, on whichever portal those came."""


@dataclass(frozen=True, slots=True)
class Chap:
    """Who may log in, and (for mutual CHAP) who this target says it is."""

    initiators: tuple[Credentials, ...]
    target: Credentials | None = None

    def of(self, name: str) -> Credentials | None:
        return next((known for known in self.initiators if known.name == name), None)


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """`queue_depth` commands per session; an idle initiator is pinged after `ping_after_s`."""

    name: str = TARGET_NAME
    alias: str = "hvlab san"
    chap: Chap | None = None
    wishes: Wishes = field(default_factory=Wishes)
    queue_depth: int = 128
    sessions_max: int = 256
    login_s: float = 15.0
    ping_after_s: float = 10.0
    ping_wait_s: float = 10.0
    collected_bytes_max: int = 32 << 20
    """Bytes of writes that a session may have asked for and not finished; others wait."""
