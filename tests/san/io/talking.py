"""A small initiator over TCP, one command at a time."""

import asyncio
from dataclasses import dataclass, field

from protocol.iscsi.negotiation import Negotiation, Wishes
from protocol.iscsi.parser import PduParser
from protocol.iscsi.pdus import Pdu, frame
from protocol.iscsi.requests import LoginRequest, ScsiCommand
from protocol.iscsi.responses import DataIn, LoginResponse, ScsiResponse
from protocol.iscsi.text import read_text, write_text
from protocol.scsi.cdbs import cdb
from protocol.scsi.commands import Command
from tests.san.io.serving import TARGET, Serving


@dataclass
class Talk:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    parser: PduParser = field(default_factory=lambda: PduParser(1 << 20))
    digests: bool = False
    cmd_sn: int = 1
    arrived: list[Pdu] = field(default_factory=list)

    async def say(self, pdu: Pdu) -> None:
        self.writer.writelines(frame(pdu, self.digests, self.digests))
        await self.writer.drain()

    async def hear(self) -> Pdu:
        while not self.arrived:
            data = await self.reader.read(1 << 16)
            if not data:
                raise ConnectionResetError("the target has closed the connection")
            self.arrived += self.parser.feed(data)
        return self.arrived.pop(0)

    async def log_in(self, name: str, digests: bool = False) -> None:
        kinds = ("CRC32C",) if digests else ("None",)
        mine = Negotiation(Wishes(header_digest=kinds, data_digest=kinds))
        pairs = [("InitiatorName", name), ("TargetName", TARGET), *mine.offer()]
        await self.say(
            LoginRequest(b"\x80\0\0\0\0\1", 0, 1, 0, 1, 0, 1, 3, True, data=write_text(pairs))
        )
        response = await self.hear()
        assert isinstance(response, LoginResponse)
        assert response.status == 0
        mine.take(read_text(response.data))
        assert mine.agreed.header_digest == mine.agreed.data_digest == digests
        self.digests = self.parser.header_digest = self.parser.data_digest = digests

    async def ask(
        self, command: Command, expected: int = 0, data: bytes = b""
    ) -> tuple[int, bytes]:
        """Status, and what was read."""
        size = len(data) or expected
        block = cdb(command).ljust(16, b"\0")
        sn, self.cmd_sn = self.cmd_sn, self.cmd_sn + 1
        await self.say(
            ScsiCommand(
                0, sn, size, sn, 0, block, True, not data and size > 0, bool(data), data=data
            )
        )
        found = b""
        while True:
            match await self.hear():
                case DataIn(status=status, data=piece):
                    found += piece
                    if status is not None:
                        return status, found
                case ScsiResponse(status=status):
                    return status, found


async def connected(san: Serving) -> Talk:
    host, port = san.ready["portals"][0].rsplit(":", 1)
    return Talk(*await asyncio.open_connection(host, int(port)))


async def logged_in(san: Serving, name: str, digests: bool = False) -> Talk:
    talk = await connected(san)
    await talk.log_in(name, digests)
    return talk
