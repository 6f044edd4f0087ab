"""Where things are in the API: what a person calls a thing stays one step of its path."""

from urllib.parse import quote

from shell.errors import BadWords

NAME_CHARS_MAX = 64


def path(*steps: str) -> str:
    """The path of these steps; BadWords for one that would lead elsewhere than it says."""
    for step in steps:
        readable = step.isprintable() and 0 < len(step) <= NAME_CHARS_MAX
        if not readable or step in (".", ".."):
            raise BadWords(
                f"{step[:NAME_CHARS_MAX]!r} is no name: say which VM or node is meant, in 1 to "
                f"{NAME_CHARS_MAX} printable characters"
            )
    return "".join(f"/{quote(step, safe='')}" for step in steps)
