import pytest

from lab.bench.iperf import received_bytes_per_s
from lab.errors import LabError


def test_what_was_received_counts() -> None:
    told = '{"end": {"sum_sent": {"bits_per_second": 16}, "sum_received": {"bits_per_second": 8}}}'

    assert received_bytes_per_s(told) == 1.0


@pytest.mark.parametrize(
    ("told", "why"),
    [("", "did not say"), ("{}", "did not say"), ('{"error": "unable to connect"}', "unable")],
)
def test_an_answer_without_a_speed_is_an_error(told: str, why: str) -> None:
    with pytest.raises(LabError, match=why):
        received_bytes_per_s(told)
