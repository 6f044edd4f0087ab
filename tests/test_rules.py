"""The repository's own rules, each run on the repository and on offenders that it must catch."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "protocol": set[str](),
    "agent": {"protocol"},
    "coordinator": {"protocol"},
    "san": {"protocol"},
    "shell": {"protocol"},
    "hvlab": {"protocol"},
    "lab": {"protocol", "agent", "coordinator", "san", "shell", "hvlab"},
}
PURE = {"protocol", "agent", "coordinator", "san", "shell"}
WORLD = {
    *("asyncio", "socket", "subprocess", "time", "random", "os", "logging", "aiohttp", "signal"),
    *("threading", "select", "mmap", "fcntl", "ctypes", "structlog", "uvloop"),
    *("aiosqlite", "sqlite3"),
}
# The agent would start in 210 ms instead of 60, and a lab starts many.
TOO_SLOW_FOR_AN_AGENT = {"aiohttp", "pydantic"}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# Its subject is sleeping; everywhere else a test waits for an answer, a line or an end.
MAY_SLEEP = {"tests/lab/test_virtual_time.py"}
CHECKING = re.compile(r"(assert|check|expect|raises|warns|deprecated_call|fail)(_|$)")
# In pieces, so that this file does not name what it forbids.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("anaconda", "org"),
    ]
]
NOT_OURS = re.compile(r"\.(git|venv|\w+_cache|hypothesis)|__pycache__|build|dist|.*\.egg-info")


def files(root: Path) -> Iterator[Path]:
    """All files of the repository, without what tools have left in it."""
    for path in sorted(root.iterdir()):
        if NOT_OURS.fullmatch(path.name):
            continue
        if path.is_dir():
            yield from files(path)
        elif path.is_file():
            yield path


def modules(root: Path, *folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Python files of these folders: path relative to the root, and what the file says."""
    for folder in folders:
        if (root / folder).is_dir():
            for path in files(root / folder):
                if path.suffix == ".py":
                    yield path.relative_to(root), ast.parse(path.read_text(), path)


def imports(path: Path, tree: ast.Module) -> set[str]:
    """Full dotted names of all that a module imports, relative and dynamic imports among them."""
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module, names, level):
                here = path.parts[: -level or None] if level else ()
                start = [*here, *([module] if module else [])]
                found |= {".".join([*start, name.name]) for name in names}
            case ast.Call(ast.Name("__import__") | ast.Attribute(attr="import_module"), args):
                found |= {str(arg.value) for arg in args[:1] if isinstance(arg, ast.Constant)}
    return found


def forbidden_imports(root: Path) -> list[str]:
    """Packages import only what they may, and only `io/` and `__main__.py` see the world."""
    broken = []
    for path, tree in modules(root, *MAY_IMPORT):
        package = path.parts[0]
        forbidden = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
        pure = package in PURE and "io" not in path.parts and path.name != "__main__.py"
        if pure:
            forbidden |= WORLD
        if package in {"agent", "protocol"}:
            forbidden |= TOO_SLOW_FOR_AN_AGENT
        for name in sorted(imports(path, tree)):
            top, *rest = name.split(".")
            if top in forbidden or (pure and top in PURE and "io" in rest):
                broken.append(f"{path} must not import {name}")
    return broken


def long_code(root: Path) -> list[str]:
    """A module is read in one go, and a function fits a screen."""
    broken = []
    for path, tree in modules(root, *MAY_IMPORT, "tests"):
        lines = len((root / path).read_text().splitlines())
        if lines > MODULE_LINES_MAX:
            broken.append(f"{path} has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    broken.append(f"{path}: {node.name} has {lines} lines")
    return broken


def sleeps(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls of time.sleep and asyncio.sleep by any name; `asyncio.sleep(0)` only gives way."""
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {
                f"{name.asname or name.name}.sleep"
                for name in node.names
                if name.name in {"time", "asyncio"}
            }
        elif isinstance(node, ast.ImportFrom) and node.module in {"time", "asyncio"}:
            names |= {name.asname or name.name for name in node.names if name.name == "sleep"}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in names
            and [ast.unparse(arg) for arg in node.args] != ["0"]
        ):
            yield node


def waiting_and_mocking(root: Path) -> list[str]:
    """Tests use no mocks and do not sleep."""
    broken = []
    for path, tree in modules(root, "tests"):
        words = {word for name in imports(path, tree) for word in name.split(".")}
        words |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        if {"mock", "mocker"} & words:
            broken.append(f"{path} uses a mock")
        if path.as_posix() not in MAY_SLEEP:
            broken += [f"{path}:{call.lineno} sleeps" for call in sleeps(tree)]
    return broken


def asserts(function: ast.AST, checkers: set[str]) -> bool:
    """Whether it can fail on purpose; an assertion of a constant cannot."""
    for node in ast.walk(function):
        match node:
            case ast.Assert(test):
                constant = isinstance(test, ast.Constant) and test.value
                if not constant:
                    return True
            case ast.Call(func):
                name = ast.unparse(func).rpartition(".")[2]
                if CHECKING.match(name) or name in checkers:
                    return True
    return False


def idle_tests(root: Path) -> list[str]:
    """Every test asserts, itself or by a function of its own file."""
    broken = []
    for path, tree in modules(root, "tests"):
        functions = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        checkers = {node.name for node in functions if asserts(node, set())}
        for node in functions:
            if node.name.startswith("test") and not asserts(node, checkers):
                broken.append(f"{path}: {node.name} asserts nothing")
    return broken


def named_registries(root: Path) -> list[str]:
    """Where packages come from is the business of the machine, not of the repository."""
    broken = []
    for path in files(root):
        name = path.relative_to(root)
        try:
            text = f"{name}\n{path.read_text()}"
        except UnicodeDecodeError:
            continue
        broken += [f"{name} names {host}" for host in REGISTRY_HOSTS if host in text.lower()]
    return broken


def loose_pins(root: Path) -> list[str]:
    """The lock pins every package with a hash, and names no address and no option but hashes."""
    broken = []
    text = (root / "requirements.lock").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if "://" in line or line.startswith("-"):
            broken.append(f"requirements.lock names an address or an option: {line[:60]}")
        elif not re.match(r"[a-z0-9-]+==[\w.]+ .*--hash=sha256:[0-9a-f]{64}", line):
            broken.append(f"requirements.lock does not pin with a hash: {line[:60]}")
    return broken


def normal(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def undocumented(root: Path) -> list[str]:
    """dependencies.md has a row for each dependency, architecture.md a word on each package."""
    broken = []
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    rows = (root / "docs/decisions/dependencies.md").read_text()
    lock = (root / "requirements.lock").read_text()
    for name in map(normal, wanted):
        pinned = set(re.findall(rf"^{name}==([\w.]+)", lock, re.MULTILINE))
        row = re.search(rf"^\| {name} \|.*$", rows, re.MULTILINE)
        if row is None:
            broken.append(f"dependencies.md has no row for {name}")
        elif not pinned:
            broken.append(f"requirements.lock does not pin {name}")
        elif missing := sorted(version for version in pinned if version not in row[0]):
            broken.append(f"dependencies.md does not say {name} {missing[0]}")
    architecture = (root / "docs/architecture.md").read_text()
    for package in MAY_IMPORT:
        if f"{package}/" not in architecture:
            broken.append(f"architecture.md does not mention {package}/")
    return broken


RULES: list[Callable[[Path], list[str]]] = [
    forbidden_imports,
    long_code,
    waiting_and_mocking,
    idle_tests,
    named_registries,
    loose_pins,
    undocumented,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_keeps(rule: Callable[[Path], list[str]]) -> None:
    broken = rule(ROOT)

    assert not broken, "\n".join(broken)


OFFENDERS: list[tuple[Callable[[Path], list[str]], str, str]] = [
    (forbidden_imports, "agent/lease.py", "import coordinator.votes.quorum"),
    (forbidden_imports, "agent/lease.py", "from coordinator import quorum"),
    (forbidden_imports, "agent/io/driver.py", "import lab"),
    (forbidden_imports, "agent/io/driver.py", "def f():\n    import pydantic"),
    (forbidden_imports, "protocol/io/link.py", "import aiohttp.web"),
    (forbidden_imports, "shell/__main__.py", "import importlib\nimportlib.import_module('lab')"),
    (forbidden_imports, "hvlab/client.py", "import shell"),
    (forbidden_imports, "coordinator/core.py", "import time"),
    (forbidden_imports, "coordinator/core.py", "from os import environ"),
    (forbidden_imports, "coordinator/core.py", "from .io import store"),
    (forbidden_imports, "coordinator/core.py", "from coordinator.io.store import Store"),
    (forbidden_imports, "coordinator/plan/core.py", "from ..io import store"),
    (long_code, "agent/long.py", "x = 1\n" * 401),
    (long_code, "tests/test_long.py", "def f():\n" + "    x = 1\n" * 60),
    (waiting_and_mocking, "tests/test_x.py", "from unittest import mock"),
    (waiting_and_mocking, "tests/test_x.py", "from unittest.mock import patch"),
    (waiting_and_mocking, "tests/test_x.py", "def test_x(mocker): ..."),
    (waiting_and_mocking, "tests/test_x.py", "import time\ntime.sleep(1)"),
    (waiting_and_mocking, "tests/test_x.py", "from asyncio import sleep as wait\nwait(0.1)"),
    (idle_tests, "tests/test_x.py", "def test_x():\n    print('fine')"),
    (idle_tests, "tests/test_x.py", "async def test_x():\n    assert True"),
    (idle_tests, "tests/test_x.py", "def test_x():\n    failures()\n    verify(2)"),
    (named_registries, "notes.md", f"see {REGISTRY_HOSTS[0]}"),
    (named_registries, f"{REGISTRY_HOSTS[1]}.txt", ""),
    (loose_pins, "requirements.lock", "rich>=15"),
    (loose_pins, "requirements.lock", "rich==15.0.0"),
    (loose_pins, "requirements.lock", "--extra-" + "index-url x"),
]


@pytest.mark.parametrize(("rule", "name", "text"), OFFENDERS)
def test_an_offender_is_caught(
    rule: Callable[[Path], list[str]], name: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

    assert len(rule(tmp_path)) == 1


LAWFUL = {
    "agent/lease.py": "import enum, io\nfrom protocol.names import Hold\nfrom . import holds",
    "agent/io/driver.py": "import asyncio, time\nfrom agent.io import pages\nimport protocol.io",
    "coordinator/__main__.py": "import os\nfrom coordinator.io import driver",
    "lab/demo.py": "import time, agent, coordinator, shell",
    "tests/test_x.py": "import asyncio\nasync def test_x():\n    await asyncio.sleep(0)\n"
    "    check_wave()\ndef test_y():\n    with pytest.raises(ValueError): f()",
    "requirements.lock": f"rich==15.0.0 \\\n    --hash=sha256:{'0' * 64}\n",
}


@pytest.mark.parametrize("rule", RULES[:-1], ids=lambda rule: rule.__name__)
def test_the_lawful_is_left_alone(rule: Callable[[Path], list[str]], tmp_path: Path) -> None:
    for name, text in LAWFUL.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert rule(tmp_path) == []


def test_a_dependency_without_a_row_or_with_an_old_version_is_caught(tmp_path: Path) -> None:
    (tmp_path / "docs/decisions").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["rich>=15", "Typer"]\n'
        '[project.optional-dependencies]\ndev = ["ruff"]\n'
    )
    (tmp_path / "requirements.lock").write_text("rich==15.0.1 \\\nruff==0.17.6 \\\n")
    (tmp_path / "docs/decisions/dependencies.md").write_text("| rich | 15.0.0 |\n| typer | 1 |\n")
    (tmp_path / "docs/architecture.md").write_text("protocol/ agent/ coordinator/ hvlab/ lab/")

    assert undocumented(tmp_path) == [
        "dependencies.md does not say rich 15.0.1",
        "requirements.lock does not pin typer",
        "dependencies.md has no row for ruff",
        "architecture.md does not mention san/",
        "architecture.md does not mention shell/",
    ]
