"""How pages travel where nobody or somebody says so, and at which rate."""

from dataclasses import replace

import pytest

from coordinator.events import RequestId
from coordinator.membership.properties import Configure
from coordinator.migration import travels
from coordinator.migration.attempts import Open
from coordinator.requests import Declined
from coordinator.store.network_rows import NetworkRow, network_key
from coordinator.store.rows import CLUSTER
from protocol.names import AttemptId, NetworkName, NodeName, Outcome, Personality, Verify
from protocol.travel import AS_USUAL, Compress, Marking, Travel
from tests.coordinator.stage import SQL, A, B, Stage

ASKER = RequestId(1)
FIRST = AttemptId(1)
MB = 10**6


def with_places(stage: Stage, places: int) -> Stage:
    cluster = stage.scene.book.cluster
    assert cluster is not None
    stage.put(CLUSTER, replace(cluster, personality=Personality.R2012).data())
    stage.write(Configure(ASKER, (("MigrationsPerNode", places),)))
    return stage


def limited(stage: Stage, network: str, rate_bytes_per_s: int) -> None:
    name = NetworkName(network)
    row = NetworkRow(name, migration_rate_bytes_per_s=rate_bytes_per_s)
    stage.put(network_key(name), row.data())


def test_a_cluster_that_was_never_told_moves_vms_as_protocol_travel_says() -> None:
    stage = Stage()

    assert travels.usual(stage.scene.book) == AS_USUAL
    assert travels.places(stage.scene.book) == 1


def test_the_properties_of_the_cluster_are_its_defaults() -> None:
    stage = Stage()
    settings = (
        *(("MigrationStreams", 4), ("MigrationCompression", "Auto")),
        *(("MigrationCompressionLevel", 3), ("MigrationDeltaCache", 64)),
        *(("MigrationKeptPages", 1), ("MigrationRate", 118), ("MigrationDowntime", 20)),
    )
    stage.write(Configure(ASKER, settings))

    usual = travels.usual(stage.scene.book)
    assert usual == Travel(
        *(4, Compress.AUTO, 3, 64 << 20, True), rate_bytes_per_s=118 * MB, downtime_s=0.02
    )
    chosen = travels.chosen(stage.scene.book, (("streams", 2), ("marking", Marking.SENT)))
    assert chosen == replace(usual, streams=2, marking=Marking.SENT)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MigrationStreams", 17, "1 to 16"),
        ("MigrationCompression", "gzip", "off, auto or zstd"),
        ("MigrationCompressionLevel", 0, "1 to 19"),
        ("MigrationRate", -1, "0 to 100000 MB/s"),
        ("MigrationsPerNode", 2, "2012r2"),
    ],
)
def test_a_default_that_nobody_can_carry_out_is_refused(
    name: str, value: int | str, words: str
) -> None:
    refusal = Stage().declined(Configure(ASKER, ((name, value),)))

    assert words in refusal.sentence


def test_the_least_of_all_limits_counts_and_none_is_none() -> None:
    assert travels.least(0, 0) == travels.least() == 0
    assert travels.least(0, 5, 0, 3) == 3


def test_a_migration_is_as_fast_as_both_its_nodes_allow() -> None:
    stage = Stage()
    stage.node("a", migration_rate_bytes_per_s=80 * MB)
    stage.node("b", migration_rate_bytes_per_s=50 * MB)

    def rate(own: int, *nodes: NodeName) -> int:
        travel = Travel(rate_bytes_per_s=own)
        return travels.limited(stage.scene, travel, *nodes).rate_bytes_per_s

    assert rate(0, A, B) == 50 * MB
    assert rate(20 * MB, A, B) == 20 * MB
    assert rate(0, A) == 80 * MB
    assert rate(0, NodeName("c")) == 0


def test_where_several_may_go_at_once_each_has_its_share_and_the_limit_is_never_exceeded() -> None:
    stage = with_places(Stage(), 3)
    stage.node("a", migration_rate_bytes_per_s=90 * MB)
    stage.node("b", migration_rate_bytes_per_s=2 * MB)
    limited(stage, "migration", 60 * MB)
    scene = stage.scene

    assert travels.limited(scene, AS_USUAL, A).rate_bytes_per_s == 30 * MB
    assert travels.limited(scene, AS_USUAL, B).rate_bytes_per_s == 1 * MB, "never below the least"
    assert travels.network_rates(scene) == (("migration", 20 * MB),)


def test_an_attempt_keeps_the_rates_of_the_moment_when_it_began() -> None:
    stage = Stage()
    stage.vm()
    stage.node("a", migration_rate_bytes_per_s=80 * MB)
    limited(stage, "migration", 60 * MB)
    limited(stage, "csv", 0)
    stage.write(Open(ASKER, SQL, B, "2008r2", Verify.OFF, (("streams", 2),)))

    stage.node("a", migration_rate_bytes_per_s=1 * MB)
    row = stage.scene.book.attempts[FIRST]
    assert row.travel == Travel(streams=2, rate_bytes_per_s=80 * MB)
    assert row.rates == (("migration", 60 * MB),)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (("streams", 17), "streams is 17; it must be 1 to 16"),
        (("rate_bytes_per_s", 10), "at least 1000000"),
        (("downtime_s", 9999.0), "0 to 3600"),
    ],
)
def test_a_choice_that_nobody_can_carry_out_is_refused_and_leaves_its_record(
    choice: tuple[str, object], words: str
) -> None:
    stage = Stage()
    stage.vm()

    draft = stage.write(Open(ASKER, SQL, B, "2008r2", Verify.OFF, (choice,)))

    assert isinstance(draft.answer, Declined)
    assert (draft.answer.status, draft.answer.code) == (422, "bad-travel")
    assert words in draft.answer.sentence
    row = stage.scene.book.attempts[FIRST]
    assert (row.outcome, row.travel) == (Outcome.REFUSED, AS_USUAL)


def test_a_network_is_set_back_to_no_limit_by_nought() -> None:
    stage = Stage()
    limited(stage, "csv", 5 * MB)
    limited(stage, "csv", 0)

    assert travels.network_rates(stage.scene) == ()
