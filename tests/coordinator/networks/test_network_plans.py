"""What operators may change of networks, and what they are told."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.config import Network
from coordinator.events import RequestId
from coordinator.networks.network_plans import ChangeNetwork, OrderMigration, Readdress, readdressed
from coordinator.networks.networks import as_member, migration_networks, networks_of
from coordinator.requests import (
    Accepted,
    Declined,
    FormCluster,
    SetMigrationNetworks,
    SetNetwork,
)
from coordinator.store.network_rows import METRIC_MAX, effective, with_automatic_metrics
from coordinator.store.rows import VIEW
from protocol.messages import Migrate, ProposeView, RouteReport
from protocol.names import NetworkName, NodeName
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import MOVE, NETWORKS, TIMING
from tests.coordinator.stage import Stage, ids_of, rows_of

ASKER = RequestId(1)
CSV, COPY, LAN = (network.name for network in NETWORKS)


def change(network: str = "csv", **what: Any) -> ChangeNetwork:
    return ChangeNetwork(ASKER, SetNetwork(NetworkName(network), **what))


def order(*names: str, exclude: tuple[str, ...] = ()) -> OrderMigration:
    body = SetMigrationNetworks(tuple(map(NetworkName, names)), tuple(map(NetworkName, exclude)))
    return OrderMigration(ASKER, body)


def metrics(stage: Stage) -> dict[str, tuple[int, bool]]:
    return {n.name: (n.metric, n.auto_metric) for n in networks_of(stage.scene)}


# ---- automatic metrics


def automatic(name: str, gateway: bool = False, metric: int | None = None) -> Network:
    role = 3 if gateway else 1
    return Network(NetworkName(name), "10.0.0.0/24", role, metric or 0, gateway, metric is None)


def test_automatic_metrics_step_by_100_from_1000_and_with_a_gateway_from_10000() -> None:
    given = with_automatic_metrics(
        [automatic("a"), automatic("b", True), automatic("c"), automatic("d", True)]
    )

    assert [network.metric for network in given] == [1000, 10000, 1100, 10100]


def test_a_metric_of_its_own_takes_no_step_and_the_others_follow_by_rule() -> None:
    stage = Stage()
    stage.write(change("csv", auto_metric=True))
    stage.write(change("migration", auto_metric=True))
    assert metrics(stage)["migration"] == (1100, True)

    stage.write(change("csv", metric=900))
    assert metrics(stage) == {
        "csv": (900, False),
        "migration": (1000, True),
        "management": (10000, False),
    }
    stage.write(change("csv", auto_metric=True))
    assert (metrics(stage)["csv"], metrics(stage)["migration"]) == ((1000, True), (1100, True))


def test_auto_metric_false_keeps_the_metric_that_there_is() -> None:
    stage = Stage()
    stage.write(change("migration", auto_metric=True))

    stage.write(change("migration", auto_metric=False))

    assert metrics(stage)["migration"] == (1000, False)


def test_a_row_of_a_network_that_is_not_configured_any_more_says_nothing() -> None:
    stage = Stage()
    stage.write(change("csv", metric=5))

    assert effective(NETWORKS[1:], stage.scene.book.networks) == NETWORKS[1:]


# ---- what is refused

REFUSED = [
    (change("migraton", role=1), "unknown-network", "did you mean 'migration'?"),
    (change("zzz", role=1), "unknown-network", "there is csv, migration, management."),
    (change(), "bad-setting", "Nothing of network csv is to change"),
    (change(role=2), "bad-role", "Role 2 is none"),
    (change(role=True), "bad-role", "Role True is none"),
    (change(metric=0), "bad-metric", "it is 1 to 268435455"),
    (change(metric=METRIC_MAX + 1), "bad-metric", "Metric 268435456"),
    (change(metric=5, auto_metric=True), "bad-setting", "exclude each other"),
    (order("csv", "manegement"), "unknown-network", "did you mean 'management'?"),
    (order("csv", "csv"), "bad-order", "csv more than once"),
    (order("csv", exclude=("csv",)), "bad-order", "tried and excluded"),
    (order(exclude=("csv", "migration", "management")), "no-network-left", "leave at least one"),
]


@pytest.mark.parametrize(("plan", "code", "words"), REFUSED)
def test_what_is_wrong_is_said_in_a_sentence_and_nothing_is_written(
    plan: Any, code: str, words: str
) -> None:
    refusal = Stage().declined(plan)

    assert (refusal.code, words in refusal.sentence) == (code, True), refusal


@pytest.mark.parametrize("metric", [1, METRIC_MAX])
def test_the_ends_of_the_range_are_in_it(metric: int) -> None:
    stage = Stage()

    stage.write(change(metric=metric))

    assert metrics(stage)["csv"] == (metric, False)


# ---- role 0


def test_the_last_network_for_the_cluster_stays() -> None:
    stage = Stage()
    stage.write(change("csv", role=0))
    stage.write(change("management", role=0))

    refusal = stage.declined(change("migration", role=0))

    assert (refusal.status, refusal.code) == (409, "last-cluster-network")
    assert "5066" in refusal.sentence


def test_the_last_network_on_which_two_nodes_reach_each_other_stays() -> None:
    stage = Stage()
    stage.agent("a").routes = tuple(
        RouteReport(NodeName(node), name, node != "b" or name == CSV)
        for node in "bc"
        for name in (CSV, COPY, LAN)
    )

    refusal = stage.declined(change("csv", role=0))

    assert "nodes a and b reach each other (code 5066)" in refusal.sentence
    stage.write(change("migration", role=0))


def test_a_network_of_role_0_leaves_the_view_and_comes_back_with_its_role() -> None:
    stage = Stage()
    assert readdressed(stage.scene) is None

    stage.write(change("csv", role=0))
    view = rows_of(stage.draft(Readdress()))[VIEW]
    assert all(CSV not in dict(member["addresses"]) for member in view["members"])
    assert [m["incarnation"] for m in view["members"]] == ["a-1", "b-1", "c-1"]
    assert ids_of(stage.write(Readdress())) == []
    assert readdressed(stage.scene) is None  # it is still to hold

    stage.write(change("csv", role=1))
    assert Readdress().draft(stage.scene) is None


def addresses_proposed(world: World) -> set[str]:
    newest = world.sent(ProposeView)[-1].message
    assert isinstance(newest, ProposeView)
    members = newest.view.members
    return {network for member in members for network, _ in member.endpoint.addresses}


def test_agents_hear_of_a_network_that_is_closed_and_opened_while_the_cluster_runs() -> None:
    world = formed()

    assert isinstance(world.ask(SetNetwork(CSV, role=0)), Accepted)
    world.after(3.0)
    assert addresses_proposed(world) == {COPY, LAN}
    assert world.row(VIEW)["held"]

    world.ask(SetNetwork(CSV, role=1))
    world.after(3.0)
    assert addresses_proposed(world) == {CSV, COPY, LAN}
    assert world.row(VIEW)["held"]


# ---- the order of live migration


def tried(stage: Stage) -> list[str]:
    a, b = stage.agent("a").as_member(), stage.agent("b").as_member()
    return list(migration_networks(stage.scene, a, b))


def test_one_order_counts_for_the_next_migration_of_any_vm() -> None:
    stage = Stage()
    assert tried(stage) == ["migration", "management", "csv"]

    draft = stage.write(order("management", "csv"))
    assert tried(stage) == ["management", "csv"]
    assert "management, csv" in draft.notes[0].text

    stage.write(order(exclude=("migration",)))
    assert tried(stage) == ["management", "csv"]
    stage.write(order())
    assert tried(stage) == ["migration", "management", "csv"]


def test_the_answer_tells_the_order_and_warns_where_csv_shares_it() -> None:
    world = formed("ab")

    shared = world.ask(SetMigrationNetworks((CSV, COPY), ()))
    apart = world.ask(SetMigrationNetworks((COPY, CSV), ()))

    assert isinstance(shared, Accepted)
    assert isinstance(apart, Accepted)
    assert shared.body["effective"] == ["csv", "migration"]
    assert "Cluster Shared Volumes share network csv" in shared.body["warning"]
    assert apart.body["warnings"] == []


def test_warnings_name_a_gateway_a_lone_network_and_role_0() -> None:
    stage = Stage()
    stage.scene.config = _with_gateway(stage)

    stage.write(order("management"))
    warnings = order("management").answer(stage.scene)["warnings"]
    assert ["default gateway" in warnings[0], "only one" in warnings[1]] == [True, True]

    stage.write(change("csv", role=0))
    stage.write(order("migration", "csv"))
    warnings = order().answer(stage.scene)["warnings"]
    assert any("Network csv has role 0" in warning for warning in warnings)


def _with_gateway(stage: Stage) -> Any:
    networks = (*NETWORKS[:2], replace(NETWORKS[2], gateway=True))
    return replace(stage.scene.config, networks=networks)


# ---- what outlives a leader, and who begins with a closed network


def test_another_leader_reads_what_was_set() -> None:
    world = formed("ab")
    world.ask(SetNetwork(CSV, metric=20000))
    world.ask(SetMigrationNetworks((COPY,), (LAN,)))

    second = another(world)
    second.begin()
    second.connect()
    second.after(1.0)

    networks = {n["name"]: n for n in second.core.picture().networks}
    assert (networks["csv"]["metric"], networks["csv"]["auto_metric"]) == (20000, False)
    assert [n for n, data in networks.items() if data["csv"]] == ["migration"]
    assert second.core.picture().migration["exclude"] == ["management"]


def test_a_network_that_is_configured_with_role_0_is_in_no_view() -> None:
    stage = Stage()
    closed = (replace(NETWORKS[0], role=0), *NETWORKS[1:])
    stage.scene.config = replace(stage.scene.config, networks=closed)

    member = as_member(stage.scene, stage.agent("a"))

    assert {network for network, _ in member.endpoint.addresses} == {COPY, LAN}
    assert tried(stage) == ["management", "migration"]  # by metric; the lowest left carries CSV


def test_a_node_that_is_only_on_closed_networks_is_not_taken_in() -> None:
    world = World("ab")
    scene = world.core._desk.scene
    scene.config = replace(scene.config, networks=tuple(replace(n, role=0) for n in NETWORKS))
    world.begin()
    world.connect()

    refusal = world.ask(FormCluster("test", (NodeName("a"), NodeName("b")), TIMING))

    assert isinstance(refusal, Declined)
    assert (refusal.code, "1569" in refusal.sentence) == ("no-cluster-network", True)


def test_a_migration_that_is_told_to_may_use_a_network_of_role_0() -> None:
    world = with_vm(formed("ab"))
    world.ask(SetNetwork(CSV, role=0))
    world.ask(SetMigrationNetworks((CSV, LAN), ()))
    world.after(3.0)

    world.ask(MOVE)
    world.after(1.0)

    order = world.sent(Migrate)[0].message
    assert isinstance(order, Migrate)
    assert order.networks == (CSV, LAN)
    assert CSV in dict(order.target.endpoint.addresses)
