import pytest

from agent.volumes.errors import FileInUse, MediumError, VolumeError, told


def test_what_an_owner_says_is_the_same_error_here() -> None:
    for kind in (FileInUse, MediumError):
        error = told(kind.__name__, "sql01 has it open")
        assert type(error) is kind
        assert error.sentence == "sql01 has it open"


@pytest.mark.parametrize(
    "code", ["", "closed", "Conflict", "PathLost", "ClusterError", "ClassVar", "__name__", "told"]
)
def test_a_word_that_is_no_refusal_is_one_all_the_same(code: str) -> None:
    """It came over a network: neither a bug nor the loss of the disk follows from it."""
    assert type(told(code, "no")) is VolumeError
