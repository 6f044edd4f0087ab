"""The measurement of codecs measures what it says, on very little memory."""

from lab.bench import codecs

MIB = 1 << 20


def test_every_way_carries_the_same_memory_and_has_its_figures() -> None:
    found = codecs.codecs(2 * MIB, 1, lambda _line: None)
    assert list(found) == ["text", "random", "delta"]
    for results in found.values():
        assert results[0].name == "as they are"
        assert results[0].faster == [1.0]
        assert all(len(result.seconds) == len(result.faster) == 1 for result in results)
    plain, delta = found["delta"]
    assert plain.shares[0] >= 1
    assert delta.shares[0] <= 0.15
    data = codecs.as_data(found)
    assert data["wire_bytes_per_s"] == 118_000_000
    assert codecs.as_table("title", found).row_count == 9
