"""What the documents say is what the code does, as far as a machine can compare them."""

import dataclasses
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from lab import diagrams
from lab.__main__ import program
from protocol import errors
from protocol.messages import Message

ROOT = Path(__file__).parent.parent
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("compose/*.md")])
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
PROTOCOL = ROOT / "docs/protocol.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each line of a table."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def row_of(text: str, name: str) -> str:
    found = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    assert len(found) == 1, f"there are {len(found)} rows for {name}"
    return found[0]


# ---- architecture.md


def test_the_diagrams_are_those_of_the_code() -> None:
    text = ARCHITECTURE.read_text()

    assert text == diagrams.renewed(text), "run: python -m lab.diagrams docs/architecture.md"


def test_every_diagram_of_the_code_is_shown() -> None:
    shown = [block[2] for block in diagrams.BLOCK.finditer(ARCHITECTURE.read_text())]

    assert sorted(shown) == sorted(diagrams.PICTURES)


@pytest.mark.parametrize("package", ["protocol", "agent", "coordinator", "lab"])
def test_the_map_names_every_module(package: str) -> None:
    words = {
        words.split("/")[-1] for words in re.findall(r"`([a-z_/]+)`", ARCHITECTURE.read_text())
    }
    modules = {path.stem for path in (ROOT / package).rglob("*.py")} - {"__init__", "__main__"}

    missing = sorted(modules - words)

    assert not missing, f"architecture.md does not say what these of {package}/ are for: {missing}"


def test_every_test_that_a_document_names_exists() -> None:
    missing = []
    for path in DOCS:
        for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text()):
            source = ROOT / file
            if not source.exists() or not re.search(rf"def {name}\(", source.read_text()):
                missing.append(f"{named(path)}: {file}::{name}")

    assert not missing


def test_every_file_that_a_document_names_exists() -> None:
    missing = [
        f"{named(path)}: {file}"
        for path in DOCS
        for file in re.findall(
            r"`((?:agent|coordinator|protocol|lab|shell|tests)/[\w/]+\.py)`", path.read_text()
        )
        if not (ROOT / file).exists() and path.name != "CONTRIBUTING.md"
    ]

    assert not missing


# ---- protocol.md


@pytest.mark.parametrize("kind", get_args(Message), ids=lambda kind: kind.__name__)
def test_every_message_has_a_row_with_all_its_fields(kind: type) -> None:
    row = row_of(PROTOCOL.read_text(), kind.__name__)

    missing = [field.name for field in dataclasses.fields(kind) if f"`{field.name}`" not in row]

    assert not missing


def test_every_error_is_as_definite_as_the_document_says() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ClusterError)
    ]
    text = PROTOCOL.read_text()

    for kind in kinds:
        if kind is not errors.ClusterError:
            said = row_of(text, kind.__name__).split(" | ")[1]
            assert said == ("yes" if kind.definite else "no"), kind.__name__


def test_every_limit_has_the_value_that_the_document_says() -> None:
    checked = 0
    for name, value, *_ in (row for row in rows(PROTOCOL.read_text()) if len(row) == 3):
        match = re.fullmatch(r"`([a-z_.]+)\.([A-Z_]+)`", name)
        if match is not None:
            found = getattr(importlib.import_module(match[1]), match[2])
            assert value == str(found), name
            checked += 1

    assert checked > 10


# ---- README.md


def shell_lines(path: Path) -> Iterator[list[str]]:
    """The words of each command in a document's blocks and between its backticks."""
    text = path.read_text()
    for language, block in FENCE.findall(text):
        if language == "sh":
            for line in block.splitlines():
                yield shlex.split(line, comments=True)
    for words in re.findall(r"`((?:hvlab|make) [^`]+)`", FENCE.sub("", text)):
        yield shlex.split(words)


def commands_of(path: Path, first: str) -> list[list[str]]:
    return [words[1:] for words in shell_lines(path) if words[:1] == [first]]


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_every_word_for_make_is_in_the_makefile(path: Path) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)

    unknown = [words for words in commands_of(path, "make") if words[-1] not in targets]

    assert not unknown


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_every_command_and_option_of_hvlab_exists(path: Path) -> None:
    root = typer.main.get_command(program())
    for words in commands_of(path, "hvlab"):
        command: Any = root
        rest = list(words)
        while rest and (known := getattr(command, "commands", None)) and rest[0] != "COMMAND":
            name = rest.pop(0)
            assert name in known, f"hvlab {' '.join(words)}"
            command = known[name]
        options = {option for param in command.params for option in param.opts} | {"--help"}
        for word in rest:
            if word.startswith("--"):
                assert word in options, f"hvlab {' '.join(words)}"


def test_the_exit_codes_are_those_of_the_command() -> None:
    said = [cells for cells in rows(README.read_text()) if cells[0].isdigit()]
    known = importlib.import_module("shell.errors").__doc__ or ""

    assert [f"{code}  {meaning}" for code, meaning in said] == re.findall(r"^\d  .*$", known, re.M)


def test_the_first_lines_say_what_is_real_and_what_is_emulated() -> None:
    first = README.read_text()[:1000]

    assert "**Real**" in first
    assert "**Emulated**" in first


# ---- all of them


def anchors(path: Path) -> set[str]:
    """As they are made from headings: small letters, hyphens for spaces, no other signs."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert not broken


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/decisions/0*.md")), ids=named)
def test_a_decision_has_status_context_decision_and_price(path: Path) -> None:
    text = path.read_text()

    assert re.match(r"# \d+[:.] .+\n\nStatus: \w+", text)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE)[:2] == ["Context", "Decision"]
    assert "## Price" in text
