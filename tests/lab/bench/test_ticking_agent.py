from pathlib import Path

from lab.bench.ticking_agent import PLACES, Ring


def test_late_ticks_are_read_by_another_who_opens_the_file(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring")
    for number in range(5):
        ring.add(100.0 + number, number / 1000)

    assert Ring(tmp_path / "ring").late_s(101.0, 103.0) == [0.001, 0.002, 0.003]


def test_the_newest_ticks_take_the_place_of_the_oldest(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "ring")
    for number in range(PLACES + 3):
        ring.add(float(number), 0.0)

    assert len(ring.late_s(0.0, PLACES + 3.0)) == PLACES
