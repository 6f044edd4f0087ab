"""Messages to bytes and back, without I/O; how a field looks is in protocol/shapes.py.

```text
frame     4 bytes   length of what follows, big-endian, at most FRAME_BYTES_MAX
          1 byte    protocol version
          rest      msgpack list: name of the message, then its fields in order
datagram            the same without the length
```

This side speaks PROTOCOL_VERSION and the one before it. The version stands outside msgpack, so that
even a peer that packs otherwise can be told what is wrong. Whatever bytes come in, what comes out
is a message or a `ProtocolError`.
"""

import struct
from typing import Any, cast, get_args

import msgpack  # type: ignore[import-untyped]

from protocol.errors import BadFrame, FrameTooBig, FrameTruncated, UnknownMessage, VersionMismatch
from protocol.messages import Message
from protocol.shapes import BYTES_MAX, ITEMS_MAX, STRING_CHARS_MAX, Shapes

PROTOCOL_VERSION = 1
OLDEST_VERSION = max(1, PROTOCOL_VERSION - 1)

FRAME_BYTES_MAX = 1024 * 1024
"""Of a frame without its length. Whoever has more to say splits it; pages have their own format."""

LENGTH = struct.Struct(">I")

_PLAIN_FAULTS = (ValueError, OverflowError, msgpack.UnpackException)


class Registry:
    """The messages that may travel, and how, in each version from `oldest` to `version`."""

    def __init__(self, kinds: tuple[type, ...], version: int, oldest: int) -> None:
        self.kinds = kinds
        self.version = version
        self.oldest = oldest
        self._spoken = {v: Shapes(v).tagged(kinds) for v in range(oldest, version + 1)}

    def encode(self, message: object, version: int | None = None) -> bytes:
        """`message` as a datagram, in `version` if the peer speaks only the older one."""
        version = version or self.version
        packs, _ = self._shapes(version)
        pack = packs.get(type(message))
        if pack is None:
            raise UnknownMessage(f"{type(message).__name__} is not a message")
        try:
            body: bytes = msgpack.packb(pack(message))
        except _PLAIN_FAULTS as exc:  # a text that is no Unicode, say
            raise BadFrame(f"{type(message).__name__} cannot be packed: {exc}") from exc
        if len(body) >= FRAME_BYTES_MAX:
            raise FrameTooBig(
                f"{type(message).__name__} has {len(body)} bytes, "
                f"a frame at most {FRAME_BYTES_MAX}: split it"
            )
        return version.to_bytes(1, "big") + body

    def decode(self, data: bytes) -> Any:
        """The message in a datagram, or in a frame without its length."""
        if not data:
            raise FrameTruncated("a frame without a single byte")
        _, unpacks = self._shapes(data[0])
        if len(data) > FRAME_BYTES_MAX:
            raise FrameTooBig(f"{len(data)} bytes, a frame has at most {FRAME_BYTES_MAX}")
        plain = _unpacked(data[1:])
        if type(plain) is not list or not plain or type(plain[0]) is not str:
            raise BadFrame("a message is a list that begins with its name")
        unpack = unpacks.get(plain[0])
        if unpack is None:
            raise UnknownMessage(f"there is no message {plain[0][:40]!r}")
        return unpack(plain)

    def _shapes(self, version: int) -> Any:
        if shapes := self._spoken.get(version):
            return shapes
        raise VersionMismatch(
            f"the peer speaks protocol version {version}, "
            f"this side {self.oldest} to {self.version}: upgrade the older one"
        )


def _unpacked(body: bytes) -> Any:
    """Plain data out of hostile bytes: every length is bounded before it is believed."""
    try:
        return msgpack.unpackb(
            body,
            max_str_len=4 * STRING_CHARS_MAX,
            max_bin_len=BYTES_MAX,
            # Each item takes a byte, so a short frame cannot ask for much memory.
            max_array_len=min(ITEMS_MAX, len(body)),
            max_map_len=0,
            max_ext_len=0,
        )
    except _PLAIN_FAULTS as exc:
        # Its text may hold the bytes themselves, so only its kind is told.
        raise BadFrame(f"this is not the msgpack of a message: {type(exc).__name__}") from exc


MESSAGES = Registry(get_args(Message), PROTOCOL_VERSION, OLDEST_VERSION)


def encode(message: Message, version: int | None = None) -> bytes:
    """`message` as a datagram: version and body."""
    return MESSAGES.encode(message, version)


def decode(data: bytes) -> Message:
    """The message in a datagram; a `ProtocolError` whatever else the bytes may be."""
    return cast(Message, MESSAGES.decode(data))


def encode_frame(message: Message, version: int | None = None) -> bytes:
    """`message` as it goes into a byte stream: length, version and body."""
    data = MESSAGES.encode(message, version)
    return LENGTH.pack(len(data)) + data
