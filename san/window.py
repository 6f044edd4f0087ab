"""The numbers of a session: which commands it takes, and how many answers it has given."""

import enum

from protocol.iscsi.serial import after, distance, is_within


class Place(enum.Enum):
    """Where a command's number lies."""

    NEXT = "its turn has come"
    OUTSIDE = "outside the window: to be ignored"
    GAP = "a command before it never came, and on one connection never will"


class Window:
    """A session takes `depth` commands at once; each that ends makes room for one more."""

    __slots__ = ("exp_cmd_sn", "max_cmd_sn", "stat_sn")

    def __init__(self, exp_cmd_sn: int, depth: int, stat_sn: int) -> None:
        self.exp_cmd_sn = exp_cmd_sn
        self.max_cmd_sn = after(exp_cmd_sn, depth - 1)
        self.stat_sn = stat_sn

    def take(self, cmd_sn: int) -> Place:
        """A command that is not immediate has this number; if it is the next one it is taken."""
        if not is_within(cmd_sn, self.exp_cmd_sn, self.max_cmd_sn):
            return Place.OUTSIDE
        if distance(self.exp_cmd_sn, cmd_sn):
            return Place.GAP
        self.exp_cmd_sn = after(cmd_sn)
        return Place.NEXT

    def make_room(self) -> None:
        self.max_cmd_sn = after(self.max_cmd_sn)

    def answered(self) -> int:
        """The number of the answer that is being given."""
        stat_sn = self.stat_sn
        self.stat_sn = after(stat_sn)
        return stat_sn
