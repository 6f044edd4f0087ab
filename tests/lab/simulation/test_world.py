"""Virtual time, seeded chance, clocks that differ, and a network that loses, cuts and breaks."""

from typing import Any

import pytest

from lab.simulation.net import End, Link, Network, Weather
from lab.simulation.world import Clock, World


def test_events_happen_in_the_order_of_their_times_and_then_of_their_making() -> None:
    world, told = World(1), list[str]()
    world.after(2.0, told.append, "late")
    world.after(1.0, told.append, "first")
    world.after(1.0, told.append, "second")

    world.run(5.0)

    assert told == ["first", "second", "late"]
    assert world.now == 5.0


def test_what_lies_beyond_the_end_waits() -> None:
    world, told = World(1), list[str]()
    world.after(2.0, told.append, "later")

    world.run(1.0)
    assert told == []

    world.run(3.0)
    assert told == ["later"]


def test_the_checker_is_called_after_every_event() -> None:
    world, seen = World(1), list[float]()
    world.after_event = lambda: seen.append(world.now)
    world.after(1.0, lambda: None)
    world.after(2.0, lambda: None)

    world.run(3.0)

    assert seen == [1.0, 2.0]


def test_one_draw_more_in_one_stream_leaves_the_others_as_they_were() -> None:
    one, other = World(5), World(5)
    one.stream("network").random()

    assert one.stream("store").random() == other.stream("store").random()


@pytest.mark.parametrize("rate", [0.996, 1.0, 1.004])
def test_a_clock_tells_when_its_time_comes_in_the_world(rate: float) -> None:
    world = World(1)
    clock = Clock(world, rate, 1234.5)
    world.run(100.0)

    assert clock.in_world(clock.now) == pytest.approx(100.0)
    assert clock.now == pytest.approx(1234.5 + rate * 100.0)


class Pair:
    """A link between `a` and `b`, and what both ends heard."""

    def __init__(self) -> None:
        self.world = World(1)
        self.net = Network(self.world, Weather(patience_s=5.0))
        self.heard: dict[str, list[Any]] = {"a": [], "b": []}
        self.ends = {
            name: End(name, self.heard[name].append, self.heard[name].append) for name in "ab"
        }
        self.link = Link(self.net, "lan", self.ends["a"], self.ends["b"])

    def say(self, *words: str) -> None:
        for word in words:
            self.link.send(self.ends["a"], word)


def test_a_link_keeps_the_order() -> None:
    pair = Pair()
    words = [str(number) for number in range(20)]
    pair.say(*words)

    pair.world.run(1.0)

    assert pair.heard["b"] == words


def test_what_was_sent_into_a_cut_arrives_in_order_when_it_heals_in_time() -> None:
    pair = Pair()
    pair.net.cut(("lan", "a", "b"))
    pair.say("one", "two")
    pair.world.run(2.0)
    assert pair.heard["b"] == []

    pair.net.heal(("lan", "a", "b"))
    pair.world.run(3.0)

    assert pair.heard == {"a": [], "b": ["one", "two"]}


def test_a_cut_that_lasts_breaks_the_senders_end_first() -> None:
    pair = Pair()
    pair.net.cut(("lan", "a", "b"))
    pair.say("lost")

    pair.world.run(7.0)
    assert pair.heard == {"a": ["nothing was acknowledged for too long"], "b": []}

    pair.world.run(12.0)
    assert pair.heard["b"] == ["nothing was heard for too long"]


def test_a_link_that_is_held_up_both_ways_is_looked_at_once_for_each_heal() -> None:
    """Each cut that heals beside it must not double what there is to look at."""
    pair = Pair()
    others = [("lan", "c", str(number)) for number in range(60)]
    for way in (("lan", "a", "b"), ("lan", "b", "a"), *others):
        pair.net.cut(way)
    pair.say("one")
    pair.link.send(pair.ends["b"], "two")
    pair.world.run(1.0)

    for way in (*others, ("lan", "a", "b"), ("lan", "b", "a")):
        pair.net.heal(way)
    pair.world.run(2.0)

    assert pair.heard == {"a": ["two"], "b": ["one"]}


def test_a_closed_end_is_heard_of_after_what_it_said() -> None:
    pair = Pair()
    pair.say("last words")
    pair.link.close(pair.ends["a"], "done")

    pair.world.run(1.0)

    assert pair.heard["b"] == ["last words", "done"]


def test_who_speaks_to_an_end_that_is_gone_is_reset() -> None:
    pair = Pair()
    pair.net.cut(("lan", "b", "a"))
    pair.link.close(pair.ends["b"], "killed")  # nobody hears of it
    pair.say("are you there?")
    pair.world.run(1.0)
    assert pair.heard["a"] == []

    pair.net.heal(("lan", "b", "a"))
    pair.world.run(2.0)

    assert pair.heard["a"] == ["killed"]


def test_cuts_nest_and_count_what_they_hold_up() -> None:
    world = World(1)
    net, heard, way = Network(world), list[Any](), ("lan", "a", "b")
    net.listen("b", lambda _, message: heard.append(message))
    net.cut(way)
    net.cut(way)
    net.heal(way)
    net.send("lan", "a", "b", "lost")
    world.run(1.0)
    assert (heard, net.lost[way]) == ([], 1)

    net.heal(way)
    net.send("lan", "a", "b", "heard")
    world.run(2.0)

    assert heard == ["heard"]


def test_datagrams_are_lost_and_doubled_as_the_weather_says() -> None:
    world = World(1)
    net, heard = Network(world, Weather(loss=0.2, duplicates=0.3)), list[Any]()
    net.listen("b", lambda _, message: heard.append(message))
    for number in range(1000):
        net.send("lan", "a", "b", number)
    world.run(10.0)

    assert 750 < len(set(heard)) < 850
    assert 250 < len(heard) - len(set(heard)) < 350
