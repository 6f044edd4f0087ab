"""The target over real connections: what survives its death, and what damage costs."""

from pathlib import Path

import pytest

from protocol.iscsi.pdus import frame
from protocol.iscsi.requests import NO_TAG, NopOut
from protocol.scsi.commands import (
    PersistentReserveIn,
    PersistentReserveOut,
    Read,
    TestUnitReady,
    Write,
)
from protocol.scsi.persistent import InAction, Keys, Kind, OutAction, OutParameters, Reservation
from protocol.scsi.status import Status
from tests.san.io.serving import serving
from tests.san.io.talking import connected, logged_in

NODE, OTHER = "iqn.2001-04.com.example:node1", "iqn.2001-04.com.example:node2"
KEY = 0x1234_5678_9ABC_DE01


async def test_blocks_and_reservations_survive_a_kill(tmp_path: Path) -> None:
    async with serving(tmp_path) as san:
        node = await logged_in(san, NODE)
        await node.ask(TestUnitReady())
        register, reserve = OutParameters(0, KEY).write(), OutParameters(KEY).write()
        kind = Kind.WRITE_REGISTRANTS
        out = PersistentReserveOut(OutAction.REGISTER, 0, len(register))
        assert (await node.ask(out, data=register))[0] == Status.GOOD
        out = PersistentReserveOut(OutAction.RESERVE, kind, len(reserve))
        assert (await node.ask(out, data=reserve))[0] == Status.GOOD
        data = bytes(range(256)) * 8
        assert (await node.ask(Write(8, 4, fua=True), data=data))[0] == Status.GOOD
        san.process.kill()
        await san.process.wait()
        node.writer.close()

    async with serving(tmp_path) as san:
        other = await logged_in(san, OTHER)
        await other.ask(TestUnitReady())
        _, keys = await other.ask(PersistentReserveIn(InAction.READ_KEYS, 256), 256)
        _, held = await other.ask(PersistentReserveIn(InAction.READ_RESERVATION, 256), 256)
        assert Keys.read(keys).keys == (KEY,)
        assert Reservation.read(held).key == KEY
        status, _ = await other.ask(Write(8, 4), data=bytes(2048))
        assert status == Status.RESERVATION_CONFLICT
        assert await other.ask(Read(8, 4), 2048) == (Status.GOOD, data)
        other.writer.close()


async def test_large_reads_and_writes_go_with_digests(tmp_path: Path) -> None:
    async with serving(tmp_path) as san:
        node = await logged_in(san, NODE, digests=True)
        await node.ask(TestUnitReady())
        data = bytes(range(253)) * 1036
        data = data[: 512 * 511]

        assert (await node.ask(Write(1, 511), data=data))[0] == Status.GOOD
        assert await node.ask(Read(1, 511), len(data)) == (Status.GOOD, data)
        node.writer.close()


async def test_a_damaged_header_costs_its_connection_only(tmp_path: Path) -> None:
    async with serving(tmp_path) as san:
        good = await logged_in(san, OTHER)
        node = await logged_in(san, NODE, digests=True)
        raw = bytearray(frame(NopOut(5, NO_TAG, 1, 0, immediate=True), True)[0])
        raw[17] ^= 4
        node.writer.write(raw)
        with pytest.raises(ConnectionResetError):
            await node.hear()
        assert (await good.ask(TestUnitReady()))[0] == Status.CHECK_CONDITION
        assert (await good.ask(TestUnitReady()))[0] == Status.GOOD
        node.writer.close()
        good.writer.close()


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4, b"\xff" * 4096, bytes(96)]
)
async def test_what_is_no_iscsi_is_not_listened_to(tmp_path: Path, raw: bytes) -> None:
    async with serving(tmp_path) as san:
        stranger = await connected(san)
        stranger.writer.write(raw)
        with pytest.raises(ConnectionResetError):
            await stranger.hear()
        stranger.writer.close()
        node = await logged_in(san, NODE)
        assert (await node.ask(TestUnitReady()))[0] == Status.CHECK_CONDITION
        node.writer.close()
