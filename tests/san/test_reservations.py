"""Persistent reservations: every row of the standard's tables, and every refusal."""

import pytest

from protocol.scsi.commands import (
    Command,
    Inquiry,
    ModeSense,
    PersistentReserveIn,
    PersistentReserveOut,
    Read,
    ReadCapacity10,
    ReadCapacity16,
    ReportLuns,
    RequestSense,
    StartStopUnit,
    SynchronizeCache,
    TestUnitReady,
    Unmap,
    Verify,
    Write,
    WriteSame,
)
from protocol.scsi.errors import IllegalRequest, ReservationConflict
from protocol.scsi.persistent import (
    FullStatus,
    InAction,
    Keys,
    Kind,
    OutAction,
    OutParameters,
    Reservation,
)
from protocol.scsi.sense import REGISTRATIONS_PREEMPTED, RESERVATIONS_RELEASED
from san.nexus import Nexus
from san.reservations import Access, Change, Reservations, access_of

A, B, C = (Nexus(f"iqn.2026-11.lab:n{i}", "00000000000" + str(i)) for i in (1, 2, 3))
PR5 = Kind.WRITE_REGISTRANTS


def out(
    held: Reservations,
    nexus: Nexus,
    action: OutAction,
    key: int = 0,
    action_key: int = 0,
    kind: int = PR5,
    persists: bool = True,
    ports: tuple[str, ...] | None = None,
    all_ports: bool = False,
) -> Change:
    parameters = OutParameters(key, action_key, persists, all_ports, ports)
    return held.change(nexus, PersistentReserveOut(action, kind), parameters)


def register(held: Reservations, nexus: Nexus, key: int) -> Change:
    return out(held, nexus, OutAction.REGISTER_AND_IGNORE, 0, key)


def reserved(kind: Kind) -> Reservations:
    """A holds, B is registered, C is a stranger."""
    held = Reservations()
    register(held, A, 1)
    register(held, B, 2)
    out(held, A, OutAction.RESERVE, 1, kind=kind)
    return held


# ---- the standard's tables: SPC-4 for all devices, SBC-3 for disks

# Type: may a registrant read, write; may a stranger read, write. The holder may everything.
TABLE = {
    Kind.WRITE_EXCLUSIVE: (True, False, True, False),
    Kind.EXCLUSIVE_ACCESS: (False, False, False, False),
    Kind.WRITE_REGISTRANTS: (True, True, True, False),
    Kind.ACCESS_REGISTRANTS: (True, True, False, False),
    Kind.WRITE_ALL_REGISTRANTS: (True, True, True, False),
    Kind.ACCESS_ALL_REGISTRANTS: (True, True, False, False),
}
COMMANDS: list[tuple[Command, Access]] = [
    (Read(0, 1), Access.READ),
    (Verify(0, 1), Access.READ),
    (Write(0, 1), Access.WRITE),
    (WriteSame(0, 1), Access.WRITE),
    (Unmap(24), Access.WRITE),
    (SynchronizeCache(), Access.WRITE),
    (ModeSense(8), Access.WRITE),
    (StartStopUnit(start=False), Access.WRITE),
    (StartStopUnit(start=True), Access.FREE),
    (TestUnitReady(), Access.FREE),
    (Inquiry(), Access.FREE),
    (RequestSense(), Access.FREE),
    (ReportLuns(), Access.FREE),
    (ReadCapacity10(), Access.FREE),
    (ReadCapacity16(), Access.FREE),
    (PersistentReserveIn(InAction.READ_KEYS), Access.FREE),
    (PersistentReserveOut(OutAction.REGISTER), Access.FREE),
]


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.name)
def test_access_is_that_of_the_table(kind: Kind) -> None:
    held = reserved(kind)
    reads, writes, stranger_reads, stranger_writes = TABLE[kind]

    for nexus, may_read, may_write in (
        (A, True, True),
        (B, reads, writes),
        (C, stranger_reads, stranger_writes),
    ):
        assert held.allows(nexus, Access.READ) is may_read
        assert held.allows(nexus, Access.WRITE) is may_write
        assert held.allows(nexus, Access.FREE)


@pytest.mark.parametrize(("command", "access"), COMMANDS, ids=lambda it: type(it).__name__)
def test_each_command_stands_in_its_row(command: Command, access: Access) -> None:
    assert access_of(command) is access


def test_without_a_reservation_everybody_may_everything() -> None:
    held = Reservations()
    register(held, A, 1)

    assert all(held.allows(C, access) for access in Access)


# ---- registering


def test_a_wrong_key_conflicts_and_changes_nothing() -> None:
    held = Reservations()
    register(held, A, 1)

    with pytest.raises(ReservationConflict, match="registered as 0000000000000001"):
        out(held, A, OutAction.REGISTER, 7, 8)

    assert held.keys == {A: 1}
    assert held.generation == 1


def test_registration_is_of_one_nexus() -> None:
    other_path = Nexus(A.initiator, "0000000000ff")
    held = Reservations()

    register(held, A, 1)

    assert other_path not in held.keys


def test_named_ports_and_all_target_ports_are_registered_at_once() -> None:
    held = Reservations(ports=(1, 2))

    out(held, A, OutAction.REGISTER, 0, 9, ports=(B.transport_id,), all_ports=True)

    wanted = {Nexus(one.initiator, one.isid, port) for one in (A, B) for port in (1, 2)}
    assert held.keys == dict.fromkeys(wanted, 9)


@pytest.mark.parametrize("port", ["iqn.only", "iqn.x,i,0xzz", ",i,0x000000000001"])
def test_a_port_that_is_none_registers_nobody(port: str) -> None:
    held = Reservations()

    with pytest.raises(IllegalRequest) as refused:
        out(held, A, OutAction.REGISTER, 0, 9, ports=(port,))

    assert refused.value.sense.code == 0x2600
    assert not held.keys


def test_the_holder_that_unregisters_releases_and_the_others_are_told() -> None:
    held = reserved(PR5)

    change = out(held, A, OutAction.REGISTER, 1, 0)

    assert held.kind is None
    assert change.attentions == ((B, RESERVATIONS_RELEASED),)


# ---- preempting


def test_preempt_and_abort_names_every_path_of_the_victim() -> None:
    second = Nexus(B.initiator, "0000000000ff")
    held = reserved(PR5)
    register(held, second, 2)

    change = out(held, A, OutAction.PREEMPT_AND_ABORT, 1, 2)

    assert change.aborted == (B, second)
    assert change.attentions == tuple((one, REGISTRATIONS_PREEMPTED) for one in (B, second))
    assert held.keys == {A: 1}
    assert held.holder == A


def test_preempting_the_holder_takes_the_reservation() -> None:
    held = reserved(PR5)

    change = out(held, B, OutAction.PREEMPT, 2, 1)

    assert (held.holder, held.kind, held.keys) == (B, PR5, {B: 2})
    assert change.aborted == ()


def test_the_holder_that_preempts_its_own_key_keeps_its_registration() -> None:
    second = Nexus(A.initiator, "0000000000ff")
    held = reserved(PR5)
    register(held, second, 1)

    change = out(held, A, OutAction.PREEMPT_AND_ABORT, 1, 1, kind=Kind.EXCLUSIVE_ACCESS)

    assert held.keys == {A: 1, B: 2}
    assert (held.holder, held.kind) == (A, Kind.EXCLUSIVE_ACCESS)
    assert change.aborted == (second, A)
    wanted = {(second, REGISTRATIONS_PREEMPTED), (B, RESERVATIONS_RELEASED)}
    assert set(change.attentions) == wanted


def test_taking_the_reservation_over_as_it_was_tells_only_the_removed() -> None:
    held = reserved(PR5)
    register(held, C, 3)

    change = out(held, B, OutAction.PREEMPT, 2, 1)

    assert change.attentions == ((A, REGISTRATIONS_PREEMPTED),)


def test_what_all_hold_is_taken_with_the_key_0_only() -> None:
    held = reserved(Kind.WRITE_ALL_REGISTRANTS)
    register(held, C, 3)

    out(held, A, OutAction.PREEMPT, 1, 2, kind=PR5)
    assert (held.kind, held.keys) == (Kind.WRITE_ALL_REGISTRANTS, {A: 1, C: 3})

    out(held, A, OutAction.PREEMPT, 1, 0, kind=PR5)
    assert (held.kind, held.holder, held.keys) == (PR5, A, {A: 1})


@pytest.mark.parametrize(
    ("action", "key", "action_key", "kind"),
    [
        (OutAction.REGISTER, 1, 9, 0),
        (OutAction.RELEASE, 1, 0, PR5),
        (OutAction.CLEAR, 1, 0, 0),
        (OutAction.PREEMPT, 1, 2, PR5),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_change_makes_a_record_with_a_higher_number(
    action: OutAction, key: int, action_key: int, kind: int
) -> None:
    held = reserved(PR5)
    before = held.record()

    out(held, A, action, key, action_key, kind=kind)

    assert held.record() != before
    assert held.number > before.number


@pytest.mark.parametrize("action", [OutAction.REGISTER_AND_IGNORE, OutAction.RESERVE])
def test_only_register_names_further_ports(action: OutAction) -> None:
    held = reserved(PR5)

    register(held, A, 0)
    asks = A if action is OutAction.REGISTER_AND_IGNORE else B

    with pytest.raises(IllegalRequest) as refused:
        out(held, asks, action, 2, 1, ports=(C.transport_id,))

    assert refused.value.sense.code == 0x2600
    assert C not in held.keys


def test_a_key_that_nobody_has_conflicts() -> None:
    held = reserved(PR5)

    with pytest.raises(ReservationConflict):
        out(held, A, OutAction.PREEMPT_AND_ABORT, 1, 77)


def test_who_was_preempted_cannot_reserve_any_more() -> None:
    held = reserved(PR5)
    out(held, A, OutAction.PREEMPT, 1, 2)

    with pytest.raises(ReservationConflict, match="is not registered"):
        out(held, B, OutAction.RESERVE, 2)


@pytest.mark.parametrize(
    ("action", "kind", "code"),
    [
        (OutAction.RESERVE, 2, 0x2400),
        (OutAction.RELEASE, Kind.EXCLUSIVE_ACCESS, 0x2604),
        (OutAction.PREEMPT, PR5, 0x2600),
    ],
)
def test_what_makes_no_sense_is_refused(action: OutAction, kind: int, code: int) -> None:
    held = reserved(PR5)

    with pytest.raises(IllegalRequest) as refused:
        out(held, A, action, 1, 0, kind=kind)

    assert refused.value.sense.code == code


# ---- what is shown


def test_keys_reservation_and_full_status_are_shown() -> None:
    held = reserved(PR5)

    assert Keys.read(held.answer(InAction.READ_KEYS)) == Keys(2, (1, 2))
    assert Reservation.read(held.answer(InAction.READ_RESERVATION)) == Reservation(2, 1, PR5)
    status = FullStatus.read(held.answer(InAction.READ_FULL_STATUS))
    assert [(one.port, one.kind) for one in status.registrants] == [
        (A.transport_id, PR5),
        (B.transport_id, None),
    ]


def test_without_persistence_nothing_is_kept() -> None:
    held = reserved(PR5)
    out(held, B, OutAction.REGISTER, 2, 3, persists=False)

    kept = held.record()

    assert kept.registrations == ()
    assert kept.number == held.number
