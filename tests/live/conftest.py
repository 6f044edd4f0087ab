"""A lab for all questions of a module that do not hurt it."""

from collections.abc import Iterator

import pytest

from shell.errors import DONE
from tests.live.bad_lab import TOPOLOGY, Bad


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bad]:
    """A VM that runs and one that is off; node3 is paused."""
    lab = Bad(tmp_path_factory.mktemp("bad"), TOPOLOGY)
    try:
        code, _, err = lab.run("up", str(lab.topology))
        assert code == DONE, err
        lab.data("vm", "create", "off01", "--memory", "16MiB", "--node", "node2", "--off")
        lab.data("drain", "node3")
        yield lab
        assert lab.tracebacks() == []
    finally:
        # Also what bad input may have started after all.
        lab.data("down", "--all", apart=True)
    assert lab.home.labs() == ()


@pytest.fixture
def unhurt(lab: Bad) -> Iterator[Bad]:
    """What is asked inside leaves the cluster, its VMs, its processes and its folders alone."""
    before = lab.steady()
    yield lab
    assert lab.settled(before) == before
