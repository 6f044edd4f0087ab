"""Whatever dies, freezes or loses its path: what a departed life can write stays where it is."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.actions import Transact
from coordinator.requests import CreateVm, MoveClusterDisk
from coordinator.storage import fences
from coordinator.storage.fences import Admit, Banish, TakeFenced
from coordinator.store.disk_rows import DiskRow, DiskState, Registrant, disk_key
from coordinator.store.interface import Applied, Indefinite, Result
from coordinator.store.rows import VIEW, ViewRow
from protocol.disks import GENERATION_LAST, DiskId, FencedLife, key_of_life
from protocol.names import NodeName, VmName
from tests.coordinator.driver import World, another
from tests.coordinator.stage import Stage, life
from tests.coordinator.storage.san import San
from tests.coordinator.storage.stories import on_volume, shared

DISK = DiskId("6001")


class Watched:
    """A world in which every transaction is held against the obvious rule before it counts."""

    def __init__(self) -> None:
        self.world, self.san, self.disk = shared()
        self.world.ask(CreateVm(VmName("sql01"), on_volume(), None, True))
        self.world.after(2)
        self.lose_next = 0
        self.watch()

    def watch(self) -> None:
        self.world.spoil = self.judged

    def judged(self, action: Transact, honest: Callable[[], Result]) -> Result:
        before = {put.key: self.world.store.get(put.key).value for put in action.txn.puts}
        result = honest()
        if isinstance(result, Applied):
            for put in action.txn.puts:
                self.check(put.key, before[put.key], dict(put.value))
        if self.lose_next:
            self.lose_next -= 1
            return Indefinite("the answer was lost")
        return result

    def check(self, key: str, before: Any, after: dict[str, Any]) -> None:
        kind = key.partition("/")[0]
        if kind not in ("disk", "vm"):
            return
        raised = before is not None and after["epoch"] > before["epoch"]
        given_vm = kind == "vm" and raised and after["live"] and after["attempt"] is None
        if (kind == "disk" and raised and after["state"] == "OnlinePending") or given_vm:
            found = self.zombies(DiskId(after["id"]) if kind == "disk" else self.disk)
            assert not found, f"{key} was given away while {found} can write"

    def zombies(self, of: DiskId) -> set[str]:
        """Lives that were granted the disk, are in no held view, and whose keys still stand."""
        held = ViewRow.read(self.world.row(VIEW)).held
        members = {member.incarnation for member in held.members} if held else set()
        cluster = next(iter(self.world.agents.values())).known
        keys = {key[:7] for key in self.san.luns[of].keys}
        return {
            str(life)
            for (life, disk), use in self.san.uses.items()
            if disk == of
            and use.granted
            and life not in members
            and key_of_life(cluster, life) in keys
        }

    def owners(self) -> list[str]:
        """Lives that serve the disk and could still write to it: never two."""
        cluster = next(iter(self.world.agents.values())).known
        keys = {key[:7] for key in self.san.luns[self.disk].keys}
        return [
            life
            for (life, disk), use in self.san.uses.items()
            if disk == self.disk and use.owns is not None and key_of_life(cluster, life) in keys
        ]

    # ---- what befalls it

    def play(self, word: str, name: str) -> None:
        world, san, agent = self.world, self.san, self.world[name]
        match word:
            case "die" if agent.name in world.links:
                world.die(name)
            case "return" if agent.name not in world.links:
                agent.reborn()
                world.all_hear_all()
                world.connect(name)
            case "cut" if agent.name in world.links:
                world.disconnect(name)
            case "freeze":
                san.silent ^= {name}
            case "path":
                san.pathless ^= {(agent.name, self.disk)}
                if agent.name in world.links:
                    san.report(agent)
            case "give up" if agent.name in world.links and san.use(agent, self.disk).owns:
                san.gives_up(agent, self.disk)
            case "move":
                world.ask(MoveClusterDisk("Volume1", NodeName(name), True))
            case "lose answers":
                self.lose_next = 2
            case "new leader":
                self.succeed()
        self.world.drain()

    def succeed(self) -> None:
        """Another coordinator takes over at this very moment; what the first knew is gone."""
        old = self.world
        self.world = another(old, f"c{old.core.term + 1}")
        for name, agent in self.world.agents.items():
            agent.storage = self.san
            agent.hears = set(old.agents[name].hears)
        self.watch()
        self.world.begin()
        self.world.connect(*old.links)


steps = st.tuples(
    st.sampled_from(
        [
            *("die", "die", "return", "return", "cut", "freeze", "path", "give up", "move"),
            *("lose answers", "new leader"),
        ]
    ),
    st.sampled_from("abc"),
    st.sampled_from([0.0, 0.5, 2.0, 7.0, 20.0]),
)


@settings(max_examples=40, deadline=None)
@given(story=st.lists(steps, max_size=12))
def test_nothing_is_given_away_while_a_departed_life_can_write(
    story: list[tuple[str, str, float]],
) -> None:
    watched = Watched()
    for word, name, seconds in story:
        watched.play(word, name)
        watched.world.after(seconds)
        assert len(watched.owners()) <= 1

    # After the last fault the disk has an owner again, and the VM runs.
    watched.san.silent.clear()
    watched.lose_next = 0
    for name in "abc":
        watched.san.pathless.discard((name, watched.disk))
        watched.play("return", name)
        use = watched.san.use(watched.world[name], watched.disk)
        if not use.registered and use.registrations:
            use.generation += 1
        watched.san.report(watched.world[name])
    watched.world.all_hear_all()
    watched.world.drain()
    watched.world.after(60)
    assert watched.world.row(f"disk/{watched.disk}")["state"] == "Online"
    assert watched.world.vm("sql01")["state"] == "Online"


# ---- the plans


def staged(*registrants: Registrant, **fields: Any) -> Stage:
    stage = Stage()
    facts: dict[str, Any] = {"owner": NodeName("a"), "owner_incarnation": life("a"), "epoch": 3}
    row = DiskRow(DISK, 1, 1 << 30, registrants=registrants, **{**facts, **fields})
    stage.put(disk_key(DISK), row.data())
    return stage


def test_who_is_in_no_held_view_has_to_go_with_every_key() -> None:
    stage = staged(
        Registrant(life("a"), 2), Registrant(life("b", 7), 1), Registrant(life("c"), 1, 3)
    )
    row = stage.scene.book.disks[DISK]

    assert fences.departed(stage.scene, row) == [
        FencedLife(life("b", 7), GENERATION_LAST),
        FencedLife(life("c"), 3),
    ]
    assert not fences.may_move(stage.scene, row)


def test_only_what_was_fenced_far_enough_is_taken_off_and_who_lives_on_stays() -> None:
    stage = staged(Registrant(life("b", 7), 1), Registrant(life("c"), 1, 3))

    assert TakeFenced(DISK, (FencedLife(life("c"), 2),)).draft(stage.scene) is None
    stage.write(TakeFenced(DISK, (FencedLife(life("c"), 3), FencedLife(life("a")))))
    registrants = stage.scene.book.disks[DISK].registrants
    assert registrants == (Registrant(life("b", 7), 1), Registrant(life("c"), 1))
    stage.write(TakeFenced(DISK, (FencedLife(life("b", 7)),)))
    assert stage.scene.book.disks[DISK].registrants == (Registrant(life("c"), 1),)


def test_only_members_are_admitted_and_the_view_is_compared() -> None:
    stage = staged()

    assert Admit(DISK, life("a", 2), 1).draft(stage.scene) is None
    assert VIEW in stage.compared(Admit(DISK, life("a"), 1))
    stage.write(Admit(DISK, life("a"), 1))
    assert Admit(DISK, life("a"), 1).draft(stage.scene) is None
    stage.write(Admit(DISK, life("a"), 2))
    assert stage.scene.book.disks[DISK].registrants == (Registrant(life("a"), 2),)


def test_who_is_to_be_fenced_is_not_admitted_again_before() -> None:
    stage = staged(Registrant(life("a"), 1))
    stage.write(Banish(DISK, life("a")))

    assert Admit(DISK, life("a"), 2).draft(stage.scene) is None
    assert fences.departed(stage.scene, stage.scene.book.disks[DISK]) == [FencedLife(life("a"))]


@pytest.mark.parametrize("state", list(DiskState))
def test_a_row_comes_back_as_it_was_kept(state: DiskState) -> None:
    row = DiskRow(DISK, 4, 5, state=state, registrants=(Registrant(life("a"), 2, 9),), leaving=True)

    assert DiskRow.read(row.data()) == row


def test_the_world_of_these_tests_notices_a_zombie() -> None:
    watched = Watched()
    owner = watched.world.row(f"disk/{watched.disk}")["owner"]
    watched.world.die(owner)
    watched.world.spoil = None
    san: San = watched.san
    san.silent |= set("abc")
    watched.world.after(20)
    assert watched.zombies(watched.disk) == {f"{owner}-1"}
    assert isinstance(watched.world, World)
