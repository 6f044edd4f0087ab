"""Server-sent events out of bytes, however the network sliced them."""

from dataclasses import dataclass

LINE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Heard:
    """One event of the stream; `id` is empty where the stream gave none."""

    event: str
    id: str
    data: str


class StreamTooLong(ValueError):
    """A line of the stream does not end where a line must."""


class EventReader:
    """Cuts the stream of one connection into events. Comments, which keep it alive, are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._event, self._id = "", ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[Heard]:
        # A carriage return may be the last byte of a piece and its newline the next one's first.
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise StreamTooLong(f"a line of the event stream has over {LINE_BYTES_MAX} bytes")
        heard = (self._line(line.removesuffix(b"\r").decode(errors="replace")) for line in lines)
        return [event for event in heard if event is not None]

    def _line(self, line: str) -> Heard | None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._event = value
            case "id":
                self._id = value
            case "data":
                self._data.append(value)
            case "" if not line:
                return self._end()
        return None

    def _end(self) -> Heard | None:
        event = Heard(self._event or "message", self._id, "\n".join(self._data))
        told = bool(self._data)
        self._event, self._data = "", []
        return event if told else None
