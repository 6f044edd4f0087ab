"""All units of a target behind one door; also speaks for the numbers that have no unit."""

from collections.abc import Mapping, Sequence

from protocol.iscsi.digests import Buffer
from protocol.scsi import sense
from protocol.scsi.capacity import write_luns
from protocol.scsi.commands import Command, Inquiry, ReportLuns, RequestSense
from protocol.scsi.inquiry import StandardInquiry
from san.answers import Answer, Work, check_condition
from san.logical_unit import GOOD, LogicalUnit, answer
from san.medium import Deed, Failure
from san.nexus import Nexus

SELECT_KNOWN = (0, 2)
SELECT_WELL_KNOWN = 1


class Units:
    """Units by number. The session layer asks here only."""

    def __init__(self, units: Mapping[int, LogicalUnit]) -> None:
        self.units = dict(units)

    # ---- nexuses

    def arrived(self, nexus: Nexus) -> None:
        """A session is up; each unit has something to tell it before its first command."""
        for unit in self.units.values():
            unit.attentions.arrived(nexus)

    def reset(self, lun: int) -> None:
        """Every nexus is told, whoever asked for the reset. Reservations are kept."""
        unit = self.units.get(lun)
        if unit is not None:
            for nexus in unit.attentions.known():
                unit.attentions.add(nexus, sense.UNIT_RESET)

    def cleared(self, lun: int, victims: Sequence[Nexus]) -> None:
        """Tasks of these nexuses were aborted by another one without an answer."""
        unit = self.units.get(lun)
        if unit is not None:
            for victim in victims:
                unit.attentions.add(victim, sense.COMMANDS_CLEARED)

    # ---- commands

    def block_bytes(self, lun: int) -> int:
        """Needed to tell how much data come along; a number without a unit takes none."""
        unit = self.units.get(lun)
        return 0 if unit is None else unit.facts.block_bytes

    def admit(self, nexus: Nexus, lun: int, command: Command) -> Answer | None:
        """The refusal, before data are fetched; None if the command may go on."""
        unit = self.units.get(lun)
        if unit is None or isinstance(command, ReportLuns):
            return self._speak(lun, command)
        return unit.admit(nexus, command)

    def execute(
        self, nexus: Nexus, lun: int, command: Command, buffers: Sequence[Buffer] = ()
    ) -> Answer | Work:
        """The answer, or the work to be done before it."""
        unit = self.units.get(lun)
        if unit is None or isinstance(command, ReportLuns):
            return self._speak(lun, command)
        return unit.execute(nexus, command, buffers)

    def failed(self, lun: int, deed: Deed, failure: Failure, block: int | None = None) -> Answer:
        """The answer to a command whose deed failed; the rest of its work is dropped."""
        return self.units[lun].failed(deed, failure, block)

    # ---- in the target's name

    def _speak(self, lun: int, command: Command) -> Answer:
        match command:
            case ReportLuns(length, select):
                return self._report(length, select)
            case Inquiry(page=None):
                return answer(StandardInquiry(present=False).write(), command)
            case Inquiry():
                return check_condition(sense.INVALID_FIELD_IN_CDB)
            case RequestSense(descriptor=wants_descriptor):
                write = sense.descriptor if wants_descriptor else sense.fixed
                return answer(write(sense.UNIT_NOT_SUPPORTED), command)
        return check_condition(sense.UNIT_NOT_SUPPORTED)

    def _report(self, length: int, select: int) -> Answer:
        if select == SELECT_WELL_KNOWN:
            luns: tuple[int, ...] = ()
        elif select in SELECT_KNOWN:
            luns = tuple(sorted(lun for lun, unit in self.units.items() if unit.lost is None))
        else:
            return check_condition(sense.INVALID_FIELD_IN_CDB)
        return Answer(GOOD.status, write_luns(luns)[:length])
