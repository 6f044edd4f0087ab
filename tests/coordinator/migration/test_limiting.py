"""Limits of nodes and networks, as operators set them."""

import pytest

from coordinator.events import RequestId
from coordinator.migration.limiting import SetLimit
from coordinator.networks.network_plans import ChangeNetwork
from coordinator.requests import SetNetwork
from protocol.names import NetworkName, NodeName
from tests.coordinator.stage import A, Stage, ids_of

ASKER = RequestId(1)
CSV = NetworkName("csv")


def test_a_node_is_limited_and_freed_again() -> None:
    stage = Stage()

    draft = stage.write(SetLimit(ASKER, A, 118_000_000))
    assert stage.scene.book.nodes[A].migration_rate_bytes_per_s == 118_000_000
    assert (ids_of(draft), "at most 118MB/s" in draft.notes[0].text) == ([9052], True)

    draft = stage.write(SetLimit(ASKER, A, 0))
    assert stage.scene.book.nodes[A].migration_rate_bytes_per_s == 0
    assert "no limit" in draft.notes[0].text


@pytest.mark.parametrize(
    ("node", "rate", "code"), [("x", 10**6, "unknown-node"), ("a", 5, "bad-rate")]
)
def test_what_cannot_be_limited_is_refused(node: str, rate: int, code: str) -> None:
    assert Stage().declined(SetLimit(ASKER, NodeName(node), rate)).code == code


def test_a_network_is_limited_without_its_role_and_metric_being_touched() -> None:
    stage = Stage()
    wanted = SetNetwork(CSV, migration_rate_bytes_per_s=10**7)

    draft = stage.write(ChangeNetwork(ASKER, wanted))

    row = stage.scene.book.networks[CSV]
    assert (row.role, row.metric, row.migration_rate_bytes_per_s) == (None, None, 10**7)
    assert "at most 10MB/s" in draft.notes[-1].text
    stage.write(ChangeNetwork(ASKER, SetNetwork(CSV, role=3)))
    assert stage.scene.book.networks[CSV].migration_rate_bytes_per_s == 10**7
    refused = stage.declined(ChangeNetwork(ASKER, SetNetwork(CSV, migration_rate_bytes_per_s=5)))
    assert refused.code == "bad-rate"
