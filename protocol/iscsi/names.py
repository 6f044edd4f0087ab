"""Names of initiators and targets (RFC 7143 section 4.2.7) and the numbers of LUNs in headers."""

import re

from protocol.iscsi.errors import BadName

NAME_BYTES_MAX = 223
_IQN = re.compile(r"iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9][a-z0-9.\-]*(:[^\s\x00-\x1f=,]+)?")
_EUI = re.compile(r"eui\.[0-9A-Fa-f]{16}")
_NAA = re.compile(r"naa\.([0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})")

LUN_MAX = 16383


def checked_name(name: str) -> str:
    """The name in the case in which names are compared. Raises `BadName`."""
    if len(name.encode()) > NAME_BYTES_MAX:
        raise BadName(f"an iSCSI name of more than {NAME_BYTES_MAX} bytes: {name[:40]!r}...")
    lower = name.lower()
    if not (_IQN.fullmatch(lower) or _EUI.fullmatch(lower) or _NAA.fullmatch(lower)):
        raise BadName(f"{name!r} is no iSCSI name: iqn.YYYY-MM.DOMAIN:NAME, eui.HEX or naa.HEX is")
    return lower


def lun_field(lun: int) -> int:
    """The eight bytes of a header for a LUN: peripheral addressing up to 255, flat above (SAM)."""
    assert 0 <= lun <= LUN_MAX, lun
    return lun << 48 if lun < 256 else (0x4000 | lun) << 48


def lun_number(field: int) -> int | None:
    """The LUN that a header names; None where the addressing is one that nobody here uses."""
    first, rest = field >> 48, field & 0xFFFF_FFFF_FFFF
    if rest:
        return None
    if first < 256:
        return first
    return first & 0x3FFF if first >> 14 == 1 else None
