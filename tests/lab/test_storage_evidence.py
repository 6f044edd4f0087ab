"""The join of the san's log with disks and guests, on right and on wrong evidence."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.storage_evidence import EntryFound, Findings, Owned, Verdict, judged
from san.io.evidence import KeysSeen, Seen, WriteSeen

A, B = "iqn.2026-01.hvlab:a,i,0x1", "iqn.2026-01.hvlab:b,i,0x1"
LIFE_A, LIFE_B = b"aaaaaaa", b"bbbbbbb"
KEY_A, KEY_B = (int.from_bytes(life + b"\x01", "big") for life in (LIFE_A, LIFE_B))
LEDGER, HEAD_BLOCKS, FIRST_LBA = 0xABC, 16, 1000


class Story:
    """A owns the disk and runs the guest; then A is fenced, and B does."""

    def __init__(self) -> None:
        self.log: list[Seen] = []
        self.entries: list[EntryFound] = []
        self.counted = {LEDGER: 6}
        self.owners = [Owned(0, 1, LIFE_A), Owned(0, 2, LIFE_B)]
        self.keys((A, KEY_A), (B, KEY_B))
        self.write(A, KEY_A, 0)
        for number in (1, 2, 3):
            self.append(number, 1, A, KEY_A)
        self.keys((B, KEY_B))
        self.write(B, KEY_B, 0)
        for number in (4, 5, 6):
            self.append(number, 2, B, KEY_B)

    def keys(self, *pairs: tuple[str, int]) -> None:
        self.log.append(KeysSeen(len(self.log), 0, len(self.log), pairs))

    def write(self, writer: str, key: int, lba: int, xxh64: int = 0) -> None:
        self.log.append(WriteSeen(len(self.log), writer, key, 0, lba, 1, xxh64))

    def append(self, number: int, epoch: int, writer: str, key: int) -> None:
        entry = EntryFound(
            LEDGER, number, epoch, number - 1, number, 0, FIRST_LBA + number, 7000 + number
        )
        self.entries.append(entry)
        self.write(writer, key, entry.lba, entry.xxh64)

    def judged(self) -> Findings:
        return judged(self.log, self.entries, self.counted, self.owners, 2, HEAD_BLOCKS)


def test_a_fence_and_a_new_owner_are_right_and_so_is_a_write_that_was_under_way() -> None:
    story = Story()
    story.append(7, 2, B, KEY_B)
    story.append(8, 2, B, KEY_B)

    assert story.judged() == Findings((), ())
    assert story.judged().verdict is Verdict.PASS


def _write_without_a_registration(story: Story) -> None:
    story.write(A, KEY_A, 500)


def _write_with_anothers_key(story: Story) -> None:
    story.write(A, KEY_B, 500)


def _deposed_owner_signs(story: Story) -> None:
    story.keys((A, KEY_A), (B, KEY_B))
    story.write(A, KEY_A, 1)


def _stranger_signs(story: Story) -> None:
    key = int.from_bytes(b"ccccccc\x01", "big")
    story.keys((B, KEY_B), ("c", key))
    story.write("c", key, 1)


def _acknowledged_entry_lost(story: Story) -> None:
    del story.entries[4]


def _last_acknowledged_entry_lost(story: Story) -> None:
    story.entries.pop()


def _entry_repeated(story: Story) -> None:
    story.entries.append(replace(story.entries[2], lba=FIRST_LBA + 77))


def _link_broken(story: Story) -> None:
    story.entries[3] = replace(story.entries[3], link=99)


def _epoch_goes_back(story: Story) -> None:
    story.entries[5] = replace(story.entries[5], epoch=1)


def _more_on_disk_than_may_be(story: Story) -> None:
    for number in (7, 8, 9):
        story.append(number, 2, B, KEY_B)


def _old_epoch_taken_after_the_new_one(story: Story) -> None:
    story.keys((A, KEY_A), (B, KEY_B))
    story.write(A, KEY_A, FIRST_LBA + 3, 7003)


@pytest.mark.parametrize(
    ("hurt", "says"),
    [
        (_write_without_a_registration, "which was not registered"),
        (_write_with_anothers_key, "which was not registered"),
        (_deposed_owner_signs, "which was deposed"),
        (_stranger_signs, "which never owned it"),
        (_acknowledged_entry_lost, "entry 5 of ledger abc was acknowledged and is lost"),
        (_last_acknowledged_entry_lost, "entry 6 of ledger abc was acknowledged and is lost"),
        (_entry_repeated, "has entry 3 twice"),
        (_link_broken, "entry 4 of ledger abc does not follow entry 3"),
        (_epoch_goes_back, "is of epoch 1, after one of epoch 2"),
        (_more_on_disk_than_may_be, "has entry 9 on disk, and its guest had counted 6"),
        (_old_epoch_taken_after_the_new_one, "entry 3 of ledger abc under epoch 1 after epoch 2"),
    ],
)
def test_wrong_evidence_fails(hurt: Callable[[Story], None], says: str) -> None:
    story = Story()
    hurt(story)

    found = story.judged()

    assert found.verdict is Verdict.FAIL
    assert any(says in sentence for sentence in found.wrong), found


def _no_log_of_an_entry(story: Story) -> None:
    story.log = [seen for seen in story.log if getattr(seen, "xxh64", 0) != 7002]


def _nobody_looked_at_the_guest(story: Story) -> None:
    story.counted = {0x1: 1, LEDGER: 6}
    story.entries.append(EntryFound(0x1, 1, 1, 0, 1, 0, FIRST_LBA + 50, 1))


def _no_registrations_logged(story: Story) -> None:
    story.log = [seen for seen in story.log if isinstance(seen, WriteSeen)]


@pytest.mark.parametrize(
    ("hurt", "says"),
    [
        (_no_log_of_an_entry, "entry 2 of ledger abc is in no log"),
        (_nobody_looked_at_the_guest, "entry 1 of ledger 1 is in no log"),
        (_no_registrations_logged, "names no registrations"),
    ],
)
def test_evidence_that_is_missing_is_no_success(hurt: Callable[[Story], None], says: str) -> None:
    story = Story()
    hurt(story)

    found = story.judged()

    assert found.verdict is Verdict.INCONCLUSIVE
    assert any(says in sentence for sentence in found.unknown), found


def test_a_lab_in_which_nothing_was_written_proves_nothing() -> None:
    assert judged([], [], {}, [], 2, HEAD_BLOCKS).verdict is Verdict.INCONCLUSIVE
