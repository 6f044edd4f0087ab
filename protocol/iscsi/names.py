"""Names of initiators and targets (RFC 7143 section 4.2.7) and the numbers of LUNs in headers."""

import re

from protocol.iscsi.errors import BadName
from protocol.scsi.capacity import read_lun, write_lun

NAME_BYTES_MAX = 223
_IQN = re.compile(r"iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9][a-z0-9.\-]*(:[^\s\x00-\x1f=,]+)?")
_EUI = re.compile(r"eui\.[0-9A-Fa-f]{16}")
_NAA = re.compile(r"naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})")


def checked_name(name: str) -> str:
    """The name in the case in which names are compared. Raises `BadName`."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise BadName(f"an iSCSI name of more than {NAME_BYTES_MAX} bytes: {name[:40]!r}...")
    lower = name.lower()
    if not (_IQN.fullmatch(lower) or _EUI.fullmatch(lower) or _NAA.fullmatch(lower)):
        raise BadName(f"{name!r} is no iSCSI name: iqn.YYYY-MM.DOMAIN:NAME, eui.HEX or naa.HEX is")
    return lower


def lun_field(lun: int) -> int:
    """The eight bytes of a header for a LUN, as one number."""
    return int.from_bytes(write_lun(lun), "big")


def lun_number(field: int) -> int | None:
    """The LUN that a header names; None where the addressing is one that nobody here uses."""
    return read_lun(field.to_bytes(8, "big"))
