import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

from coordinator.shown import chronicle, chronicle_networks
from coordinator.shown.chronicle import Note
from protocol.names import AttemptId, Member, NodeName, Term, VmName, VoteConfig
from tests.coordinator.driver import formed, with_vm
from tests.coordinator.stage import member

FIELDS = {
    "at", "id", "level", "node", "group", "text", "term", "epoch", "incarnation", "vm", "attempt",
}  # fmt: skip
VOTES = VoteConfig(1, ((NodeName("a"), 1), (NodeName("b"), 0)), witness_votes=1)
SAMPLES = {str: "because", int: 3, float: 1.0, bool: True, VoteConfig: VOTES, Member: member("a")}
ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs/events.md"


def made(module: ModuleType) -> Iterator[Note]:
    """What each function of the module writes, of arguments of the right kinds."""
    for name, make in inspect.getmembers(module, inspect.isfunction):
        hints = get_type_hints(make)
        kind = hints.pop("return", None)
        if name.startswith("_") or kind not in (Note, tuple[Note, ...], tuple[Note, Note]):
            continue
        arguments = []
        for hint in hints.values():
            kinds = [getattr(k, "__supertype__", k) for k in (hint, *get_args(hint))]
            known = [SAMPLES[k] for k in kinds if k in SAMPLES]
            several = get_origin(hint) is tuple or not known
            arguments.append((NodeName("a"), NodeName("b")) if several else known[0])
        written = make(*arguments)
        yield from [written] if isinstance(written, Note) else written


def every_note() -> list[Note]:
    return [*made(chronicle), *made(chronicle_networks)]


def test_every_line_is_one_sentence_with_a_known_level() -> None:
    notes = every_note()
    assert len(notes) > 40
    for note in notes:
        assert note.level in ("info", "warning", "error", "critical"), note
        assert note.text.strip() == note.text, note
        assert note.text[-1] in ".e", note
        assert note.id > 0


def constants(node: ast.expr) -> set[Any]:
    """What an argument may be: a constant, or one of two."""
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    assert isinstance(node, ast.Constant), ast.unparse(node)
    return {node.value}


def raised() -> dict[int, set[str]]:
    """Every id that the coordinator's code can raise, with its levels."""
    found: dict[int, set[str]] = {}
    for path in sorted((ROOT / "coordinator").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Note":
                for number in constants(call.args[0]):
                    found.setdefault(number, set()).update(constants(call.args[1]))
    return found


def test_the_table_of_events_has_every_id_that_is_raised_and_no_other() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)

    assert len(rows) == len({number for number, _, _ in rows}), "an id has two rows"
    assert {int(number): {level} for number, level, _ in rows} == raised()


def test_a_line_has_the_fields_of_the_contract() -> None:
    note = Note(1, "info", "Something.", NodeName("a"), VmName("v"), attempt=AttemptId(3))

    data = note.data(at=5.0, term=Term(2))

    assert data.keys() == FIELDS
    assert (data["at"], data["group"], data["vm"], data["term"]) == (5.0, "v", "v", 2)


def test_the_log_is_numbered_without_gaps_and_carries_the_wall_clock() -> None:
    world = with_vm(formed())
    rows = world.store.range("event/")

    assert [row.key for row in rows] == [f"event/{i:012d}" for i in range(1, len(rows) + 1)]
    assert all(row.value is not None and row.value["at"] >= 100.0 for row in rows)
    assert world.row("counter")["events"] == len(rows)
