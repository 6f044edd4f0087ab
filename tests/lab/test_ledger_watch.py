"""Which life of a node there was at a moment, from what was seen of it."""

from typing import cast

from lab.cluster import Cluster
from lab.ledger_watch import Watch


def test_the_life_of_a_moment_is_the_newest_that_was_seen_by_then_and_at_first_the_first() -> None:
    watch = Watch(cast(Cluster, None), {})
    watch.lives["node1"] = [(100.0, "node1-a"), (200.0, "node1-b")]

    assert watch.life_at("node1", 50.0) == "node1-a"
    assert watch.life_at("node1", 150.0) == "node1-a"
    assert watch.life_at("node1", 200.0) == "node1-b"
    assert watch.life_at("node2", 150.0) is None
