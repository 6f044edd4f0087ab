"""How a SCSI command ended, in one byte (SAM-5)."""

import enum


class Status(enum.IntEnum):
    """What a target answers; details of CHECK CONDITION are in the sense data."""

    GOOD = 0x00
    CHECK_CONDITION = 0x02
    CONDITION_MET = 0x04
    BUSY = 0x08
    RESERVATION_CONFLICT = 0x18
    TASK_SET_FULL = 0x28
    ACA_ACTIVE = 0x30
    TASK_ABORTED = 0x40
