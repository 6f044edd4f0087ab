"""What goes wrong with a lab: one sentence each, and the exit code that the command ends with."""

from typing import ClassVar


class LabError(Exception):
    """The thing asked of a lab failed or was refused; its text is one sentence to act on."""

    exit_code: ClassVar[int] = 1


class TopologyError(LabError):
    """A topology file is off; the sentence names file and line, and what would be right."""

    exit_code = 2


class UnknownFabric(LabError):
    """Nothing of that name makes networks; the sentence says what does."""

    exit_code = 2


class UnknownNode(LabError):
    """The lab has no node of that name; the sentence says which it has."""

    exit_code = 2


class NoSuchLab(LabError):
    """There is no lab of that name; the sentence says which there are."""

    exit_code = 3


class LabRunning(LabError):
    """A lab of that name runs already, or is being started."""


class StartFailed(LabError):
    """A program ended before it was ready, or took too long; nothing of the start is left."""
