import inspect
from typing import get_type_hints

from coordinator import chronicle
from coordinator.chronicle import Note
from protocol.names import AttemptId, NodeName, Term, VmName
from tests.coordinator.driver import formed, with_vm

FIELDS = {
    "at", "id", "level", "node", "group", "text", "term", "epoch", "incarnation", "vm", "attempt",
}  # fmt: skip
SAMPLES = {str: "because", int: 3, float: 1.0, bool: True}


def every_note() -> list[Note]:
    notes = []
    for name, make in inspect.getmembers(chronicle, inspect.isfunction):
        hints = get_type_hints(make)
        if name.startswith("_") or hints.pop("return", None) is not Note:
            continue
        arguments = []
        for kind in hints.values():
            plain = getattr(kind, "__supertype__", kind)
            arguments.append(SAMPLES.get(plain, (NodeName("a"), NodeName("b"))))
        notes.append(make(*arguments))
    return notes


def test_every_line_is_one_sentence_with_a_known_level() -> None:
    notes = every_note()
    assert len(notes) > 20
    for note in notes:
        assert note.level in ("info", "warning", "error", "critical"), note
        assert note.text.strip() == note.text, note
        assert note.text[-1] in ".e", note
        assert note.id > 0


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
