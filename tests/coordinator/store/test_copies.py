"""Who holds the disk witness is given the cluster database: when it changed, and not too often."""

from coordinator.requests import CreateVm, SetWeight
from coordinator.shown import chronicle
from coordinator.store.copies import AGAIN_S, PAUSE_S
from coordinator.store.database import unpacked
from protocol.messages import CopyKept, KeepCopy
from protocol.names import NodeName, Term, VmName
from protocol.parts import PART_BYTES
from tests.coordinator.agent import Register
from tests.coordinator.driver import World, with_vm
from tests.coordinator.ground import MIB, MOVE, SQL, C, spec
from tests.coordinator.votes.test_dealing import DISK, NODES_DISK, NODES_SHARE, SHARE, lab

NOT_KEPT = chronicle.copy_not_kept(NodeName("a"), "").id


def disk(names: str = "ab") -> World:
    return lab(names, NODES_DISK, DISK)


def register(world: World) -> Register:
    found = world["a"].witness
    assert found is not None
    return found


def given(world: World) -> list[KeepCopy]:
    """The copies that were given out, by their first parts."""
    orders = [send.message for send in world.sent(KeepCopy)]
    return [order for order in orders if isinstance(order, KeepCopy) and order.part == 0]


def kept(world: World) -> set[str]:
    """The VMs that the copy on the disk knows."""
    parts = register(world).copy
    content = b"".join(part.content for part in parts)
    found = unpacked(content, parts[0].term, parts[0].revision)
    return set(found.book.vms)


def test_the_holder_is_given_the_database_and_it_says_what_the_store_says() -> None:
    world = with_vm(disk())
    world.after(PAUSE_S + 2)

    assert kept(world) == {SQL}
    newest = given(world)[-1]
    assert newest.term == world.core.term
    assert newest.revision >= world.store.get("vm/sql01").revision


def test_a_database_that_did_not_change_is_not_given_again() -> None:
    world = disk()
    world.after(5)
    before = len(given(world))

    world.after(60)

    assert len(given(world)) == before


def test_many_changes_make_few_copies() -> None:
    world = disk()
    world.after(10)
    before = len(given(world))

    for number in range(40):
        world.ask(CreateVm(VmName(f"vm{number}"), spec(MIB), None, False))
        world.after(0.25)
    world.after(PAUSE_S + 2)

    assert len(given(world)) - before <= 6
    assert len(kept(world)) == 40


def test_changed_votes_do_not_wait() -> None:
    world = disk("abc")
    world.after(10)
    world.ask(CreateVm(SQL, spec(), None, False))
    world.after(1.5)
    before = len(given(world))

    world.ask(SetWeight(C, 0))
    world.after(1.1)

    assert len(given(world)) == before + 1


def test_a_migration_that_runs_makes_no_copy_with_each_of_its_steps() -> None:
    world = with_vm(disk())
    world.after(10)
    before = len(given(world))
    world.ask(MOVE)
    world.after(10)

    assert 1 <= len(given(world)) - before <= 2


def test_a_thousand_vms_fit_and_travel_in_parts() -> None:
    world = disk()
    for number in range(1000):
        world.ask_later(CreateVm(VmName(f"vm{number:04}"), spec(4096), None, False))
    world.drain()
    world.after(PAUSE_S + 2)

    assert len(kept(world)) == 1000
    assert all(len(part.content) <= PART_BYTES for part in register(world).copy)


def test_a_file_share_is_given_nothing() -> None:
    world = with_vm(lab("ab", NODES_SHARE, SHARE))
    world.after(30)

    assert not given(world)


def test_a_new_holder_is_given_it_anew() -> None:
    world = disk("abc")
    world.after(10)
    first = given(world)[-1].incarnation
    at = register(world)
    other = next(agent for agent in world.agents.values() if agent.incarnation != first)
    at.holder = other.incarnation

    world.after(2)

    assert given(world)[-1].incarnation == other.incarnation


def test_a_disk_that_takes_no_copy_is_told_of_once_and_tried_again() -> None:
    world = disk()
    register(world).full = "it is full"
    with_vm(world)
    world.after(3 * AGAIN_S)
    assert world.events().count(NOT_KEPT) == 1
    assert world.core.leads

    register(world).full = ""
    world.after(AGAIN_S + 2)
    assert kept(world) == {SQL}
    register(world).full = "it is full again"
    world.ask(CreateVm(VmName("more"), spec(), None, False))
    world.after(10)
    assert world.events().count(NOT_KEPT) == 2


def test_an_answer_for_another_term_counts_for_nothing() -> None:
    world = disk()

    def lie(order: KeepCopy) -> None:
        liar.say(CopyKept(order.cluster, Term(99), order.incarnation, order.revision))

    liar = next(agent for agent in world.agents.values() if agent.name == "a")
    liar.keep = lie  # type: ignore[method-assign]
    with_vm(world)
    world.after(10)
    before = len(given(world))

    world.after(AGAIN_S + 2)

    assert len(given(world)) > before, "it was never kept"
