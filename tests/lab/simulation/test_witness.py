"""The simulated witness: one writer wins, whoever gave up may still have written, cuts are per
node.
"""

from typing import Any

from lab.simulation.net import Network
from lab.simulation.store import Trouble
from lab.simulation.witness import Failed, Seen, SimWitness, way_to
from lab.simulation.world import World


class Place:
    """A witness, and what its users were answered."""

    def __init__(self) -> None:
        self.world = World(1)
        self.net = Network(self.world)
        self.witness = SimWitness(self.world, self.net, "/disk")
        self.told: list[Any] = []

    def read(self, node: str = "node1") -> None:
        self.witness.read(node, self.told.append)

    def write(self, version: int, record: str, node: str = "node1") -> None:
        self.witness.write_if(node, version, record, self.told.append)

    def run(self, seconds: float = 5.0) -> list[Any]:
        self.world.run(self.world.now + seconds)
        told, self.told[:] = list(self.told), []
        return told


def test_of_two_who_read_the_same_version_one_writes() -> None:
    place = Place()
    place.write(0, "mine", "node1")
    place.write(0, "yours", "node2")

    assert sorted(place.run()) == [False, True]
    place.read()
    assert [seen.version for seen in place.run()] == [1]


def test_a_witness_that_only_one_side_sees_answers_only_that_side() -> None:
    place = Place()
    place.net.cut(way_to("node2"))
    place.read("node1")
    place.read("node2")

    seen, failed = place.run()

    assert seen == Seen(0, None)
    assert isinstance(failed, Failed)


def test_a_write_that_nobody_is_told_of_is_done_all_the_same() -> None:
    place = Place()
    place.witness.trouble = Trouble(answer_lost=1.0)
    place.write(0, "mine")

    assert isinstance(place.run()[0], Failed)
    assert place.witness.record == "mine"


def test_a_late_write_loses_to_whoever_wrote_meanwhile() -> None:
    place = Place()
    place.witness.trouble = Trouble(request_late=1.0, late_s=(5.0, 5.0))
    place.write(0, "late")
    place.witness.trouble = SimWitness.CALM
    place.run(3.0)
    place.write(0, "early")

    assert place.run(10.0) == [True]
    assert place.witness.record == "early"


def test_what_was_kept_comes_back_under_a_higher_version() -> None:
    place = Place()
    place.write(0, "old")
    place.run()
    place.witness.keep()
    place.write(1, "new")
    place.run()

    place.witness.put_back()

    assert (place.witness.version, place.witness.record) == (3, "old")
