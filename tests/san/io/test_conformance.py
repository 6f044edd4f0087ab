"""The target under tools that are not ours: libiscsi's, and its conformance suite.

Every test of the families below passes, or stands in docs/san.md with the reason for which it does
not, and nothing else stands there.
"""

import re
import shutil
from pathlib import Path

import pytest

from tests.san.io.serving import TARGET, serving, told

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("iscsi-test-cu") is None, reason="libiscsi-bin is missing"),
]

FAMILIES = (
    *("TestUnitReady", "Inquiry", "Mandatory", "ModeSense6", "NoMedia", "ReadOnly"),
    *("PrinReadKeys", "PrinServiceactionRange", "PrinReportCapabilities"),
    *("ProutRegister", "ProutReserve", "ProutClear", "ProutPreempt"),
    *("Read6", "Read10", "Read12", "Read16", "ReadCapacity10", "ReadCapacity16", "StartStopUnit"),
    *("Unmap", "Write10", "Write12", "Write16", "WriteSame10", "WriteSame16"),
    *("Verify10", "Verify12", "Verify16", "WriteVerify10", "WriteVerify12", "WriteVerify16"),
    *("iSCSIcmdsn", "iSCSIdatasn", "iSCSIResiduals", "iSCSITMF"),
    *("MultipathIO.Simple", "MultipathIO.Reset"),
)
DOCS = Path(__file__).parents[3] / "docs/san.md"
TEST = re.compile(r"^(Suite: (?P<suite>\S+)|  Test: (?P<test>\S+) \.\.\.)", re.MULTILINE)


def outcomes(said: str) -> dict[str, str]:
    """`suite.test` to passed, skipped or failed."""
    found: dict[str, str] = {}
    suite = ""
    marks = list(TEST.finditer(said))
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        if mark["suite"]:
            suite = mark["suite"]
            continue
        text = said[mark.end() : after.start() if after else len(said)]
        text = text.partition("Run Summary")[0]
        word = "passed" if re.search(r"^\s*passed|passed$", text, re.MULTILINE) else "failed"
        if word == "passed" and "[SKIPPED]" in text:
            word = "skipped"
        found[f"{suite}.{mark['test']}"] = word
    return found


def documented() -> dict[str, str]:
    rows = re.findall(r"^\| `([\w.-]+)` \| (skipped|failed) \| .+ \|$", DOCS.read_text(), re.M)
    return dict(rows)


async def test_the_conformance_suite_passes_but_for_what_is_documented(tmp_path: Path) -> None:
    wanted = ",".join(f"ALL.{family}" for family in FAMILIES)
    async with serving(tmp_path) as san:
        _, said = await told("iscsi-test-cu", "-d", "-v", "-t", wanted, san.url, san.url)
        assert await san.stop() == 0

    found = outcomes(said)
    assert len(found) >= 140, said[-2000:]
    assert {name: word for name, word in found.items() if word != "passed"} == documented()


async def test_the_tools_of_libiscsi_see_the_disk(tmp_path: Path) -> None:
    async with serving(tmp_path) as san:
        _, listed = await told("iscsi-ls", "-s", san.portal)
        _, inquired = await told("iscsi-inq", san.url)
        _, page = await told("iscsi-inq", "-e", "1", "-c", "128", san.url)
        _, capacity = await told("iscsi-readcapacity16", san.url)

    assert TARGET in listed
    assert "Lun:0" in listed
    assert "Vendor:HVLAB" in inquired
    assert san.ready["luns"]["data"] in page
    assert f"Total size:{64 << 20}" in capacity
