"""Text requests: where the target can be found (SendTargets)."""

from typing import Protocol

from protocol.iscsi.errors import BadText
from protocol.iscsi.negotiation import Agreed
from protocol.iscsi.requests import NO_TAG, TextRequest
from protocol.iscsi.responses import TextResponse
from protocol.iscsi.text import TextCollector, write_text
from san.config import PORTAL_GROUP

REST_TAG = 1


class Speaker(Protocol):
    agreed: Agreed
    is_discovery: bool

    def numbers(self) -> tuple[int, int, int]: ...


class Discovery:
    """One session's conversation about targets; long answers are given piece by piece."""

    def __init__(self, target: str, portals: tuple[str, ...]) -> None:
        self._target = target
        self._portals = portals
        self._collector = TextCollector()
        self._rest = b""

    def answer(self, pdu: TextRequest, speaker: Speaker) -> TextResponse | None:
        """None if the request makes no sense here."""
        if pdu.transfer_tag != NO_TAG:
            if pdu.transfer_tag != REST_TAG:
                return None
            return self._piece(pdu, speaker)
        try:
            pairs = self._collector.add(pdu.data, pdu.more)
        except BadText:
            self._collector = TextCollector()
            return None
        if pairs is None:
            return TextResponse(pdu.task_tag, REST_TAG, *speaker.numbers(), final=False)
        found: list[tuple[str, str]] = []
        for key, value in pairs:
            if key != "SendTargets":
                found.append((key, "NotUnderstood"))
            elif value.lower() in self._askable(speaker):
                found.append(("TargetName", self._target))
                found += [("TargetAddress", f"{at},{PORTAL_GROUP}") for at in self._portals]
        self._rest = write_text(found)
        return self._piece(pdu, speaker)

    def _askable(self, speaker: Speaker) -> set[str]:
        return {"all", self._target} if speaker.is_discovery else {"", self._target}

    def _piece(self, pdu: TextRequest, speaker: Speaker) -> TextResponse:
        size = speaker.agreed.send_bytes_max
        piece, self._rest = self._rest[:size], self._rest[size:]
        more = bool(self._rest)
        tag = REST_TAG if more else NO_TAG
        return TextResponse(
            pdu.task_tag, tag, *speaker.numbers(), final=not more, more=more, data=piece
        )
