"""Who speaks to a unit: an initiator port and a target port together, an I_T nexus."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Nexus:
    """The initiator's name and the ISID of its session (12 hex digits); `port` is ours."""

    initiator: str
    isid: str = "000000000000"
    port: int = 1

    @property
    def transport_id(self) -> str:
        """The initiator port's name, as iSCSI spells it."""
        return f"{self.initiator},i,0x{self.isid}"


def nexus_of(transport_id: str, port: int) -> Nexus | None:
    """The nexus of this initiator port; None if that is no name of an iSCSI port."""
    name, comma, isid = transport_id.rpartition(",i,0x")
    digits = isid.lower()
    if not comma or not name or len(digits) != 12 or set(digits) - set("0123456789abcdef"):
        return None
    return Nexus(name, digits, port)
