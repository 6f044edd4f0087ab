"""What the table of a duel says; the duel itself is no test."""

import io

import rich.console

from lab.bench.initiators import Duel, as_table


def test_a_duel_is_judged_by_the_ratio_of_each_round() -> None:
    duel = Duel("reads", 0.3, ours=[1e6, 4e6, 3e6], theirs=[2e6, 4e6, 10e6])

    assert duel.ratios == [0.5, 1.0, 0.3]
    assert duel.as_data()["ratio"] == 0.5


def test_the_table_names_load_ratio_and_goal() -> None:
    out = io.StringIO()

    table = as_table("Duels", [Duel("reads", 0.3, [1e6], [2e6])])
    rich.console.Console(file=out, width=120).print(table)

    assert "reads" in out.getvalue()
    assert "0.50" in out.getvalue()
    assert ">= 0.3" in out.getvalue()
