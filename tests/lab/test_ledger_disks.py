"""Entries are found wherever they lie on a LUN, and only whole ones."""

from pathlib import Path

import numpy as np
import xxhash

from agent.guests.sealed import ENTRY, seal
from lab.ledger_disks import LUN_BLOCK_BYTES, entries_on

ENTRY_BYTES = 4096


def test_whole_entries_are_found_and_torn_ones_are_not(tmp_path: Path) -> None:
    disk = np.zeros((8, ENTRY_BYTES), np.uint8)
    first = seal(disk[2], ENTRY, 77, 1, 3, 0)
    seal(disk[5], ENTRY, 77, 2, 4, first)
    seal(disk[6], ENTRY, 77, 3, 4, 5)
    disk[6, 2000] ^= 1
    path = tmp_path / "data1.img"
    path.write_bytes(disk.tobytes())

    one, two = entries_on(path, 9, ENTRY_BYTES)

    assert (one.owner, one.sequence, one.epoch, one.link, one.sum) == (77, 1, 3, 0, first)
    assert (two.sequence, two.epoch, two.link) == (2, 4, first)
    assert (one.lun, one.lba) == (9, 2 * ENTRY_BYTES // LUN_BLOCK_BYTES)
    assert one.xxh64 == xxhash.xxh64_intdigest(disk[2].tobytes())
