import io
import os
import sys

import pytest

from shell.io.desk import typed_line


def test_a_person_at_a_terminal_is_asked_and_answers_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as terminal, os.fdopen(ours, "wb", buffering=0) as person:
        monkeypatch.setattr(sys, "stdin", terminal)
        person.write(b" node3 \n")

        assert typed_line("Which one?") == "node3"

    assert capsys.readouterr() == ("", "Which one? ")


def test_a_script_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("node3\n"))

    assert typed_line("Which one?") is None
    assert capsys.readouterr().err == ""
