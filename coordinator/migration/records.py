"""What is kept of every attempt, in the words of the contract for scripts."""

from collections.abc import Iterable
from typing import Any

from coordinator.migration import travels
from coordinator.migration.predictions import explained_data, predicted_data
from coordinator.scene import Scene
from coordinator.store.plain import round_data, travel_data
from coordinator.store.rows import AttemptRow
from protocol.messages import Part, RoundRecord
from protocol.names import PAGE_BYTES, AttemptId, Epoch, NodeName, Verify, VmName

PART_ORDER = ("pause", "last pages", "verify", "storage", "commit", "resume", "announce")


def merged(
    known: tuple[tuple[str, float], ...], more: Iterable[Part]
) -> tuple[tuple[str, float], ...]:
    """Parts of the blackout in their order; a part that is told again is not added twice."""
    parts = {**dict(known), **{part.name: part.seconds for part in more}}
    rank = {name: index for index, name in enumerate(PART_ORDER)}
    return tuple(sorted(parts.items(), key=lambda part: rank.get(part[0], len(rank))))


def with_round(rounds: tuple[RoundRecord, ...], record: RoundRecord) -> tuple[RoundRecord, ...]:
    """`rounds` with one more; told again, it takes the place of the one of the same number."""
    kept = {known.round: known for known in rounds}
    kept[record.round] = record
    return tuple(kept[number] for number in sorted(kept))


def unbegun(
    scene: Scene,
    attempt: AttemptId,
    vm: VmName,
    target: NodeName | None,
    policy: str,
    verify: Verify,
) -> AttemptRow:
    """The row of an attempt in which no life of a node takes part yet, asked for now."""
    here = scene.book.vms.get(vm)
    return AttemptRow(
        id=attempt,
        vm=vm,
        source=NodeName("") if here is None else here.owner,
        source_incarnation=None,
        target=target,
        target_incarnation=None,
        epoch=Epoch(0) if here is None else here.epoch,
        policy=policy,
        verify=verify,
        asked_at=scene.wall,
    )


def goodput_bytes_per_s(rounds: tuple[RoundRecord, ...]) -> float:
    """Guest memory moved per second of copying, whatever it took on the wire."""
    seconds = sum(record.seconds for record in rounds)
    pages = sum(record.pages for record in rounds)
    return pages * PAGE_BYTES / seconds if seconds > 0 else 0.0


def rate_bytes_per_s(row: AttemptRow) -> int:
    """The least limit that applies to it, also of the network that it goes over; 0: none does."""
    on_network = 0 if row.network is None else dict(row.rates).get(row.network, 0)
    return travels.least(row.travel.rate_bytes_per_s, on_network)


def record_of(row: AttemptRow) -> dict[str, Any]:
    """The record of the attempt: None is not known (yet), `blackout_s` the sum of its parts."""
    ended = row.ended_at
    return {
        "attempt": row.id,
        "vm": row.vm,
        "source": row.source,
        "target": row.target,
        "network": row.network,
        "outcome": None if row.outcome is None else row.outcome.value,
        "reason": row.reason,
        "total_s": None if ended is None else max(0.0, ended - row.asked_at),
        "blackout_s": sum(seconds for _, seconds in row.parts) if row.parts else None,
        "blackout": dict(row.parts),
        "rounds": [round_data(record) for record in row.rounds],
        "wire_bytes": sum(record.wire_bytes for record in row.rounds),
        "goodput_bytes_per_s": goodput_bytes_per_s(row.rounds),
        "verified": row.verified,
        "predicted": predicted_data(row),
        "explained": explained_data(row),
        "waited_s": row.waited_s,
        "policy": row.policy,
        "verify": row.verify.value,
        "travel": {**travel_data(row.travel), "rate_bytes_per_s": rate_bytes_per_s(row)},
        "priority": None if row.priority is None else row.priority.value,
        "queued_s": row.queued_s,
        "decision": row.decision.value,
        "asked_at": row.asked_at,
        "ended_at": ended,
    }
