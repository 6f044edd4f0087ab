import io
from typing import Any

import rich.console

from shell.progress import Bars, ended, fraction, rate_bytes_per_s, sentence


def attempt(**fields: Any) -> dict[str, Any]:
    row = {
        "attempt": 1,
        "vm": "sql01",
        "source": "node1",
        "target": "node2",
        "outcome": None,
        "ended_at": None,
        "rounds": [],
    }
    return {**row, **fields}


def live(step: str, sent: int = 0, round_no: int = 0) -> dict[str, Any]:
    return {
        "step": step,
        "round": round_no,
        "pages_sent": sent,
        "pages_total": 1000,
        "seconds": 0.5,
    }


def test_an_attempt_has_ended_when_it_is_decided_and_both_sides_have_cleaned_up() -> None:
    assert not ended(attempt())
    assert not ended(attempt(outcome="completed"))
    assert ended(attempt(outcome="completed", ended_at=12.5))


def test_an_api_that_does_not_tell_ends_is_believed_by_the_outcome() -> None:
    row = attempt(outcome="failed")
    del row["ended_at"]

    assert ended(row)


def test_progress_only_grows_and_is_whole_only_at_the_end() -> None:
    rows = [
        attempt(live=live("S5", 10)),
        attempt(live=live("S5", 900)),
        attempt(live=live("S6", 1400, 2)),
        attempt(live=live("S9", 1500)),
        attempt(outcome="completed", ended_at=1.0),
    ]

    parts = [fraction(row) or 0.0 for row in rows]

    assert parts == sorted(parts)
    assert [part for part in parts if part >= 1.0] == [1.0]


def test_before_a_page_is_known_to_be_sent_nobody_says_how_far_it_is() -> None:
    assert fraction(attempt(live=live("S5"))) is None
    assert fraction(attempt()) is None


def test_the_rate_is_that_of_the_rounds_once_there_are_any() -> None:
    rounds = [{"pages": 1000, "seconds": 0.25}]

    assert rate_bytes_per_s(attempt(live=live("S5", 500))) == 500 * 4096 / 0.5
    assert rate_bytes_per_s(attempt(live=live("S6", 1000), rounds=rounds)) == 1000 * 4096 / 0.25
    assert rate_bytes_per_s(attempt()) is None


def test_a_sentence_names_step_round_bytes_and_rate() -> None:
    assert sentence(attempt(live=live("S6", 512, 3))) == "S6 round 3, 2 MiB, 4 MiB/s"
    assert sentence(attempt(live=live("S3"))) == "S3 reserving memory"
    assert sentence(attempt()) == "waiting"


def test_on_a_pipe_each_move_is_one_line() -> None:
    out = io.StringIO()
    with Bars(rich.console.Console(file=out, width=200)) as bars:
        for _ in range(3):
            bars.update([attempt(live=live("S4"))])
        bars.update([attempt(outcome="completed", ended_at=1.0)])

    assert out.getvalue().splitlines() == [
        "sql01 node1 -> node2: S4 connecting",
        "sql01 node1 -> node2: completed",
    ]


def test_on_a_terminal_the_bar_is_there_and_for_a_script_nothing() -> None:
    shown, silent = io.StringIO(), io.StringIO()
    for out, is_silent in ((shown, False), (silent, True)):
        console = rich.console.Console(file=out, width=120, force_terminal=True)
        with Bars(console, silent=is_silent) as bars:
            bars.update([attempt(live=live("S5", 500))])

    assert "sql01 node1 -> node2" in shown.getvalue()
    assert "━" in shown.getvalue()
    assert silent.getvalue() == ""
