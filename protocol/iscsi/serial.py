"""Serial number arithmetic (RFC 1982) on 32 bits, for CmdSN, StatSN and their windows."""

_MODULUS = 1 << 32
_HALF = 1 << 31


def after(number: int, steps: int = 1) -> int:
    """The number `steps` further on, around the end."""
    return (number + steps) % _MODULUS


def distance(start: int, end: int) -> int:
    """Steps from `start` to `end`; negative where `end` comes before it."""
    forward = (end - start) % _MODULUS
    return forward if forward < _HALF else forward - _MODULUS


def is_within(number: int, first: int, last: int) -> bool:
    """Whether `number` lies in the window from `first` to `last`; an empty one holds nothing."""
    return distance(first, number) >= 0 and distance(number, last) >= 0
