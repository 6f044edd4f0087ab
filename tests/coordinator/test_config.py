import pytest

from coordinator.config import CoordinatorConfig, Network
from protocol.names import AttemptId, ClusterId, NetworkName, Term

NETWORK = Network(NetworkName("lan"), "127.1.0.0/16", role=3, metric=1000)


def test_a_token_is_the_same_after_a_restart_and_another_for_every_attempt() -> None:
    one = CoordinatorConfig(lab="lab", leader="c1", secret=b"s")
    again = CoordinatorConfig(lab="lab", leader="c2", secret=b"s")
    other = CoordinatorConfig(lab="lab", leader="c1", secret=b"t")
    cluster = ClusterId("x")

    assert one.token(cluster, AttemptId(1)) == again.token(cluster, AttemptId(1))
    assert one.token(cluster, AttemptId(1)) != one.token(cluster, AttemptId(2))
    assert one.token(cluster, AttemptId(1)) != one.token(ClusterId("y"), AttemptId(1))
    assert one.token(cluster, AttemptId(1)) != other.token(cluster, AttemptId(1))


def test_two_clusters_formed_under_different_terms_have_different_ids() -> None:
    config = CoordinatorConfig(lab="lab", leader="c1")

    assert config.cluster_id("test", Term(1)) != config.cluster_id("test", Term(2))


@pytest.mark.parametrize(
    "settings",
    [
        {"networks": (NETWORK, NETWORK)},
        {"networks": (NETWORK,), "migration_order": (NetworkName("wan"),)},
        {"networks": (NETWORK,), "migration_exclude": (NetworkName("wan"),)},
        {"secret": b""},
    ],
)
def test_settings_that_contradict_each_other_are_refused_at_birth(
    settings: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match=r"same name|no such networks|secret"):
        CoordinatorConfig(lab="lab", leader="c1", **settings)  # type: ignore[arg-type]
