"""Paths on a volume: case does not tell names apart, and they stay as they were written."""

from agent.volumes.errors import BadName

NAME_BYTES_MAX = 255
DEPTH_MAX = 64


def folded(name: str) -> str:
    """Equal for names that differ only in case; one character for one, as in the field."""
    upper = (char.upper() for char in name)
    return "".join(big if len(big) == 1 else char for big, char in zip(upper, name, strict=True))


def check_name(name: str) -> str:
    if name in {"", ".", ".."}:
        raise BadName(f"{name!r} is not a name; one has at least one letter and is not . or ..")
    if bad := sorted({char for char in name if char in "/\\\0"}):
        raise BadName(f"the name {name!r} has {bad[0]!r} in it, which no name may have")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadName(f"the name {name!r} cannot be written in UTF-8") from None
    if size > NAME_BYTES_MAX:
        raise BadName(f"{name[:20]}... is {size} bytes long; a name has at most {NAME_BYTES_MAX}")
    return name


def parts(path: str) -> tuple[str, ...]:
    """`/vm1/disk.vhd` as its names; `/` is the volume's root, and nothing leads out of it."""
    if not path.startswith("/"):
        raise BadName(f"{path!r} is not a path; one begins with / at the root of the volume")
    if path == "/":
        return ()
    names = tuple(path[1:].split("/"))
    if len(names) > DEPTH_MAX:
        raise BadName(f"the path is {len(names)} names deep; {DEPTH_MAX} is the most")
    for name in names:
        check_name(name)
    return names
