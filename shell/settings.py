"""NAME=VALUE, as a person sets properties."""

import re
from collections.abc import Sequence
from typing import Any

from shell.errors import BadWords

TEXTS = {"description", "name"}
"""What is a text even if it looks like a number."""

WHOLE = re.compile(r"-?[0-9]{1,18}")


def settings(words: Sequence[str], lists: Sequence[str] = ()) -> dict[str, Any]:
    """All of them, or BadWords for the first that is none; those of `lists` hold names."""
    found: dict[str, Any] = {}
    many = {name.lower() for name in lists}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadWords(f"{word!r} sets nothing: write NAME=VALUE, such as SameSubnetDelay=500")
        if name.lower() in (known.lower() for known in found):
            raise BadWords(f"{name} is set twice: say once what it shall be")
        if name.lower() in TEXTS:
            found[name] = value
        else:
            found[name] = _names(value) if name.lower() in many else _value(value)
    return found


def _value(text: str) -> int | str:
    return int(text) if WHOLE.fullmatch(text) else text


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
