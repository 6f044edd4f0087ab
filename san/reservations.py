"""Persistent reservations of one unit (SPC-4, 5.13): who is registered, who holds, who may what."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from protocol.scsi.commands import (
    Command,
    Inquiry,
    PersistentReserveIn,
    PersistentReserveOut,
    Read,
    ReadCapacity10,
    ReadCapacity16,
    ReportLuns,
    RequestSense,
    StartStopUnit,
    TestUnitReady,
    Verify,
)
from protocol.scsi.errors import IllegalRequest, ReservationConflict
from protocol.scsi.persistent import (
    Capabilities,
    FullStatus,
    InAction,
    Keys,
    Kind,
    OutAction,
    OutParameters,
    Registrant,
    Reservation,
)
from protocol.scsi.sense import (
    INVALID_FIELD_IN_CDB,
    INVALID_FIELD_IN_PARAMETERS,
    INVALID_RELEASE,
    NO_REGISTRATION_RESOURCES,
    REGISTRATIONS_PREEMPTED,
    RESERVATIONS_PREEMPTED,
    RESERVATIONS_RELEASED,
    Sense,
)
from san.nexus import Nexus, nexus_of
from san.reservation_record import ReservationRecord

# Several paths of every node; each change writes and shows all of them.
REGISTRATIONS_MAX = 1024
REGISTERING = (OutAction.REGISTER, OutAction.REGISTER_AND_IGNORE)
UNIT_SCOPE = 0


class Access(enum.Enum):
    """What a command does, as far as reservations care."""

    FREE = "allowed under every reservation"
    READ = "refused where reads are guarded"
    WRITE = "refused to everybody whom the reservation leaves out"


def access_of(command: Command) -> Access:
    """The row of the standard's tables (SPC-4 table 65, SBC-3 table 13) for this command."""
    match command:
        case Read() | Verify():
            return Access.READ
        case (
            TestUnitReady()
            | RequestSense()
            | Inquiry()
            | ReportLuns()
            | ReadCapacity10()
            | ReadCapacity16()
            | PersistentReserveIn()
            | PersistentReserveOut()
            | StartStopUnit(start=True, power_condition=0)
        ):
            return Access.FREE
    return Access.WRITE


@dataclass(frozen=True, slots=True)
class Change:
    """What follows from a PERSISTENT RESERVE OUT: whom to tell what, and whose tasks to abort."""

    attentions: tuple[tuple[Nexus, Sense], ...] = ()
    aborted: tuple[Nexus, ...] = ()


class Reservations:
    """One unit's registrations and its reservation; `ports` are all target ports there are."""

    def __init__(
        self, record: ReservationRecord | None = None, ports: tuple[int, ...] = (1,)
    ) -> None:
        kept = record or ReservationRecord()
        self.ports = ports
        self.generation = 0
        self.number = kept.number
        self.persists = kept.persists
        self.keys: dict[Nexus, int] = dict(kept.registrations)
        self.holder: Nexus | None = kept.holder
        self.kind: Kind | None = kept.kind

    def record(self) -> ReservationRecord:
        """What is to be kept now."""
        if not self.persists:
            return ReservationRecord(self.number)
        kept = tuple(self.keys.items())
        return ReservationRecord(self.number, True, kept, self.holder, self.kind)

    # ---- who may what

    def allows(self, nexus: Nexus, access: Access) -> bool:
        kind = self.kind
        if kind is None or access is Access.FREE or nexus == self.holder:
            return True
        if access is Access.READ and not kind.guards_reads:
            return True
        return kind.for_registrants and nexus in self.keys

    def holds(self, nexus: Nexus) -> bool:
        if self.kind is None:
            return False
        return nexus in self.keys if self.kind.held_by_all else nexus == self.holder

    # ---- PERSISTENT RESERVE IN

    def answer(self, action: InAction) -> bytes:
        held = self.kind is not None
        match action:
            case InAction.READ_KEYS:
                return Keys(self.generation, tuple(self.keys.values())).write()
            case InAction.READ_RESERVATION:
                key = self.keys[self.holder] if held and self.holder else 0
                return Reservation(self.generation, key, self.kind).write()
            case InAction.REPORT_CAPABILITIES:
                return Capabilities(persists=self.persists).write()
            case InAction.READ_FULL_STATUS:
                registrants = tuple(
                    Registrant(
                        key,
                        nexus.transport_id,
                        nexus.port,
                        kind=self.kind if self.holds(nexus) else None,
                    )
                    for nexus, key in self.keys.items()
                )
                return FullStatus(self.generation, registrants).write()

    # ---- PERSISTENT RESERVE OUT

    def change(
        self, nexus: Nexus, command: PersistentReserveOut, parameters: OutParameters
    ) -> Change:
        """Does it whole, or raises and changes nothing."""
        action = command.action
        if action is OutAction.REGISTER:
            self._check_own_key(nexus, parameters, may_be_new=True)
            return self._register(nexus, parameters)
        if action is OutAction.REGISTER_AND_IGNORE:
            if parameters.ports is not None:
                raise _bad_parameters("Only REGISTER may name ports to be registered.")
            return self._register(nexus, parameters)
        self._check_own_key(nexus, parameters)
        if parameters.ports is not None:
            raise _bad_parameters("Only REGISTER may name ports to be registered.")
        if action is OutAction.CLEAR:
            return self._clear(nexus)
        kind = self._checked_kind(command)
        match action:
            case OutAction.RESERVE:
                return self._reserve(nexus, kind)
            case OutAction.RELEASE:
                return self._release(nexus, kind)
            case _:
                aborts = action is OutAction.PREEMPT_AND_ABORT
                return self._preempt(nexus, parameters.action_key, kind, aborts)

    def _check_own_key(
        self, nexus: Nexus, parameters: OutParameters, may_be_new: bool = False
    ) -> None:
        own = self.keys.get(nexus, 0 if may_be_new else None)
        if own != parameters.key:
            raise ReservationConflict(
                f"{nexus.transport_id} named the key {parameters.key:016x}, "
                + ("and is not registered." if not own else f"and is registered as {own:016x}.")
            )

    def _checked_kind(self, command: PersistentReserveOut) -> Kind:
        if command.scope != UNIT_SCOPE:
            raise IllegalRequest(INVALID_FIELD_IN_CDB, "Only whole units can be reserved.")
        try:
            return Kind(command.kind)
        except ValueError:
            raise IllegalRequest(
                INVALID_FIELD_IN_CDB, f"There is no type of reservation {command.kind}."
            ) from None

    def _changed(self, registrations: bool = True) -> None:
        self.number += 1
        if registrations:
            self.generation = (self.generation + 1) % (1 << 32)

    def _register(self, nexus: Nexus, parameters: OutParameters) -> Change:
        key = parameters.action_key
        wanted = self._registering(nexus, parameters)
        if not key and nexus not in self.keys:
            return Change()
        self.persists = parameters.persists
        self._changed()
        if key:
            self.keys.update(dict.fromkeys(wanted, key))
            return Change()
        told: list[tuple[Nexus, Sense]] = []
        for gone in wanted:
            told += self._unregister(gone)
        return Change(tuple(told))

    def _registering(self, nexus: Nexus, parameters: OutParameters) -> list[Nexus]:
        """The nexuses that a REGISTER is about."""
        initiators = [nexus]
        if parameters.ports is not None:
            if nexus in self.keys:
                raise _bad_parameters("One that is registered cannot name further ports.")
            for port in parameters.ports:
                other = nexus_of(port, nexus.port)
                if other is None:
                    raise _bad_parameters(f"{port} is no iSCSI initiator port.")
                initiators.append(other)
        ports = self.ports if parameters.all_ports else (nexus.port,)
        wanted = [Nexus(one.initiator, one.isid, port) for one in initiators for port in ports]
        if parameters.action_key and len(self.keys.keys() | set(wanted)) > REGISTRATIONS_MAX:
            raise IllegalRequest(
                NO_REGISTRATION_RESOURCES, f"A unit keeps {REGISTRATIONS_MAX} registrations."
            )
        return list(dict.fromkeys(wanted))

    def _unregister(self, nexus: Nexus) -> list[tuple[Nexus, Sense]]:
        """The reservation goes with its last holder, and the other registrants are told."""
        held = self.holds(nexus)
        if self.keys.pop(nexus, None) is None or not held:
            return []
        kind = self.kind
        assert kind is not None
        if kind.held_by_all and self.keys:
            return []
        self.holder = self.kind = None
        return self._tell_registrants(nexus) if kind.for_registrants else []

    def _tell_registrants(
        self, but: Nexus, sense: Sense = RESERVATIONS_RELEASED
    ) -> list[tuple[Nexus, Sense]]:
        return [(other, sense) for other in self.keys if other != but]

    def _reserve(self, nexus: Nexus, kind: Kind) -> Change:
        if self.kind is not None:
            if not self.holds(nexus) or kind is not self.kind:
                raise ReservationConflict(f"The unit is reserved as {self.kind.name} already.")
            return Change()
        self.kind = kind
        self.holder = None if kind.held_by_all else nexus
        self._changed(registrations=False)
        return Change()

    def _release(self, nexus: Nexus, kind: Kind) -> Change:
        if self.kind is None or not self.holds(nexus):
            return Change()
        if kind is not self.kind:
            raise IllegalRequest(
                INVALID_RELEASE, f"The unit is reserved as {self.kind.name}, not {kind.name}."
            )
        self.holder = self.kind = None
        self._changed(registrations=False)
        return Change(tuple(self._tell_registrants(nexus)) if kind.for_registrants else ())

    def _clear(self, nexus: Nexus) -> Change:
        told = self._tell_registrants(nexus, RESERVATIONS_PREEMPTED)
        self.keys.clear()
        self.holder = self.kind = None
        self._changed()
        return Change(tuple(told))

    def _preempt(self, nexus: Nexus, key: int, kind: Kind, aborts: bool) -> Change:
        if self._takes_reservation(key):
            gone = [one for one, its in self.keys.items() if one != nexus and key in (0, its)]
            before = self.kind
            self._remove(gone)
            self.kind = kind
            self.holder = None if kind.held_by_all else nexus
            told = [(one, REGISTRATIONS_PREEMPTED) for one in gone]
            if kind is not before:
                told += self._tell_registrants(nexus)
            held = [nexus] if key and key == self.keys[nexus] else []
            self._changed()
            return Change(tuple(told), tuple(gone + held) if aborts else ())
        if not key:
            raise _bad_parameters("A key of 0 preempts only what all registrants hold.")
        gone = [one for one, its in self.keys.items() if its == key]
        if not gone:
            raise ReservationConflict(f"Nobody is registered as {key:016x}.")
        told = [(one, REGISTRATIONS_PREEMPTED) for one in gone if one != nexus]
        for one in gone:
            told += [pair for pair in self._unregister(one) if pair[0] not in gone]
        self._changed()
        return Change(tuple(told), tuple(gone) if aborts else ())

    def _takes_reservation(self, key: int) -> bool:
        """Whether a PREEMPT of this key is aimed at the holder."""
        if self.kind is None:
            return False
        if self.kind.held_by_all:
            return not key
        return self.holder is not None and self.keys[self.holder] == key

    def _remove(self, gone: Iterable[Nexus]) -> None:
        for one in gone:
            del self.keys[one]


def _bad_parameters(sentence: str) -> IllegalRequest:
    return IllegalRequest(INVALID_FIELD_IN_PARAMETERS, sentence)
