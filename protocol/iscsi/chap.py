"""CHAP with MD5 (RFC 1994, RFC 7143 section 12.1.3): challenges, sums, and their comparison."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field

from protocol.iscsi.errors import BadChap

ALGORITHM = "5"
CHALLENGE_BYTES = 16
CHALLENGE_BYTES_MAX = 1024
SECRET_BYTES_MIN = 12


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name and the secret that both ends know; the secret is in no text that is printed."""

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What one end asks of the other: to show the sum over this."""

    identifier: int
    value: bytes

    def pairs(self) -> list[tuple[str, str]]:
        return [("CHAP_I", str(self.identifier)), ("CHAP_C", hexadecimal(self.value))]


def hexadecimal(value: bytes) -> str:
    return "0x" + value.hex()


def read_binary(key: str, text: str, most: int) -> bytes:
    """Binary as text has it: 0x and digits, or 0b and base64. Raises `BadChap`."""
    try:
        if text[:2] in ("0x", "0X"):
            digits = text[2:]
            value = bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
        elif text[:2] in ("0b", "0B"):
            value = base64.b64decode(text[2:], validate=True)
        else:
            raise ValueError(text)
    except (ValueError, binascii.Error):
        raise BadChap(f"{key} is neither 0x and hexadecimal digits nor 0b and base64") from None
    if not 0 < len(value) <= most:
        raise BadChap(f"{key} has {len(value)} bytes, 1 to {most} are taken")
    return value


def read_challenge(pairs: dict[str, str]) -> Challenge:
    """The challenge in CHAP_I and CHAP_C. Raises `BadChap`."""
    number = pairs.get("CHAP_I", "")
    if not (number.isascii() and number.isdigit() and int(number[:4]) <= 255):
        raise BadChap(f"CHAP_I={number[:40]!r} is no number from 0 to 255")
    return Challenge(
        int(number), read_binary("CHAP_C", pairs.get("CHAP_C", ""), CHALLENGE_BYTES_MAX)
    )


def answer(challenge: Challenge, secret: bytes) -> bytes:
    """The sum that shows that `secret` is known."""
    words = bytes([challenge.identifier]) + secret + challenge.value
    return hashlib.md5(words, usedforsecurity=False).digest()


def prove(challenge: Challenge, mine: Credentials) -> list[tuple[str, str]]:
    """CHAP_N and CHAP_R: who this is, and that it knows the secret."""
    return [("CHAP_N", mine.name), ("CHAP_R", hexadecimal(answer(challenge, mine.secret)))]


def check(challenge: Challenge, wanted: Credentials, pairs: dict[str, str]) -> None:
    """Raises `BadChap` unless the peer is `wanted`; takes as long whichever of both is wrong."""
    said = read_binary("CHAP_R", pairs.get("CHAP_R", ""), 16)
    right_sum = hmac.compare_digest(said, answer(challenge, wanted.secret))
    right_name = hmac.compare_digest(pairs.get("CHAP_N", "").encode(), wanted.name.encode())
    if not (right_sum and right_name):
        raise BadChap("the peer's CHAP name or secret is another than the one that is known here")
