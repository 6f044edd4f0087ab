"""One story again and again, and each time another answer of the store is lost."""

from collections.abc import Callable

import pytest

from coordinator.actions import Transact
from coordinator.requests import CreateVm, FormCluster, PauseNode, ResumeNode, StopVm
from coordinator.store.interface import Conflict, Indefinite, Result
from protocol.names import VmName
from tests.coordinator.driver import World
from tests.coordinator.ground import MOVE, SQL, TIMING, A, B, C, spec


def story(world: World) -> World:
    """Form, create, move, drain, kill a node, bring it back: every transaction but joins."""
    world.all_hear_all()
    world.begin()
    world.connect()
    world.ask(FormCluster("test", (A, B, C), TIMING))
    world.after(1)
    world.ask(CreateVm(SQL, spec(), A, True))
    world.ask(CreateVm(VmName("web01"), spec(), C, True))
    world.after(2)
    world.ask(MOVE)
    world.after(2)
    world.ask(PauseNode(B, True))
    world.after(4)
    world.ask(ResumeNode(B))
    world.after(1)
    world.die("a")
    world.after(10)
    world["a"].reborn()
    world.connect("a")
    world.all_hear_all()
    world.after(4)
    world.ask(StopVm(VmName("web01")))
    world.after(3)
    return world


Spoiler = Callable[[Transact, Callable[[], Result]], Result]


def spoiler(world: World, at: int, how: str) -> tuple[Spoiler, list[int]]:
    """Spoils transaction number `at`; the list counts them."""
    count = [0]

    def spoil(action: Transact, honest: Callable[[], Result]) -> Result:
        count[0] += 1
        if count[0] != at:
            return honest()
        if how == "applied":
            honest()
        return Conflict(()) if how == "conflict" else Indefinite("the wire broke")

    return spoil, count


@pytest.mark.parametrize("how", ["applied", "lost", "conflict"])
def test_the_story_ends_the_same_whichever_answer_of_the_store_is_lost(how: str) -> None:
    expected = story(World())
    rows = without_stamps(expected)
    at = 0
    while True:
        at += 1
        world = World()
        world.spoil, count = spoiler(world, at, how)
        story(world)
        assert without_stamps(world) == rows, f"transaction {at}, {how}"
        assert world.running() == expected.running()
        assert world.events() == expected.events(), f"transaction {at}, {how}"
        if count[0] < at:
            break
    assert at > 20


def without_stamps(world: World) -> dict[str, object]:
    """All rows but the log, without what depends on the moment."""
    kept: dict[str, object] = {}
    for row in world.store.range("", limit=100_000):
        if not row.key.startswith(("event/", "counter")):
            assert row.value is not None
            fleeting = ("by", "asked_at", "ended_at", "joined_at", "restarted_at")
            kept[row.key] = {k: v for k, v in row.value.items() if k not in fleeting}
    return kept
