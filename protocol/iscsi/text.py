"""Lists of key=value pairs as logins and text requests carry them (RFC 7143 section 6.1)."""

import re
from collections.abc import Iterable

from protocol.iscsi.digests import Buffer
from protocol.iscsi.errors import BadText

# RFC 7143 section 6.1 wants 8192 bytes of text to be taken, and 64 KiB by who knows long proofs of
# identity. No value that is known here is as long as a segment before the negotiation.
TEXT_BYTES_MAX = 64 << 10
PAIRS_MAX = 256
VALUE_BYTES_MAX = 8192
_KEY = re.compile(r"[A-Z][A-Za-z0-9.\-+@_]{0,62}|X[-#][ -<>-~]{1,61}")
_NUMBER = re.compile(r"[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}")


def write_text(pairs: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(f"{key}={value}\0".encode() for key, value in pairs)


def read_text(data: Buffer) -> list[tuple[str, str]]:
    """The pairs in their order, also those that come again. Raises `BadText`."""
    raw = bytes(data)
    if len(raw) > TEXT_BYTES_MAX:
        raise BadText(f"a text of {len(raw)} bytes, at most {TEXT_BYTES_MAX} are taken")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadText(f"the text is not UTF-8 from byte {error.start} on") from None
    found = []
    for piece in text.split("\0"):
        if not piece:
            continue  # the end, and padding that a peer counted as text
        key, sign, value = piece.partition("=")
        if not sign or not _KEY.fullmatch(key):
            raise BadText(f"{piece[:40]!r} is no key=value")
        if len(value.encode()) > VALUE_BYTES_MAX:
            raise BadText(f"{key} has a value of more than {VALUE_BYTES_MAX} bytes")
        found.append((key, value))
        if len(found) > PAIRS_MAX:
            raise BadText(f"more than {PAIRS_MAX} pairs in a text")
    return found


def read_once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """As a dictionary where no key may come twice. Raises `BadText`."""
    found: dict[str, str] = {}
    for key, value in pairs:
        if key in found:
            raise BadText(f"{key} is there twice")
        found[key] = value
    return found


def read_number(key: str, text: str, least: int, most: int) -> int:
    """A decimal or hexadecimal number within its bounds. Raises `BadText`."""
    if not _NUMBER.fullmatch(text):
        raise BadText(f"{key}={text[:40]} is no number")
    number = int(text, 16 if text[:2] in ("0x", "0X") else 10)
    if not least <= number <= most:
        raise BadText(f"{key}={number} is not within {least} and {most}")
    return number


class TextCollector:
    """Puts a text together that comes in several PDUs (the C bit), up to the limit."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def add(self, data: Buffer, more: bool) -> list[tuple[str, str]] | None:
        """The pairs once nothing more is to come; None while the sender goes on."""
        self._parts.append(bytes(data))
        self._bytes += len(data)
        if self._bytes > TEXT_BYTES_MAX or len(self._parts) > PAIRS_MAX:
            raise BadText(f"a text of more than {TEXT_BYTES_MAX} bytes or {PAIRS_MAX} parts")
        if more:
            return None
        whole = b"".join(self._parts)
        self._parts, self._bytes = [], 0
        return read_text(whole)
