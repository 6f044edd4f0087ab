"""Cuts a byte stream into messages, however the network sliced it. No sockets in here."""

from protocol.codec import FRAME_BYTES_MAX, LENGTH, decode
from protocol.errors import FrameTooBig, FrameTruncated, ProtocolError
from protocol.messages import Message

__all__ = ["FRAME_BYTES_MAX", "FrameReader"]


class FrameReader:
    """Collects what arrives and gives out whole messages.

    The messages that came before a fault are given out first, whatever slice they shared with it;
    the fault is raised by the call that finds none left, and by every call after it: where a
    stream is off once, nobody knows where the next frame begins.
    """

    def __init__(self, limit: int = FRAME_BYTES_MAX) -> None:
        self.limit = limit
        self.fault: ProtocolError | None = None
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """The messages that `data` completes. Raises the stream's fault once nothing is left."""
        messages: list[Message] = []
        if self.fault is None:
            self._buffer += data
            self._cut(messages)
        if self.fault is not None and not messages:
            raise self.fault
        return messages

    def end(self) -> None:
        """The stream has ended: raises `FrameTruncated` if that was within a frame."""
        if self._buffer and self.fault is None:
            self.fault = FrameTruncated(f"the stream ends {len(self._buffer)} bytes into a frame")
        if self.fault is not None:
            raise self.fault

    def _cut(self, messages: list[Message]) -> None:
        buffer, start = self._buffer, 0
        try:
            while len(buffer) - start >= LENGTH.size:
                (size,) = LENGTH.unpack_from(buffer, start)
                if size > self.limit:  # its sender may be lying: do not wait for the rest
                    raise FrameTooBig(f"a frame of {size} bytes, at most {self.limit} are allowed")
                end = start + LENGTH.size + size
                if len(buffer) < end:
                    break
                messages.append(decode(bytes(buffer[start + LENGTH.size : end])))
                start = end
        except ProtocolError as exc:
            self.fault = exc
            start = len(buffer)  # the rest means nothing any more
        del buffer[:start]
