"""Each folder of tests/scenarios is a story that promises one thing, and the log that must come of
it.
"""

import os
from pathlib import Path

import pytest

from lab.simulation.story import Story

FOLDERS = sorted(path.parent for path in (Path(__file__).parent / "scenarios").rglob("script"))
LINES_MAX = 40


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_scenario_ends_as_it_promises(folder: Path) -> None:
    """With UPDATE=1 the log is written anew, for somebody to read before it is believed."""
    log = Story((folder / "script").read_text()).play()
    expected = folder / "log.expect"
    if os.environ.get("UPDATE"):
        expected.write_text(log)

    assert log == expected.read_text()
    assert log.endswith("all is well\n")
    assert len(log.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_script_says_first_what_it_promises(folder: Path) -> None:
    assert (folder / "script").read_text().startswith("# ")


def test_an_unknown_command_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such command: dance node1"):
        Story("0 dance node1").play()
