"""A target and its initiators without a network, and a medium that works when it is told to."""

from dataclasses import dataclass, field

from protocol.iscsi.negotiation import Negotiation, Wishes
from protocol.iscsi.pdus import Pdu
from protocol.iscsi.requests import LoginRequest, ScsiCommand
from protocol.iscsi.responses import LoginResponse
from protocol.iscsi.text import read_text, write_text
from protocol.scsi.cdbs import cdb
from protocol.scsi.commands import Command, Read, TestUnitReady, Write, data_out_bytes
from san.actions import Action, Begin, CarryOut, Close, Send, SendData
from san.config import TargetConfig
from san.core import Core
from san.events import ConnectionOpened, DeedDone, Event, PduArrived
from san.logical_unit import LogicalUnit, UnitFacts
from san.medium import ReadMedium, WriteMedium
from san.units import Units

BLOCK = 512
BLOCKS = 4096
PORTAL = "127.0.0.1:3260"
OPERATIONAL, FULL = 1, 3


def isid(number: int) -> bytes:
    return bytes([0x80, 0, 0, 0, 0, number])


class Drill:
    """Deeds pile up in `works` until `work` or `work_all` does them."""

    def __init__(self, config: TargetConfig | None = None) -> None:
        self.config = config or TargetConfig()
        unit = LogicalUnit(UnitFacts("3000000000000001", BLOCKS))
        self.core = Core(self.config, Units({0: unit}), (PORTAL,))
        self.now = 0.0
        self.works: list[CarryOut] = []
        self.sent: dict[int, list[Pdu]] = {}
        self.begun: dict[int, Begin] = {}
        self.closed: dict[int, str] = {}
        self.blocks = bytearray(BLOCK * BLOCKS)

    def feed(self, event: Event) -> list[Action]:
        actions = self.core.handle(event, self.now)
        for action in actions:
            match action:
                case Send(number, pdu):
                    self.sent.setdefault(number, []).append(pdu)
                case SendData(number, pdus):
                    self.sent.setdefault(number, []).extend(pdus)
                case Close(number, reason):
                    self.closed[number] = reason
                case Begin(number):
                    self.begun[number] = action
                case CarryOut():
                    self.works.append(action)
        return actions

    def tell(self, number: int, pdu: Pdu) -> list[Pdu]:
        """What this connection is sent at once."""
        self.feed(PduArrived(number, pdu))
        return self.take(number)

    def take(self, number: int) -> list[Pdu]:
        return self.sent.pop(number, [])

    def work(self) -> None:
        """The medium does the first of what it has to do."""
        one = self.works.pop(0)
        data = None
        match one.deed:
            case ReadMedium(lba, blocks):
                data = bytes(self.blocks[lba * BLOCK : (lba + blocks) * BLOCK])
            case WriteMedium(lba, blocks, buffers):
                content = b"".join(buffers)
                assert len(content) == blocks * BLOCK
                self.blocks[lba * BLOCK : (lba + blocks) * BLOCK] = content
        self.feed(DeedDone(one.work, data))

    def work_all(self) -> None:
        while self.works:
            self.work()

    def open(self, number: int) -> None:
        self.feed(ConnectionOpened(number, PORTAL, bytes(range(17))))

    def initiator(self, number: int, session: int = 0, **words: object) -> "Initiator":
        self.open(number)
        one = Initiator(self, number, isid(session or number), **words)  # type: ignore[arg-type]
        one.log_in()
        return one


@dataclass
class Initiator:
    """Says what an initiator would; keeps its numbers."""

    drill: Drill
    number: int
    isid: bytes
    name: str = "iqn.2001-04.com.example:node1"
    wishes: Wishes = field(default_factory=lambda: Wishes(receive_bytes_max=8192))
    cmd_sn: int = 1
    tag: int = 0

    def login(self, pairs: list[tuple[str, str]] | None = None, **changed: object) -> list[Pdu]:
        mine = Negotiation(self.wishes)
        said = [
            ("InitiatorName", self.name),
            ("TargetName", self.drill.config.name),
            ("SessionType", "Normal"),
            *mine.offer(),
        ]
        words: dict[str, object] = {
            "isid": self.isid,
            "tsih": 0,
            "task_tag": 1,
            "cid": 0,
            "cmd_sn": self.cmd_sn,
            "exp_stat_sn": 0,
            "csg": OPERATIONAL,
            "nsg": FULL,
            "transit": True,
            "data": write_text(said if pairs is None else pairs),
            **changed,
        }
        return self.drill.tell(self.number, LoginRequest(**words))  # type: ignore[arg-type]

    def log_in(self) -> None:
        """All the way, and past the unit attention that a new nexus is told."""
        (response,) = self.login()
        assert isinstance(response, LoginResponse), response
        assert response.status == 0
        mine = Negotiation(self.wishes)
        mine.offer()
        mine.take(read_text(response.data))
        self.agreed = mine.agreed
        self.say(TestUnitReady())
        self.drill.take(self.number)

    def say(self, command: Command, data: bytes = b"", **changed: object) -> list[Pdu]:
        """A command, and what comes at once."""
        self.tag += 1
        out = data_out_bytes(command, BLOCK)
        reads = isinstance(command, Read)
        expected = command.blocks * BLOCK if isinstance(command, Read) else out
        words: dict[str, object] = {
            "lun": 0,
            "task_tag": self.tag,
            "expected_bytes": expected,
            "cmd_sn": self.cmd_sn,
            "exp_stat_sn": 0,
            "cdb": cdb(command).ljust(16, b"\0"),
            "read": reads or not out,
            "write": bool(out),
            "data": data,
            **changed,
        }
        if not words.get("immediate"):
            self.cmd_sn += 1
        return self.drill.tell(self.number, ScsiCommand(**words))  # type: ignore[arg-type]

    def write(self, lba: int, data: bytes) -> list[Pdu]:
        """A write, all of its data with it."""
        return self.say(Write(lba, len(data) // BLOCK), data)
