from coordinator.actions import CloseLink, ReadRows, Send, TakeTerm, Transact
from coordinator.events import Answered, LinkId, RowsRead, Said, StoreFailed, TermTaken, Tick
from coordinator.requests import Declined, FormCluster, StartVm, Unknown
from coordinator.requests import StopVm as TurnOff
from coordinator.store.interface import Indefinite, StaleTerm
from protocol.messages import Ping, ProposeView, StopVm, Welcome
from protocol.names import Epoch, NodeName, Term, Timing, ViewNumber, VmName
from tests.coordinator.driver import World, another, formed, with_vm
from tests.coordinator.ground import TIMING


def restarted(world: World) -> World:
    """The same cluster under a new coordinator; nobody has called it yet."""
    second = another(world)
    second.begin()
    return second


def test_without_a_cluster_it_leads_an_empty_lab_at_once() -> None:
    world = World("ab")
    world.begin()

    assert world.core.leads
    world.connect()
    assert [node["name"] for node in world.core.picture().available] == ["a", "b"]


def test_it_decides_nothing_before_a_quorum_said_hello() -> None:
    second = restarted(with_vm(formed("abcde")))
    second.connect("a", "b")

    assert not second.core.leads
    answer = second.ask(StartVm(VmName("sql01")))
    assert isinstance(answer, Declined)
    assert answer.status == 503
    assert "2 votes are heard and 3 are needed" in answer.sentence
    assert not any(isinstance(action, Transact | Send) for action in second.actions)

    second.connect("c")
    assert second.core.leads


def test_it_starts_above_every_term_and_view_that_was_heard() -> None:
    world = formed("abc")
    second = another(world)
    second["b"].term = Term(40)
    second["b"].highest_view = ViewNumber(17)
    second.begin()
    second.connect()

    assert second.core.leads
    assert second.core.term == 41
    second.after(2)
    view = second.core.picture().view
    assert view is not None
    assert view["number"] > 17
    assert view["holds"]


def test_it_raises_an_epoch_that_the_store_has_lost() -> None:
    world = with_vm(formed("abc"))
    second = another(world)
    second["a"].vms = {VmName("sql01"): Epoch(9)}
    second.begin()
    second.connect()
    second.after(5)

    assert second.row("vm/sql01")["epoch"] >= 10
    assert second["a"].vms == {VmName("sql01"): second.row("vm/sql01")["epoch"]}


def test_a_leader_that_nobody_answers_for_a_lease_resigns_and_leads_anew() -> None:
    world = with_vm(formed("abc"))
    term = world.core.term
    world.disconnect("a", "b", "c")
    world.after(7)

    assert not world.core.leads
    assert world["a"].vms == {VmName("sql01"): 1}, "guests run on"

    world.connect()
    assert world.core.leads
    assert world.core.term > term
    world.after(3)
    assert world.vm("sql01")["state"] == "Online"
    assert 1177 in world.events()


def test_a_leader_that_a_quorum_answers_does_not_resign() -> None:
    world = formed("abc")
    world.die("c")
    world.after(60)

    assert world.core.leads
    assert world.core.term == 1


def test_a_new_cluster_is_asked_at_once_and_keeps_its_leader_however_short_its_leases() -> None:
    world = World("abc")
    world.all_hear_all()
    world.begin()
    world.connect()
    world.after(0.5)
    names = tuple(map(NodeName, "abc"))
    world.ask(FormCluster("test", names, Timing(delay_s=0.02, threshold=5)))

    world.after(2)

    assert world.core.leads
    assert world.core.term == 1
    assert 1177 not in world.events()


def test_an_old_leader_changes_nothing_and_knows_it() -> None:
    world = with_vm(formed("abc"))
    before = {row.key: row for row in world.store.range("")}
    second = restarted(world)
    after_taking = {row.key: row for row in world.store.range("")}

    answer = world.ask(StartVm(VmName("sql01")))
    world.disconnect("a", "b", "c")
    world.after(30)

    assert world.core.deposed
    assert isinstance(answer, Declined)
    assert answer.status == 409
    again = world.ask(StartVm(VmName("sql01")))
    assert isinstance(again, Declined)
    assert again.status == 503
    now = {row.key: row for row in world.store.range("")}
    assert now == after_taking
    assert {key for key in now if now[key] != before.get(key)} == {"term"}
    assert world.core.wake_at() == float("inf")
    second.connect()
    assert second.core.leads


def test_an_old_leader_that_writes_is_deposed_and_its_asker_is_told_so() -> None:
    world = with_vm(formed("abc"))
    restarted(world)

    answer = world.ask(TurnOff(VmName("sql01")))

    assert world.core.deposed
    assert isinstance(answer, Declined)
    assert answer.status == 503
    assert world.row("vm/sql01")["wish"] == "on"
    assert not any(
        isinstance(action, Send) and isinstance(action.message, StopVm) for action in world.actions
    )


def test_a_higher_term_heard_while_leading_is_checked_with_the_store() -> None:
    world = formed("abc")
    world["c"].term = Term(30)
    world.connect("c")
    world.connect()

    assert world.core.leads
    assert world.core.term == 31


def test_a_store_that_fails_is_asked_again() -> None:
    world = World("")
    (take,) = world.core.begin(0.0)
    assert isinstance(take, TakeTerm)

    assert world.core.handle(StoreFailed(take.work, "busy"), 1.0) == ()
    (again,) = world.core.handle(Tick(), world.core.wake_at())
    assert isinstance(again, TakeTerm)
    assert again.work != take.work
    assert world.core.handle(TermTaken(take.work, 7), 2.0) == ()
    reads = world.core.handle(TermTaken(again.work, 8), 2.0)
    assert all(isinstance(read, ReadRows) for read in reads)
    first = reads[0]
    assert isinstance(first, ReadRows)
    world.core.handle(StoreFailed(first.work, "busy"), 3.0)
    anew = world.core.handle(Tick(), world.core.wake_at())
    assert len(anew) == len(reads)
    for read in anew:
        assert isinstance(read, ReadRows)
        world.core.handle(RowsRead(read.work, ()), 4.0)
    assert world.core.leads


def test_while_it_checks_its_term_an_indefinite_answer_is_asked_again() -> None:
    world = formed("abc")
    world.disconnect("a", "b", "c")
    world.spoil = lambda action, honest: Indefinite("slow")
    world.after(7)
    checks = [action for action in world.actions if isinstance(action, Transact)][-2:]
    assert all(not check.txn.compares for check in checks)

    world.spoil = None
    world.after(1)
    world.connect()
    assert world.core.leads


def test_a_term_check_that_says_stale_deposes() -> None:
    world = formed("abc")
    world.disconnect("a", "b", "c")
    world.spoil = lambda action, honest: StaleTerm(9)
    world.after(7)

    assert world.core.deposed


def test_resigning_answers_everybody_who_waits() -> None:
    world = World("ab")
    world.begin()
    world.connect()
    for name in "ab":
        world[name].acks = False
    world.ask(FormCluster("test", (NodeName("a"), NodeName("b"))))
    world.disconnect("a", "b")
    world.after(7)

    assert isinstance(world.answers[1], Unknown)


def test_a_deposed_coordinator_hangs_up_on_everybody() -> None:
    world = formed("a")
    world.store.take_term(1, "c2")
    world.ask(StartVm(VmName("x")))
    world.disconnect("a")
    world.after(7)
    assert world.core.deposed

    actions = world.core.handle(Said(LinkId(99), world["a"].hello()), world.now)

    assert [type(action) for action in actions] == [CloseLink]


def test_welcomes_come_before_everything_else_on_a_link() -> None:
    world = with_vm(formed("abc"))
    told: dict[LinkId, list[type]] = {}
    for action in world.actions:
        if isinstance(action, Send):
            told.setdefault(action.link, []).append(type(action.message))

    assert all(messages[0] is Welcome for messages in told.values())
    assert all(ProposeView in messages and Ping in messages for messages in told.values())


def test_an_answer_that_comes_while_not_leading_is_not_looked_at() -> None:
    world = World("")
    (take,) = world.core.begin(0.0)
    assert isinstance(take, TakeTerm)

    assert world.core.handle(Answered(take.work, Indefinite("?")), 1.0) == ()


def test_a_leader_with_nothing_to_write_still_learns_that_another_has_a_newer_term() -> None:
    world = formed("abc")
    world.store.take_term(1, "c2")
    world.after(TIMING.support_s + 1)

    assert world.core.deposed
    assert world.links == {}, "its agents are free to call the other"


def test_one_that_gathers_in_vain_learns_it_too() -> None:
    second = restarted(formed("abc"))
    second.connect("a")
    second.store.take_term(1, "c3")
    second.after(TIMING.support_s + 1)

    assert second.core.deposed
    assert second.links == {}


def test_one_that_gathers_under_the_newest_term_goes_on_waiting() -> None:
    second = restarted(formed("abc"))
    second.connect("a")
    second.after(60)
    assert not second.core.leads

    second.connect("b")
    assert second.core.leads
    assert second.core.term == 2
