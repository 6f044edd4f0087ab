import pytest

from lab.bench.qemu_words import (
    LOST,
    MULTIFD,
    PACKED,
    PLAIN,
    POST_COPY,
    TIGHT,
    Heard,
    QemuLoad,
    argv,
    gap_s,
    read_version,
    why_not_well,
)


def heard(first: int, count: int, began: float = 0.0, bits: int = 0) -> Heard:
    found = Heard()
    for number in range(count):
        found.add(began + number * 0.005, bytes([(first + number) & 0x7F | bits]))
    return found


def names(way_capabilities: list[dict[str, object]]) -> list[object]:
    return [word["capability"] for word in way_capabilities]


def test_each_way_says_what_it_needs_of_qemu() -> None:
    assert names([dict(word) for word in PLAIN.capabilities]) == ["events"]
    assert names([dict(word) for word in POST_COPY.capabilities]) == ["events", "postcopy-ram"]
    assert MULTIFD.parameters["multifd-channels"] == 2
    assert PACKED.parameters["multifd-compression"] == "zstd"
    assert TIGHT.parameters["downtime-limit"] == 5


def test_the_guest_is_told_pages_for_each_tick_and_pages_of_its_set() -> None:
    load = QemuLoad(20_000_000, 64 << 20)

    assert load.words == "guest 5 16384"
    assert load.sweep_s == pytest.approx(3.36, rel=0.01)
    assert QemuLoad().words == "guest 0 0"


def test_a_machine_has_the_memory_that_it_was_given() -> None:
    words = argv(
        "qemu", ("1024", "memory-backend-ram,id=ram0"), "k", QemuLoad(), {"beats": "b", "qmp": "q"}
    )

    assert words[words.index("-m") + 1] == "size=1024B"
    assert "pc,memory-backend=ram0" in words
    assert "unix:q,server=on,wait=off" in words


def test_a_gap_lies_between_the_last_beat_here_and_the_first_there() -> None:
    assert gap_s(heard(0, 3, 1.0), heard(3, 2, 1.05)) == pytest.approx(0.04)


def test_a_guest_that_goes_on_counting_is_well() -> None:
    assert why_not_well(heard(120, 10), heard(2, 5, 1.0)) == ""


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Heard(), "says nothing"),
        (heard(9, 3), "After beat 4 came 9"),
        (heard(5, 3, bits=LOST), "not as it left it"),
    ],
)
def test_a_guest_that_is_silent_or_forgot_or_lost_a_page_is_not_well(
    target: Heard, why: str
) -> None:
    assert why in why_not_well(heard(0, 5), target)


def test_a_version_is_read_as_debian_writes_it() -> None:
    text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"

    assert read_version(text) == (10, 0)
    with pytest.raises(ValueError, match="names no version"):
        read_version("command not found")
