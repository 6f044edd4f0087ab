"""The example of docs/policies.md, loaded as a node loads it and run."""

import re
from pathlib import Path

import pytest

from agent.io.policy_files import with_plug_ins
from agent.policies import Shelf, Stop
from tests.agent.policies.dirtying import Guest, migrate

DOCUMENT = Path(__file__).parents[3] / "docs" / "policies.md"


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (code,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    path = tmp_path / "stalled.py"
    path.write_text(code)
    return with_plug_ins([path])


@pytest.mark.parametrize(("ratio", "says"), [(0.3, "that is little"), (3.0, "it pays no more")])
def test_the_documented_example_ends_migrations(shelf: Shelf, ratio: float, says: str) -> None:
    trip = migrate(
        shelf.find("lab.stalled:pays=0.9"), Guest(1 << 16, 1 << 14, ratio * 118e6), 118e6
    )

    assert isinstance(trip.end, Stop)
    assert says in trip.end.reason
    assert len(trip.rounds) < 10
