"""What each step of the demonstration must have shown: facts in, a verdict in a sentence out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from protocol.names import PAGE_BYTES
from shell.amounts import mib_per_s, ms

Row = Mapping[str, Any]

COMING_ONLINE = 1200
MID_COPY = ("S5", "S6")
STALL_MAX_S = 3.0
"""Steps are told about once a second, so a guest that runs never seems to stand for longer."""


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` None: what should have been shown did not come about, so nothing is proved."""

    ok: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Sample:
    """What a guest had done at a moment."""

    at: float
    steps: int


def judge(claims: Iterable[tuple[bool, str]], proved: str) -> Check:
    """The first claim that does not hold is the verdict; else what is `proved`."""
    for holds, trouble in claims:
        if not holds:
            return Check(False, trouble)
    return Check(True, proved)


def restarts(events: Iterable[Row], vm: str) -> list[Row]:
    """The events that tell of a start of `vm`."""
    return [event for event in events if event["id"] == COMING_ONLINE and event["vm"] == vm]


def created(vm: Row, later: Row) -> Check:
    return judge(
        [
            (vm["state"] == "Online", f"{vm['name']} is {vm['state']}, not Online"),
            (later["steps"] > vm["steps"], f"the guest of {vm['name']} does nothing"),
        ],
        f"{vm['name']} is Online on {vm['node']}, and its guest works",
    )


def migrated(record: Row, vms: Sequence[Row], events: Sequence[Row]) -> Check:
    """`vms`: the VM before the migration, after it and later; `events`: what happened meanwhile."""
    name, target = record["vm"], record["target"]
    before, after, later = vms
    steps = [vm["steps"] for vm in vms]
    rounds = record["rounds"]
    return judge(
        [
            (
                record["outcome"] == "completed",
                f"the migration {record['outcome']}: {record['reason']}",
            ),
            (record["verified"] is True, "the memory was not byte-identical at the switch"),
            (
                bool(rounds) and _looked_at_bytes(rounds[0]) >= before["memory_bytes"],
                "round 0 did not see all pages",
            ),
            (bool(record["blackout"]), "the record lacks the parts of the blackout"),
            (
                later["node"] == target and later["state"] == "Online",
                f"{name} is {later['state']} on {later['node']}, not Online on {target}",
            ),
            (
                after["epoch"] == before["epoch"] + 1 == later["epoch"],
                f"the epoch went from {before['epoch']} to {later['epoch']} with one migration",
            ),
            (
                not restarts(events, name),
                f"{name} was started anew, so its guest did not go on where it was",
            ),
            (
                all(one < other for one, other in pairwise(steps)),
                f"the guest did not go on where it was: its steps were {steps}",
            ),
        ],
        f"memory byte-identical; the guest went on where it was ({steps[0]:,} steps before, "
        f"{steps[1]:,} after) and stood for {ms(record['blackout_s'])} at "
        f"{mib_per_s(record['goodput_bytes_per_s'])}",
    )


def two_at_once(records: Sequence[Row]) -> Check:
    """Both completed, on nodes that they do not share, and for a while side by side."""
    one, other = records
    nodes = [node for record in records for node in (record["source"], record["target"])]
    ended = [record["ended_at"] for record in records]
    failed = [record for record in records if record["outcome"] != "completed"]
    if failed:
        return Check(False, f"the migration of {failed[0]['vm']} failed: {failed[0]['reason']}")
    if len(set(nodes)) != len(nodes):
        return Check(False, f"the pairs of nodes are not disjoint: {', '.join(nodes)}")
    together_s = min(ended) - max(record["asked_at"] for record in records)
    if together_s <= 0:
        return Check(None, "one migration had ended before the other began")
    return Check(True, f"{one['vm']} and {other['vm']} travelled side by side for {ms(together_s)}")


def refused(answer: Row | None, vm: str, before: Row, after: Row) -> Check:
    """`answer`: status, code, message and record of the refusal; None: it was accepted."""
    if answer is None:
        return Check(False, f"a migration of {vm} was accepted while its node took part in another")
    record = answer.get("record") or {}
    return judge(
        [
            (
                (answer["status"], answer["code"]) == (409, "node-busy"),
                f"it was refused for another reason: {answer['message']}",
            ),
            (record.get("outcome") == "refused", "the refusal left no record"),
            (
                (after["node"], after["epoch"]) == (before["node"], before["epoch"]),
                f"{vm} was touched all the same",
            ),
        ],
        f"refused as it should be: {answer['message']}",
    )


def longest_stall_s(samples: Sequence[Sample]) -> float:
    """The longest time in which a guest was not seen to do anything."""
    if not samples:
        return 0.0
    moved_at, steps, longest = samples[0].at, samples[0].steps, 0.0
    for sample in samples[1:]:
        longest = max(longest, sample.at - moved_at)
        if sample.steps > steps:
            moved_at, steps = sample.at, sample.steps
    return longest


def target_killed(
    record: Row, step: str, samples: Sequence[Sample], vm: Row, events: Sequence[Row]
) -> Check:
    """`step`: where the migration was when its target was killed; empty if it never got so far."""
    name, source = record["vm"], record["source"]
    if step not in MID_COPY or record["outcome"] == "completed":
        return Check(None, "the migration had ended before its target could be killed in mid-copy")
    stall_s = longest_stall_s(samples)
    return judge(
        [
            (record["outcome"] == "failed", f"the outcome is {record['outcome']}, not failed"),
            (bool(record["reason"]), "the record does not say why it failed"),
            (not record["blackout"], "the guest was stopped although it had nowhere to go"),
            (
                vm["node"] == source and vm["state"] == "Online",
                f"{name} is {vm['state']} on {vm['node']}, not Online on {source}",
            ),
            (not restarts(events, name), f"{name} was started anew"),
            (
                len(samples) > 1 and samples[-1].steps > samples[0].steps,
                f"the guest of {name} did nothing any more",
            ),
            (stall_s <= STALL_MAX_S, f"the guest of {name} stood for {stall_s:.1f} s"),
        ],
        f"the guest never stopped on {source} ({samples[-1].steps - samples[0].steps:,} steps "
        f"meanwhile): {record['reason']}",
    )


def rejoined(node: Row, had_quorum: bool) -> Check:
    return judge(
        [
            (node["state"] == "Up", f"{node['name']} is {node['state']}, not Up"),
            (had_quorum, "the cluster lost its quorum meanwhile"),
        ],
        f"{node['name']} is Up again",
    )


def failed_over(
    victim: Row,
    lost: Sequence[Row],
    now: Sequence[Row],
    later: Sequence[Row],
    events: Sequence[Row],
    bystander: Sequence[Row],
) -> Check:
    """`lost`: the VMs as they were on the victim; `now` and `later`: how they are elsewhere;
    `bystander`: a VM of another node, before and after.
    """
    claims = [
        (bool(lost), "there was no VM on the node that was killed"),
        (victim["state"] == "Down", f"{victim['name']} is {victim['state']}, not Down"),
    ]
    for before, after, last in zip(lost, now, later, strict=True):
        name, starts = before["name"], restarts(events, before["name"])
        claims += [
            (
                after["state"] == "Online" and after["node"] != victim["name"],
                f"{name} is {after['state']} on {after['node']}",
            ),
            (len(starts) == 1, f"{name} was started {len(starts)} times"),
            (
                all(
                    (event["node"], event["epoch"]) == (last["node"], last["epoch"])
                    for event in starts
                ),
                f"{name} runs where, or under an epoch with which, it was not started",
            ),
            (
                before["epoch"] < after["epoch"] == last["epoch"],
                f"the epochs of {name} were {before['epoch']}, {after['epoch']}, {last['epoch']}",
            ),
            (last["steps"] > after["steps"], f"the guest of {name} does nothing"),
        ]
    first, last = bystander
    claims += [
        (
            (first["node"], first["epoch"]) == (last["node"], last["epoch"]),
            f"{first['name']}, on another node, was touched",
        ),
        (last["steps"] > first["steps"], f"the guest of {first['name']}, elsewhere, stood still"),
    ]
    places = ", ".join(f"{vm['name']} on {vm['node']} under epoch {vm['epoch']}" for vm in now)
    return judge(claims, f"started once each: {places}")


def ended(still_running: Sequence[int], folder_is_left: bool) -> Check:
    pids = ", ".join(map(str, still_running))
    return judge(
        [(not still_running, f"still running: pid {pids}"), (not folder_is_left, "files are left")],
        "every process has ended, and nothing is left",
    )


def _looked_at_bytes(record: Row) -> int:
    """Of a round: pages that travelled, and those that were left since they were written again."""
    return int(record["pages"] + record["left_pages"]) * PAGE_BYTES
