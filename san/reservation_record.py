"""What of a unit's persistent reservation outlives the program, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.errors import ClusterError
from protocol.scsi.persistent import Kind
from san.nexus import Nexus

FORMAT = 1


class BadRecord(ClusterError):
    """The record cannot be understood: the unit must not be served as if nobody had registered."""

    definite = True


@dataclass(frozen=True, slots=True)
class ReservationRecord:
    """All registrations and the reservation. `number` grows with every change.

    Without `persists` nothing is kept: the last registration did not ask for it.
    """

    number: int = 0
    persists: bool = False
    registrations: tuple[tuple[Nexus, int], ...] = ()
    holder: Nexus | None = None
    kind: Kind | None = None


def write_record(record: ReservationRecord) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "number": record.number,
        "persists": record.persists,
        "registrations": [[*_plain(nexus), key] for nexus, key in record.registrations],
        "holder": _plain(record.holder) if record.holder else None,
        "kind": record.kind,
    }


def read_record(plain: Mapping[str, Any]) -> ReservationRecord:
    if plain.get("format") != FORMAT:
        raise BadRecord(
            f"The record of reservations has the format {plain.get('format')}, not {FORMAT}."
        )
    try:
        holder, kind = plain["holder"], plain["kind"]
        record = ReservationRecord(
            number=int(plain["number"]),
            persists=bool(plain["persists"]),
            registrations=tuple(
                (Nexus(str(name), str(isid), int(port)), int(key))
                for name, isid, port, key in plain["registrations"]
            ),
            holder=Nexus(str(holder[0]), str(holder[1]), int(holder[2])) if holder else None,
            kind=Kind(kind) if kind is not None else None,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadRecord(f"The record of reservations is incomplete: {error!r}.") from None
    _check(record)
    return record


def _check(record: ReservationRecord) -> None:
    """A reservation has a holder that is registered, unless all registrants hold it."""
    registered = dict(record.registrations)
    if any(not 0 < key < 1 << 64 for key in registered.values()):
        raise BadRecord("The record of reservations holds a key that is 0 or beyond 64 bits.")
    holds = record.kind is not None and not record.kind.held_by_all
    if holds != (record.holder is not None) or (holds and record.holder not in registered):
        raise BadRecord("The record of reservations names a holder that is not registered.")
    if record.kind is not None and not registered:
        raise BadRecord("The record of reservations holds a reservation without registrations.")


def _plain(nexus: Nexus) -> list[str | int]:
    return [nexus.initiator, nexus.isid, nexus.port]
