"""What cannot be taken back is done only for somebody who says so, at a terminal or in words.

A script, or whoever reads --json, is not asked: it must have said it in the call.
"""

from shell.errors import BadWords
from shell.session import Call, Desk

OATH = "no other node runs"


def confirm(desk: Desk, call: Call, yes: bool, what: str, name: str) -> None:
    """Go on only with --yes, or if the person types `name`."""
    if yes:
        return
    answer = desk.typed(call, f"{what} Type {name} to go on:")
    if answer is None:
        raise BadWords(f"{what} Say --yes if that is meant")
    if answer != name:
        raise BadWords(f"nothing was done: {answer!r} is not {name!r}")


HALVES = (
    "Two halves of a cluster that both run will destroy each other's data. Look at every other "
    "node first, then swear that they are off by typing:"
)
DISK_OATH = "those nodes are off"
WRITERS = (
    "A node that still writes to this disk will destroy data. Look at every node that is to be "
    "fenced first, then swear that they are off by typing:"
)


def swear(
    desk: Desk, call: Call, oath: str | None, words: str = OATH, warning: str = HALVES
) -> None:
    """Go on only with the oath's very words."""
    if oath is None:
        oath = desk.typed(call, f"{warning} {words}\n>")
        if oath is None:
            raise BadWords(f'forcing needs an oath: say --oath "{words}" if it is true')
    if " ".join(oath.lower().split()).rstrip(".") != words:
        raise BadWords(f'nothing was done: the oath is "{words}", not {oath!r}')
