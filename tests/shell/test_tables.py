import io
from typing import Any

import rich.console

from shell import tables
from shell.session import Renderables

RECORD: dict[str, Any] = {
    "attempt": 3,
    "vm": "sql01",
    "source": "node1",
    "target": "node2",
    "network": "migration",
    "outcome": "completed",
    "reason": "The rest fits into the allowed downtime.",
    "total_s": 1.25,
    "blackout_s": 0.015,
    "blackout": {"pause": 0.001, "last pages": 0.0105, "commit": 0.0035},
    "rounds": [
        {
            "round": 0,
            "pages": 262144,
            "zero_pages": 1024,
            "wire_bytes": 1069547520,
            "seconds": 0.8,
            "dirty_pages_at_end": 16384,
        }
    ],
    "wire_bytes": 1069547520,
    "goodput_bytes_per_s": 1342177280.0,
    "verified": True,
    "predicted": None,
}


def printed(parts: Renderables) -> str:
    out = io.StringIO()
    console = rich.console.Console(file=out, width=80)
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    return out.getvalue()


def test_a_record_tells_rounds_blackout_throughput_and_verdict() -> None:
    text = printed(tables.record(RECORD))

    assert "Migration 3 of sql01 from node1 to node2: completed in 1,250 ms (The rest fits" in text
    rounds = next(line.split() for line in text.splitlines() if "262,144" in line)
    assert rounds == ["0", "262,144", "1,024", "1,020.0", "800.0", "1,280", "16,384", "80"]
    assert "Blackout: 15.0 ms = pause 1.0 ms + last pages 10.5 ms + commit 3.5 ms" in text
    assert "1,280 MiB/s of guest memory, 1,020 MiB on network migration" in text
    assert "byte-identical" in text


def test_a_failed_attempt_says_that_the_guest_was_not_stopped() -> None:
    failed = {**RECORD, "outcome": "failed", "reason": "node2 is gone", "blackout": {}}

    text = printed(tables.record(failed))

    assert "failed in 1,250 ms (node2 is gone)." in text
    assert "Blackout: none, the guest was not stopped." in text
    assert "Throughput" not in text


def test_memory_that_differs_is_never_called_verified() -> None:
    assert "NOT verified" in printed(tables.record({**RECORD, "verified": False}))
    assert "Not verified: ask" in printed(tables.record({**RECORD, "verified": None}))


def test_a_cluster_without_quorum_says_so() -> None:
    data = {
        "cluster": "demo",
        "leader": "coordinator",
        "term": 4,
        "quorum": {
            "mode": "NodeMajority",
            "votes": 4,
            "present": 2,
            "needed": 3,
            "has_quorum": False,
        },
        "nodes": [{"name": "node1", "state": "Up", "votes": 1, "vms": ["sql01", "web01"]}],
        "networks": [],
        "groups": [],
        "volumes": [],
    }

    text = printed(tables.status(data))

    assert "Cluster demo: NO QUORUM, 2 of 4 votes (3 needed, NodeMajority)" in text
    assert "sql01, web01" in text


def test_status_tells_the_witness_who_forced_who_stands_by_and_what_waits() -> None:
    data = {
        **{"cluster": "demo", "leader": None, "term": 4, "followers": ["c2", "c3"]},
        "quorum": {
            **{"mode": "NodeAndDiskMajority", "votes": 5, "present": 2, "needed": 3},
            **{"has_quorum": False, "forced": True, "may_fail": 0},
            "witness": {"name": "W", "kind": "Disk", "state": "Held", "holder": "node1"},
        },
        "waiting": "There is no quorum: start more nodes.",
        "waits": [{"group": "sql01", "reason": "no node has the memory."}],
        **{"nodes": [], "networks": [], "groups": [], "volumes": []},
    }

    text = printed(tables.status(data))

    assert "Witness W: Held by node1" in text
    assert "Quorum is FORCED" in text
    assert "No coordinator leads here; the newest term is 4; c2, c3 stand by" in text
    assert "Failover waits, and guests run on where they may: There is no quorum" in text
    assert "sql01 waits: no node has the memory." in text


def test_before_a_cluster_is_formed_the_free_nodes_are_named() -> None:
    assert "in none: node1, node2" in printed(
        tables.status({"cluster": None, "available": ["node1", "node2"]})
    )


def test_brackets_in_a_text_are_not_taken_for_markup() -> None:
    assert "[red]" in printed([tables.vms([{"name": "[red]", "state": "Online"}])])


def test_a_record_says_how_long_it_waited_for_a_coordinator() -> None:
    assert "Waited 7,500 ms" in printed(tables.record({**RECORD, "waited_s": 7.5}))
    assert "Waited" not in printed(tables.record({**RECORD, "waited_s": 0.0}))
