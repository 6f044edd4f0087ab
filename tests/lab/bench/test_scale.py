"""What a measurement of a cluster at rest says."""

from dataclasses import replace

from lab.bench.scale import FULL, Rest, Size, in_words, topology

REST = Rest(FULL, (0.1, 0.2, 0.15), (0.02, 0.03), 1000, (), 0, 100 << 20)


def test_a_cluster_at_rest_is_judged_by_its_cost_and_by_who_is_taken_for_dead() -> None:
    assert REST.trouble is None
    assert "25%" in str(replace(REST, coordinator=(0.2, 0.3)).trouble)
    assert "node1" in str(replace(REST, downs=("Node node1 was removed.",)).trouble)
    assert "quorum" in str(replace(REST, quorum_losses=1).trouble)
    assert "999 of 1000" in str(replace(REST, online=999).trouble)
    assert REST.as_data()["trouble"] is None
    assert dict(in_words(REST))["coordinator, % of a core"] == "15.0 (10.0 - 20.0)"


def test_the_real_half_of_the_cluster_is_what_the_lab_starts() -> None:
    found = topology(Size(real=3, networks=2))
    assert (list(found.nodes), list(found.networks)) == (
        ["node1", "node2", "node3"],
        ["net1", "net2"],
    )
