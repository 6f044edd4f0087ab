"""A check that an operator waits for is answered by who was asked, and for what was asked."""

import pytest

from coordinator.requests import Accepted, CheckSharedVolume
from protocol.messages import CheckVolume, VolumeChecked
from protocol.names import Epoch
from tests.coordinator.driver import World
from tests.coordinator.storage.stories import owner_of, shared


def asked() -> tuple[World, CheckVolume, str]:
    """The owner, which it names, was asked and has not answered yet."""
    world, _, disk = shared()
    assert world.ask(CheckSharedVolume("Volume1")) is None
    order = world.sent(CheckVolume)[-1].message
    assert isinstance(order, CheckVolume)
    return world, order, owner_of(world, disk)


def say(world: World, name: str, order: CheckVolume, epoch: Epoch) -> None:
    agent = world[name]
    head = agent.known, agent.term, agent.incarnation
    agent.say(VolumeChecked(*head, order.disk, epoch, order.check, 3, ()))
    world.drain()


def test_the_owner_that_was_asked_answers_the_operator() -> None:
    world, order, owner = asked()

    say(world, owner, order, order.epoch)

    body = {"volume": "Volume1", "epoch": order.epoch, "files": 3, "sound": True, "findings": []}
    assert Accepted(body) in world.answers.values()


@pytest.mark.parametrize("wrong", ["node", "epoch"])
def test_an_answer_to_another_question_is_no_answer(wrong: str) -> None:
    world, order, owner = asked()
    other = next(name for name in "abc" if name != owner)

    if wrong == "node":
        say(world, other, order, order.epoch)
    else:
        say(world, owner, order, Epoch(order.epoch - 1))

    assert not [a for a in world.answers.values() if isinstance(a, Accepted) and "sound" in a.body]
