import datetime

import pytest

from shell.errors import BadWords
from shell.times import moment

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "ago_s"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("0s", 0)]
)
def test_so_long_ago(text: str, ago_s: float) -> None:
    assert moment(text, NOW) == NOW - ago_s


def test_a_time_of_the_calendar_has_its_zone_or_the_local_one() -> None:
    local = datetime.datetime.fromisoformat("2026-03-01T14:30:00").astimezone()

    assert moment("2026-03-01T14:30:00", NOW) == local.timestamp()
    assert moment("2026-03-01T14:30:00+00:00", NOW) == 1772375400.0


@pytest.mark.parametrize("text", ["", "yesterday", "10", "-5m", "10 m", "2026-13-01", "١m"])
def test_other_words_are_no_time(text: str) -> None:
    with pytest.raises(BadWords, match="is no time"):
        moment(text, NOW)
