"""Policies of one's own: found in Python files that the node is told of, and in installed packages
that offer some.
"""

import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import structlog

from agent.policies import BUILT_IN, Policy, Shelf
from protocol.errors import Refused

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "hvlab.policies"


def with_plug_ins(files: Sequence[Path]) -> Shelf:
    """All that this node has. A file that was named must be right, or `Refused` says what is wrong
    with it; a package that cannot be used is passed over, until somebody asks for its policy.
    """
    kinds: list[type[Policy]] = []
    broken: dict[str, str] = {}
    for point in _offered():
        try:
            kind = _loaded(point)
            _check(kind, kinds, f"The package of policy {point.name!r}")
            kinds.append(kind)
        except Refused as refused:
            broken[point.name] = str(refused)
            structlog.get_logger().warning("policy-refused", policy=point.name, why=str(refused))
    for path in files:
        for kind in policies_in(path):
            _check(kind, kinds, f"Policy file {path}")
            kinds.append(kind)
    return BUILT_IN.joined(kinds, broken)


def policies_in(path: Path) -> list[type[Policy]]:
    """The policies that a file defines."""
    module = ModuleType(f"policies_of_{path.stem}")
    module.__file__ = str(path)
    try:
        code = compile(path.read_bytes(), str(path), "exec")
        # Before it runs: its dataclasses look themselves up there.
        sys.modules[module.__name__] = module
        exec(code, module.__dict__)
    except OSError as error:
        raise Refused(f"Policy file {path} cannot be read: {error.strerror}.") from error
    except (Exception, SystemExit) as error:  # somebody else's program may raise anything
        raise Refused(f"Policy file {path} cannot be used: {_said(error)}.") from error
    found = [
        kind
        for kind in vars(module).values()
        if _is_policy(kind) and kind.__module__ == module.__name__
    ]
    if not found:
        raise Refused(
            f"Policy file {path} defines no policy: a class that derives from"
            " agent.policies.Policy and has a name and a decide method."
        )
    return found


def _offered() -> "Iterable[EntryPoint]":
    """What installed packages offer. The library that knows takes twice as long to import as an
    agent to start, so it is asked only where a package speaks of policies at all.
    """
    wanted = f"[{ENTRY_POINTS}]".encode()
    for folder in sys.path:
        for told in Path(folder).glob("*-info/entry_points.txt"):
            if wanted in told.read_bytes():
                from importlib import metadata

                return metadata.entry_points(group=ENTRY_POINTS)
    return ()


def _loaded(point: "EntryPoint") -> type[Policy]:
    try:
        kind = point.load()
    except (Exception, SystemExit) as error:  # somebody else's program may raise anything
        raise Refused(f"{point.value} cannot be loaded: {_said(error)}.") from error
    if not _is_policy(kind):
        raise Refused(f"{point.value} is no class that derives from agent.policies.Policy.")
    found: type[Policy] = kind
    return found


def _is_policy(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Policy) and not inspect.isabstract(kind)


def _check(kind: type[Policy], others: Iterable[type[Policy]], where: str) -> None:
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or "." not in name or set(name) & set(":,= "):
        raise Refused(
            f"{where}: the name of {kind.__name__} is {name!r}; it must have a dot in it, as in"
            " 'lab.mine', and neither colon, comma, equals sign nor blank."
        )
    if name in {other.name for other in others}:
        raise Refused(f"{where}: there is a policy {name!r} already; choose another name.")
    try:
        kind()
    except Exception as error:  # somebody else's program may raise anything
        raise Refused(
            f"{where}: {kind.__name__} cannot be made without numbers: {_said(error)}."
        ) from error


def _said(error: BaseException) -> str:
    """In one line, with the line of the file where Python knows it."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    text = " ".join(str(error).split()).rstrip(".")
    line = ""
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_name == "<module>" and frame.tb_next is None:
            line = f"line {frame.tb_lineno}: "
        frame = frame.tb_next
    return f"{line}{type(error).__name__}{f': {text}' if text else ''}"
