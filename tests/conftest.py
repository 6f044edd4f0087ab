"""What every test gets: the loop of its ground, a check for leaks, and the story of its failure."""

import asyncio
import contextlib
import gc
import inspect
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from lab.virtual_time import VirtualTimeLoop

STORY = pytest.StashKey[list[Path]]()
FAILED = pytest.StashKey[bool]()
STORY_LINES = 200


def folders(item: pytest.Item) -> set[str]:
    """The folders of a test inside the repository; where that lies says nothing about it."""
    return set(item.path.relative_to(item.config.rootpath).parts)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests in live/ and io/ run on the loop of the programs, all others on the jumping one."""
    if {"live", "io"} & folders(item):
        return {"uvloop": uvloop.new_event_loop}
    return {"virtual": VirtualTimeLoop}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live tests take longest, so they start first."""
    items.sort(key=lambda item: "live" not in folders(item))
    for item in items:
        if "live" in folders(item):
            item.add_marker("live")


def open_descriptors() -> set[tuple[int, str]]:
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib would stat each of them
        try:
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))  # noqa: PTH115
        except FileNotFoundError:
            continue  # the descriptor that listed the folder
    return {entry for entry in found if entry[1] != "/dev/null"}  # uvloop keeps one once it serves


def child_processes() -> set[int]:
    """Children of this process that were not waited for, the dead among them too."""
    children = set[int]()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread just ended
            children |= {int(pid) for pid in (task / "children").read_text().split()}
    return children


def state_of(pid: int) -> tuple[str, str]:
    """Its name and state, for the message."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except FileNotFoundError:
        return "?", "gone"
    return name, rest.split()[0]


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(3):  # what was cancelled may have its last turn
        await asyncio.sleep(0)
    here = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() - before if task is not here]
    assert not left, f"the test left tasks behind: {left}"


@pytest.fixture(autouse=True)
def _no_leak(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test no task, child process or open descriptor is there that was not before."""
    processes, descriptors = child_processes(), open_descriptors()
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        # Begun here, so that it ends after the test's own fixtures.
        request.getfixturevalue("_no_task_left")
        descriptors = open_descriptors()  # the loop has some, and it ends after this check
    yield
    if request.node.stash.get(FAILED, False):
        return  # its traceback keeps alive what the test had open
    if open_descriptors() - descriptors:
        gc.collect()
    left = open_descriptors() - descriptors
    assert not left, f"the test left descriptors open: {sorted(left)}"
    orphans = child_processes() - processes
    named = [(pid, *state_of(pid)) for pid in sorted(orphans)]
    assert not orphans, f"the test left processes behind: {named}"


@pytest.fixture
def story(request: pytest.FixtureRequest) -> list[Path]:
    """Log files, or folders of them, that the report of a failed test shall show."""
    paths: list[Path] = []
    request.node.stash[STORY] = paths
    return paths


def told(path: Path) -> Iterator[tuple[str, str]]:
    """Each file of a story with its last lines."""
    files = sorted(path.rglob("*.log")) if path.is_dir() else [path]
    for file in files:
        lines = file.read_text(errors="replace").splitlines() if file.exists() else ["(no file)"]
        yield str(file), "\n".join(lines[-STORY_LINES:])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure takes its story along, before the fixtures clear the logs away."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        for path in item.stash.get(STORY, []):
            report.sections.extend(told(path))
    return report
