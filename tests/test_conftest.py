"""The checks of conftest.py, run on tests that break them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LEAKY = """
import asyncio, os, subprocess
KEPT = []

async def test_leaves_a_task():
    KEPT.append(asyncio.create_task(asyncio.Event().wait()))
    assert KEPT

def test_leaves_a_descriptor():
    assert os.open(__file__, os.O_RDONLY) > 0

async def test_leaves_a_descriptor_on_a_loop():
    assert os.open(__file__, os.O_RDONLY) > 0

def test_leaves_a_process():
    KEPT.append(subprocess.Popen(["true"]))
    assert KEPT[-1].pid

def test_leaves_nothing(tmp_path):
    (tmp_path / "page").write_text("x")
    assert subprocess.run(["true"]).returncode == 0

async def test_leaves_nothing_on_a_loop():
    task = asyncio.create_task(asyncio.sleep(60))
    await task
    assert type(asyncio.get_running_loop()).__name__ == "VirtualTimeLoop"
"""

LIVE = """
import asyncio, uvloop

async def test_fails_with_a_story(story, tmp_path):
    (tmp_path / "node1.log").write_text("the lease ended")
    story.append(tmp_path)
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    assert False, "on purpose"
"""


def outcomes(folder: Path, *words: str) -> tuple[set[tuple[str, str]], str]:
    """Run pytest with our conftest on `folder`; say what became of each test, and the report."""
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    pytest_here = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")]
    quiet = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-rA"]
    report = subprocess.run(
        [*pytest_here, f"--rootdir={folder}", *quiet, *words, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    ).stdout
    return set(re.findall(r"^(PASSED|FAILED|ERROR) .*::(\w+)", report, re.MULTILINE)), report


@pytest.mark.slow
def test_whatever_a_test_leaves_behind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)

    found, report = outcomes(tmp_path)

    wrong = {name for outcome, name in found if outcome != "PASSED"}
    assert wrong == {
        "test_leaves_a_task",
        "test_leaves_a_descriptor",
        "test_leaves_a_descriptor_on_a_loop",
        "test_leaves_a_process",
    }, report
    for words in ("tasks behind", "descriptors open", "processes behind"):
        assert f"the test left {words}" in report


@pytest.mark.slow
def test_a_failed_live_test_tells_its_story(tmp_path: Path) -> None:
    live = tmp_path / "live"
    live.mkdir()
    (live / "test_story.py").write_text(LIVE)

    found, report = outcomes(tmp_path, "-m", "live")

    assert found == {("FAILED", "test_fails_with_a_story")}, report
    assert "node1.log" in report
    assert "the lease ended" in report
