import re
import xml.etree.ElementTree as xml
from typing import Any

import pytest

from lab.bench.comparing import Compared, Found, as_data
from lab.bench.comparisons import BY_NAME
from lab.bench.moving import Measured
from lab.bench.report import Machine, Section, Table, as_rich, brief, page, section_of, table_of

MACHINE = Machine("2 processors", (0.1, 0.2, 0.3), "2026-01-01 00:00 UTC")


@pytest.fixture(scope="module", autouse=True)
def _fonts() -> None:
    """matplotlib keeps its fonts open once it has drawn a word, which is no leak of a test."""
    section_of(compared())


def a_round(number: int, pages: int, dirty: int) -> dict[str, Any]:
    return {
        "round": number,
        "pages": pages,
        "seconds": pages * 1e-5,
        "dirty_pages_at_end": dirty,
        "wire_bytes": pages * 4096,
    }


def a_run(total_s: float) -> Measured:
    predicted = {"total_s": total_s * 1.1, "curve": [[0.0, 0], [1.0, 4096_000]]}
    return Measured(
        total_s=total_s,
        blackout_s=0.004,
        cpu_s=0.5,
        wire_bytes=1 << 28,
        memory_bytes=1 << 28,
        prepare_s=0.2,
        gap_s=0.005,
        rounds=[a_round(0, 65536, 900), a_round(1, 900, 20), a_round(2, 20, 0)],
        predicted=predicted,
    )


def compared() -> Compared:
    first, second, third, *_ = BY_NAME["rounds"].cases
    found = [
        Found(first, [a_run(1.0), a_run(2.0), a_run(3.0)]),
        Found(second, [a_run(2.0), a_run(2.0), a_run(2.0)]),
        Found(third, missing="There is no migration policy <of> that name."),
    ]
    return Compared(BY_NAME["rounds"], 1 << 28, found, [3e9], ["There is no QEMU here."])


def test_a_case_is_told_beside_the_first_of_the_same_round() -> None:
    rows = table_of(compared()).rows

    assert rows[0][:3] == ["2008 R2: ten rounds", "1.00 (1.00 to 1.00)", "2.00 (1.00 to 3.00)"]
    assert rows[1][1] == "1.00 (0.67 to 2.00)"


def test_what_cannot_be_had_says_why_in_a_sentence() -> None:
    assert table_of(compared()).rows[2] == [
        "downtime 100 ms",
        "not available: There is no migration policy <of> that name.",
    ]
    assert "no migration policy" in str(as_rich(brief(compared())).caption)


def test_data_has_every_run() -> None:
    data = as_data(compared())

    assert [len(case["runs"]) for case in data["cases"]] == [3, 3, 0]
    assert data["cases"][1]["total_to_first"] == {
        "median": 1.0,
        "min": 2 / 3,
        "max": 2.0,
        "count": 3,
    }


def test_a_report_is_one_file_that_reads_nothing_from_elsewhere() -> None:
    section = section_of(compared())

    text = page("hvlab & bench", MACHINE, "hvlab bench rounds", [section])

    assert len(section.pictures) == 4
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(h", text)
    assert "There is no migration policy &lt;of&gt; that name." in text
    assert "load average before it began: 0.10, 0.20, 0.30" in text
    for drawn in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert xml.fromstring(drawn).tag.endswith("svg")


def test_a_verdict_stands_out() -> None:
    rows = [("blackout", "held"), ("gap", "missed by 3 ms")]
    section = Section("goals", "", [Table("", ["what", "verdict"], rows)])

    text = page("t", MACHINE, "c", [section])

    assert '<td class="held">held</td>' in text
    assert '<td class="missed">missed by 3 ms</td>' in text
