"""What every witness must do, wherever it lies. A port's tests inherit from this and give `port`,
which makes one more way to the same witness each time it is called.
"""

import threading
from collections.abc import Callable

from agent.witness_record import WitnessPort, WitnessRecord
from protocol.names import (
    ClusterId,
    Incarnation,
    NodeName,
    ViewNumber,
    VoteConfig,
    Witness,
    WitnessKind,
)

Ways = Callable[[], WitnessPort]
WRITERS, ROUNDS = 8, 12
VOTES = VoteConfig(
    3,
    ((NodeName("a"), 1), (NodeName("b"), 1)),
    witness=Witness("w", WitnessKind.DISK, "/w"),
    witness_votes=1,
)


def record(holder: str, view: int = 1) -> WitnessRecord:
    return WitnessRecord(
        ClusterId("c"), 3, ViewNumber(view), Incarnation(holder), NodeName("a"), 7.0, VOTES
    )


class WitnessPortContract:
    """Compare and set, and nothing else."""

    def test_a_new_witness_has_no_record(self, port: Ways) -> None:
        assert port().read() == (0, None)

    def test_what_was_written_is_read_by_everybody(self, port: Ways) -> None:
        assert port().write_if(0, record("a#1"))

        assert port().read() == (1, record("a#1"))
        assert port().write_if(1, record("", view=9))
        assert port().read() == (2, record("", view=9))

    def test_who_names_another_version_than_the_newest_does_not_write(self, port: Ways) -> None:
        for version in range(40):
            assert port().write_if(version, record("a#1", version))

        for stale in (0, 1, 20, 39, 41, 100):
            assert not port().write_if(stale, record("b#1"))

        assert port().read() == (40, record("a#1", 39))

    def test_of_many_who_name_the_same_version_one_writes(self, port: Ways) -> None:
        won: list[tuple[int, str]] = []

        def race(name: str) -> None:
            way = port()
            for _ in range(ROUNDS):
                version, _ = way.read()
                if way.write_if(version, record(name, version)):
                    won.append((version, name))

        racers = [threading.Thread(target=race, args=(f"n{n}",)) for n in range(WRITERS)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()

        versions = [version for version, _ in won]
        assert len(versions) == len(set(versions)), "one version was written twice"
        newest, found = port().read()
        assert found is not None
        assert newest == max(versions) + 1
        assert (newest - 1, found.holder) in won
