"""The page about the API names every route, and no refusal that does not exist."""

import re
from pathlib import Path
from typing import Any

from coordinator.io.feed import Feed
from coordinator.io.operations import Operations
from coordinator.io.table import routes
from lab.simulation.store import InstantStore
from protocol.names import Timing

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/api.md").read_text()


class Nobody:
    """A place that nobody sits at: routes are only listed here."""

    def picture(self) -> Any:
        raise AssertionError("nobody is asked")

    async def ask(self, request: Any) -> Any:
        raise AssertionError("nobody is asked")

    async def serve(self, link: Any) -> None:
        raise AssertionError("nobody is asked")


def table() -> list[tuple[str, str]]:
    nobody = Nobody()
    feed = Feed(InstantStore(), nobody.picture)
    return [(r.method, r.path) for r in routes(Operations(nobody, feed, Timing()))]


def test_every_path_has_its_place_on_the_page() -> None:
    words = set(re.findall(r"/[\w/{}-]+", PAGE))
    ends = set(re.findall(r"\.\.\.(/[\w-]+)", PAGE))

    missing = {
        path
        for _, path in table()
        if path.replace("{attempt}", "{id}") not in words and "/" + path.split("/")[-1] not in ends
    }

    assert not missing


def test_no_route_is_listed_twice() -> None:
    assert len(set(table())) == len(table())


def test_every_code_on_the_page_is_one_that_the_code_gives() -> None:
    said = re.findall(r"^\| (\d{3} `.*?) \|", PAGE[PAGE.index("## Refusals") :], re.MULTILINE)
    codes = {code for cell in said for code in re.findall(r"`([a-z-]+)`", cell)}
    sources = "".join(path.read_text() for path in (ROOT / "coordinator").rglob("*.py"))

    assert len(codes) > 20
    assert not {code for code in codes if f'"{code}"' not in sources}
