import json
from dataclasses import replace
from typing import Any

from coordinator.leadership.leading import Phase
from coordinator.migration.attempts import Seen
from coordinator.migration.conduct import Conducted
from coordinator.migration.migrations import Travelling
from coordinator.shown.picture import Picture, picture_of
from protocol.messages import RoundRecord
from protocol.names import AttemptId, Decision, NetworkName, Outcome, Step, VmName
from tests.coordinator.ground import MIB
from tests.coordinator.stage import WEB, Stage

# The words of the contract for scripts: stable, in this order where people read them.
STATUS = ["cluster", "leader", "term", "quorum", "nodes", "networks", "groups", "volumes"]
STATUS_SINCE = ["cluster_id", "leader_api", "followers", "waits"]
QUORUM = ["mode", "votes", "present", "needed", "has_quorum", "forced", "may_fail", "witness"]
NODE = ["name", "state", "votes", "vms"]
NETWORK = ["name", "state", "role", "metric", "subnet"]
GROUP = ["name", "state", "owner", "epoch"]
VM = ["name", "state", "node", "epoch", "memory_bytes", "workload", "steps", "dirty_bytes_per_s"]
ATTEMPT = [
    *("attempt", "vm", "source", "target", "network", "outcome", "reason", "total_s"),
    *("blackout_s", "blackout", "rounds", "wire_bytes", "goodput_bytes_per_s", "verified"),
    "predicted",
]
ROUND = [
    *("round", "pages", "zero_pages", "wire_bytes", "seconds", "dirty_pages_at_end"),
    *("packed_pages", "delta_pages", "kept_pages", "left_pages", "cpu_s", "throttle"),
]
SEEN = Seen(NetworkName("migration"), (RoundRecord(0, 100, 1, 400_000, 0.1, 7),))


def picture(stage: Stage, phase: Phase = Phase.LEADING) -> Picture:
    return picture_of(stage.scene, phase, {})


def lived_in() -> Stage:
    stage = Stage()
    stage.vm()
    stage.vm(WEB, owner="c", on=False, live=False)
    stage.attempt(
        decision=Decision.COMMITTED,
        outcome=Outcome.COMPLETED,
        ended_at=101.5,
        rounds=SEEN.rounds,
        parts=(("pause", 0.001), ("commit", 0.003)),
        verified=True,
        network="migration",
    )
    return stage


def test_status_has_the_fields_of_the_contract_and_no_others_within() -> None:
    status = picture(lived_in()).status

    assert [key for key in status if key not in STATUS_SINCE] == STATUS
    assert list(status["quorum"]) == QUORUM
    assert {tuple(node) for node in status["nodes"]} == {tuple(NODE)}
    assert {tuple(network) for network in status["networks"]} == {tuple(NETWORK)}
    assert {tuple(group) for group in status["groups"]} == {tuple(GROUP)}
    assert status["volumes"] == []


def test_a_vm_an_attempt_and_its_rounds_have_the_fields_of_the_contract() -> None:
    seen = picture(lived_in())

    assert list(seen.vms[0])[: len(VM)] == VM
    assert list(seen.attempts[0])[: len(ATTEMPT)] == ATTEMPT
    assert list(seen.attempts[0]["rounds"][0]) == ROUND
    assert list(seen.groups[0])[:4] == GROUP


def test_a_picture_is_plain_data_that_later_changes_leave_alone() -> None:
    stage = lived_in()
    seen = picture(stage)
    before = json.dumps([seen.status, seen.vms, seen.nodes, seen.attempts, seen.view])

    stage.vm(epoch=9)
    stage.agent("a").vms.clear()
    stage.die("b")
    assert json.dumps([seen.status, seen.vms, seen.nodes, seen.attempts, seen.view]) == before


def test_what_the_picture_says_of_a_cluster_in_peace() -> None:
    status = picture(lived_in()).status

    assert (status["cluster"], status["leader"], status["term"]) == ("test", "c1", 3)
    assert status["quorum"] == {
        "mode": "NodeMajority",
        "votes": 3,
        "present": 3,
        "needed": 2,
        "has_quorum": True,
        "forced": False,
        "may_fail": 1,
        "witness": None,
    }
    assert status["nodes"][0] == {"name": "a", "state": "Up", "votes": 1, "vms": ["sql01"]}
    assert status["groups"] == [
        {"name": "sql01", "state": "Online", "owner": "a", "epoch": 1},
        {"name": "web01", "state": "Offline", "owner": "c", "epoch": 1},
    ]
    assert {network["state"] for network in status["networks"]} == {"Up"}


def test_who_does_not_lead_says_so_and_why() -> None:
    stage = Stage()
    stage.die("b")
    stage.die("c")
    seen = picture(stage, Phase.GATHERING)

    assert (seen.leads, seen.status["leader"]) == (False, None)
    assert (seen.status["quorum"]["present"], seen.status["quorum"]["has_quorum"]) == (1, False)
    assert "1 votes are heard and 2 are needed" in seen.waiting
    assert picture(stage).waiting == ""


def test_a_vm_shows_what_its_owner_reports_and_runs_only_under_the_rows_epoch() -> None:
    stage = Stage()
    stage.vm(epoch=2)
    shown: dict[str, Any] = picture(stage).vms[0]
    assert (shown["state"], shown["node"], shown["epoch"]) == ("Online", "a", 2)
    assert (shown["memory_bytes"], shown["steps"], shown["running"]) == (64 * MIB, 7, True)

    stage.report("a", epoch=1)
    assert picture(stage).vms[0]["running"] is False
    stage.report("b", epoch=2)
    stage.agent("a").vms.clear()
    assert (picture(stage).vms[0]["running"], picture(stage).vms[0]["steps"]) == (False, 0)


def test_a_vm_that_waits_or_failed_says_why() -> None:
    stage = Stage()
    stage.vm(live=False, waiting="no room")
    stage.vm(VmName("vm2"), live=False, failed="its worker ended")

    shown = picture(stage).vms
    assert [(vm["state"], vm["reason"]) for vm in shown] == [
        ("Offline", "no room"),
        ("Failed", "its worker ended"),
    ]


def test_memory_is_shown_with_what_migrations_have_reserved() -> None:
    stage = Stage(memory_bytes=100 * MIB)
    stage.vm()
    stage.attempt()

    free = {node["name"]: node["memory_free_bytes"] for node in picture(stage).nodes}
    assert free == {"a": 36 * MIB, "b": 36 * MIB, "c": 100 * MIB}


def test_an_attempt_under_way_shows_what_was_seen_of_it_so_far() -> None:
    stage = Stage()
    stage.vm()
    row = stage.attempt()
    conducted = Conducted(Travelling(), 98.0, SEEN, Step.ROUND, pages_sent=40, pages_total=100)
    shown = picture_of(stage.scene, Phase.LEADING, {AttemptId(1): conducted}).attempts[0]

    assert (shown["state"], shown["step"], shown["round"]) == ("Travelling", "S6", 0)
    assert (shown["pages_sent"], shown["pages_total"], shown["since_s"]) == (40, 100, 2.0)
    assert (shown["network"], shown["wire_bytes"], shown["outcome"]) == ("migration", 400_000, None)
    assert row.rounds == (), "no row holds it yet"
    assert picture(stage).attempts[0]["state"] == "Open"


def test_connected_nodes_of_no_cluster_can_be_formed_of_or_joined() -> None:
    stage = Stage()
    assert picture(stage).available == ()
    stage.names = "abcd"
    agent = stage.connect("d")
    agent.welcomed = False
    agent.hello = replace(agent.hello, cluster=None)

    assert [node["name"] for node in picture(stage).available] == ["d"]
    assert [node["name"] for node in picture(stage).nodes] == ["a", "b", "c"]


def test_the_view_tells_who_has_acknowledged_it() -> None:
    stage = Stage()
    held = stage.scene.held
    newest = stage.view("a", "b", "c", number=2, held=held)
    stage.agent("b").acked = newest.number

    view = picture(stage).view
    assert view is not None
    assert (view["number"], view["held"], view["holds"]) == (2, 1, False)
    assert (view["members"], view["acknowledged"]) == (["a", "b", "c"], ["b"])
