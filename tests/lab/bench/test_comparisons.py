import pytest

from lab.bench import Part
from lab.bench.__main__ import chosen
from lab.bench.comparisons import BY_NAME, COMPARISONS, LOADS, Comparison, Load
from lab.bench.goals import COMPARISONS as OF_GOALS
from protocol.workload import parse_workload


@pytest.mark.parametrize("comparison", [*COMPARISONS, *OF_GOALS], ids=lambda one: one.name)
def test_the_cases_of_a_comparison_have_names_of_their_own(comparison: Comparison) -> None:
    names = [case.name for case in comparison.cases]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("load", LOADS, ids=lambda one: one.name)
@pytest.mark.parametrize("memory_bytes", [16 << 20, 1 << 30])
def test_a_load_is_a_workload_that_fits_the_vm(load: Load, memory_bytes: int) -> None:
    workload = parse_workload(load.workload(memory_bytes))

    assert workload.set_bytes <= memory_bytes // 2
    assert workload.rate_bytes_per_s == load.rate_bytes_per_s


def test_parts_and_comparisons_do_not_share_a_name() -> None:
    assert not {part.value for part in Part} & BY_NAME.keys()


def test_names_are_measured_once_and_in_their_order() -> None:
    assert chosen(["rounds", "goals", "rounds"], [Part.SCALE]) == ["rounds", "goals", "scale"]


def test_all_parts_are_measured_when_nothing_is_named() -> None:
    assert chosen([], []) == [part.value for part in Part]
