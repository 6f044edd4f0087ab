import pytest

from shell.errors import BadWords
from shell.paths import path


def test_names_stay_one_step_whatever_they_are_made_of() -> None:
    assert path("vms", "sql01", "start") == "/vms/sql01/start"
    assert path("vms", "a/b?c#d e%") == "/vms/a%2Fb%3Fc%23d%20e%25"


@pytest.mark.parametrize("name", ["", ".", "..", "a\n", "\udcff", "x" * 65])
def test_a_name_that_nothing_can_have_is_refused_before_anybody_is_asked(name: str) -> None:
    with pytest.raises(BadWords, match="is no name: say which VM or node is meant"):
        path("vms", name)
