"""Joins what a SAN logged with what lies on its disks and what guests were told, after the fact.

Nobody who was hurt is asked: the san's log says who wrote what in which order and who was
registered then, the disks hold the entries of ledgers, and the workers' shared memory held how many
entries each guest had counted. Pure: lists in, findings out.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from protocol.disks import KEY_BYTES
from san.io.evidence import KeysSeen, Kind, Seen, WriteSeen


@dataclass(frozen=True, slots=True)
class EntryFound:
    """One entry of a ledger, as it lies on a LUN. `xxh64` is of its blocks."""

    owner: int
    sequence: int
    epoch: int
    link: int
    sum: int
    lun: int
    lba: int
    xxh64: int


@dataclass(frozen=True, slots=True)
class Owned:
    """A disk came online under `epoch` at a life whose keys begin with `life`."""

    lun: int
    epoch: int
    life: bytes


class Verdict(enum.Enum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, and what could not be said."""

    wrong: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        if self.wrong:
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if self.unknown else Verdict.PASS


def judged(
    log: Sequence[Seen],
    entries: Sequence[EntryFound],
    counted: Mapping[int, int],
    owners: Sequence[Owned],
    window: int,
    head_blocks: int,
) -> Findings:
    """`counted`: by ledger, the most entries that its guest was seen to have counted. `window`:
    how many may be on disk beyond those. `head_blocks`: of a LUN, where its owner signs.
    """
    wrong = [*unregistered(log), *owners_out_of_turn(log, owners, head_blocks)]
    unknown = []
    by_ledger: dict[int, list[EntryFound]] = {}
    for entry in entries:
        by_ledger.setdefault(entry.owner, []).append(entry)
    for ledger in sorted({*by_ledger, *counted}):
        found = sorted(by_ledger.get(ledger, []), key=lambda entry: entry.sequence)
        wrong += broken_chain(ledger, found, counted.get(ledger, 0), window)
        late, missing = epochs_out_of_turn(ledger, found, log)
        wrong += late
        unknown += missing
        if ledger not in counted:
            unknown.append(f"nobody saw how many entries ledger {ledger:x} had counted")
    if not any(isinstance(seen, KeysSeen) for seen in log):
        unknown.append("the san's log names no registrations")
    if not any(counted.values()):
        unknown.append("no guest has counted a single entry")
    return Findings(tuple(wrong), tuple(unknown))


def unregistered(log: Iterable[Seen]) -> list[str]:
    """Writes by whom the log does not show as registered at that moment, once anybody is."""
    keys: dict[int, set[tuple[str, int]]] = {}
    wrong = []
    for seen in log:
        if isinstance(seen, KeysSeen):
            keys[seen.lun] = set(seen.keys)
        elif keys.get(seen.lun) and (seen.writer, seen.key) not in keys[seen.lun]:
            wrong.append(
                f"LUN {seen.lun} took a write of {seen.writer} at block {seen.lba} with the key"
                f" {seen.key:016x}, which was not registered (at {seen.at_ns / 1e9:.6f} s)"
            )
    return wrong


def owners_out_of_turn(log: Iterable[Seen], owners: Iterable[Owned], head_blocks: int) -> list[str]:
    """Whoever signs the head of a LUN has come to own it, in the order of the epochs: a deposed
    owner that writes there again is out of turn.
    """
    wrong = []
    turns: dict[int, list[bytes]] = {}
    for owned in sorted(owners, key=lambda one: one.epoch):
        turns.setdefault(owned.lun, []).append(owned.life)
    at: dict[int, int] = {}
    for seen in log:
        if not isinstance(seen, WriteSeen) or seen.lba >= head_blocks or not seen.key:
            continue
        life = seen.key.to_bytes(KEY_BYTES, "big")[:-1]
        wanted, now = turns.get(seen.lun, []), at.get(seen.lun, 0)
        later = [number for number in range(now, len(wanted)) if wanted[number] == life]
        if later:
            at[seen.lun] = later[0]
        elif wanted:
            what = "was deposed" if life in wanted else "never owned it"
            wrong.append(
                f"LUN {seen.lun} took a signature of the life {life.hex()}, which {what}"
                f" (at {seen.at_ns / 1e9:.6f} s)"
            )
    return wrong


def broken_chain(ledger: int, found: Sequence[EntryFound], counted: int, window: int) -> list[str]:
    """Entries from the first to the last that was counted, each once, each linked to the one
    before, under epochs that only grow. What is behind may be there or not, within the window.
    """
    by_number: dict[int, EntryFound] = {}
    wrong = []
    for entry in found:
        twin = by_number.setdefault(entry.sequence, entry)
        if twin is not entry:
            wrong.append(f"ledger {ledger:x} has entry {entry.sequence} twice")
    for number in range(1, counted + 1):
        here, before = by_number.get(number), by_number.get(number - 1)
        if here is None:
            wrong.append(f"entry {number} of ledger {ledger:x} was acknowledged and is lost")
        elif before is not None and here.link != before.sum:
            wrong.append(f"entry {number} of ledger {ledger:x} does not follow entry {number - 1}")
        elif before is not None and here.epoch < before.epoch:
            wrong.append(
                f"entry {number} of ledger {ledger:x} is of epoch {here.epoch}, after one of"
                f" epoch {before.epoch}"
            )
    last = max(by_number, default=0)
    if last > counted + window:
        wrong.append(
            f"ledger {ledger:x} has entry {last} on disk, and its guest had counted {counted}"
        )
    return wrong


def epochs_out_of_turn(
    ledger: int, found: Iterable[EntryFound], log: Iterable[Seen]
) -> tuple[list[str], list[str]]:
    """No entry of an older epoch was taken after the first of a newer one, by the san's own order;
    and entries of which the log knows nothing.
    """
    written: dict[tuple[int, int, int], list[int]] = {}
    for turn, seen in enumerate(log):
        if isinstance(seen, WriteSeen) and seen.kind is Kind.WRITE:
            written.setdefault((seen.lun, seen.lba, seen.xxh64), []).append(turn)
    first: dict[int, int] = {}
    last: dict[int, tuple[int, int]] = {}
    missing = []
    for entry in found:
        turns = written.get((entry.lun, entry.lba, entry.xxh64))
        if turns is None:
            missing.append(f"entry {entry.sequence} of ledger {ledger:x} is in no log of the san")
            continue
        first[entry.epoch] = min(first.get(entry.epoch, turns[0]), turns[0])
        newest = last.get(entry.epoch, (-1, 0))
        last[entry.epoch] = max(newest, (turns[-1], entry.sequence))
    wrong = []
    for epoch, (turn, sequence) in sorted(last.items()):
        newer = [other for other, began in first.items() if other > epoch and began < turn]
        if newer:
            wrong.append(
                f"the san took entry {sequence} of ledger {ledger:x} under epoch {epoch} after"
                f" epoch {min(newer)} had begun"
            )
    return wrong, missing
