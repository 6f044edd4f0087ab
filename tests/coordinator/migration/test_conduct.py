from dataclasses import replace

import pytest

from coordinator.actions import PublishProgress, Send
from coordinator.desk import Desk
from coordinator.migration.attempts import Abort, Close, Commit
from coordinator.migration.conduct import Conductor
from coordinator.migration.migrations import Closed, Reconciling, Reserving, Settled, Travelling
from coordinator.pen import Plan
from coordinator.storage.vm_disks import HandOver
from coordinator.store.disk_rows import DiskRow, DiskState, disk_key
from coordinator.store.rows import vm_key
from protocol.disks import DiskId, DiskRole
from protocol.messages import (
    AttemptReport,
    Consented,
    Decided,
    Ended,
    GaveUp,
    Migrate,
    Part,
    Progress,
    Reserve,
    Reserved,
    RoundRecord,
    ToAgent,
)
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    Incarnation,
    NetworkName,
    Outcome,
    Step,
    Term,
    VolumeName,
)
from protocol.travel import Travel
from tests.coordinator.stage import LAB, SQL, A, Stage, life

Said = Reserved | Progress | Consented | GaveUp | Ended
FIRST = AttemptId(1)
ROUND = RoundRecord(0, 100, 1, 400_000, 0.1, 7)
MIGRATION = NetworkName("migration")


class Led:
    """One attempt of sql01 from a to b, led on a stage."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.stage.vm()
        self.row = self.stage.attempt()
        self.desk = Desk(self.stage.scene)
        self.conductor = Conductor(self.desk)

    def opened(self) -> "Led":
        self.conductor.opened(self.row)
        return self

    def travelling(self) -> "Led":
        self.opened()
        self.says("b", Reserved(*self.head("b"), FIRST, SQL, Epoch(1)))
        self.plans(), self.orders()
        return self

    def head(self, node: str, number: int = 1) -> tuple[ClusterId, Term, Incarnation]:
        return LAB, Term(3), life(node, number)

    def says(self, node: str, message: Said) -> None:
        self.conductor.said(self.stage.agent(node), message)

    def consents(self, node: str = "a", epoch: int = 1) -> Consented:
        parts = (Part("pause", 0.001),)
        consent = Consented(
            *self.head(node),
            FIRST,
            SQL,
            Epoch(epoch),
            True,
            0.0,
            parts,
            (ROUND,),
            "small enough",
        )
        self.says(node, consent)
        return consent

    def plans(self) -> list[Plan]:
        return [plan for plan, _ in self.desk.pen.clear()]

    def orders(self) -> list[ToAgent]:
        sent = [action.message for action in self.desk.out if isinstance(action, Send)]
        self.desk.out.clear()
        return sent

    @property
    def state(self) -> object:
        return self.conductor.attempts[FIRST].state


def test_the_target_is_asked_first_and_the_source_once_that_one_has_reserved() -> None:
    led = Led().opened()
    (reserve,) = led.orders()
    assert isinstance(reserve, Reserve)
    assert (reserve.incarnation, reserve.source.incarnation) == ("b-1", "a-1")

    led.says("b", Reserved(*led.head("b"), FIRST, SQL, Epoch(1)))
    (migrate,) = led.orders()
    assert isinstance(migrate, Migrate)
    assert (migrate.incarnation, migrate.target.incarnation) == ("a-1", "b-1")
    assert migrate.networks[0] == "migration"
    assert migrate.token == reserve.token


def test_the_source_is_told_how_pages_travel_and_how_fast_on_which_network() -> None:
    led = Led()
    travel, rates = Travel(streams=2, rate_bytes_per_s=10**8), ((MIGRATION, 10**7),)
    led.row = led.stage.attempt(travel=travel, rates=rates)
    led.opened()
    (reserve,) = led.orders()
    led.says("b", Reserved(*led.head("b"), FIRST, SQL, Epoch(1)))
    (migrate,) = led.orders()

    assert isinstance(reserve, Reserve)
    assert isinstance(migrate, Migrate)
    assert (migrate.travel, migrate.rates) == (travel, rates)
    assert (migrate.rate_on(MIGRATION), migrate.rate_on(NetworkName("csv"))) == (10**7, 10**8)
    assert (reserve.at_once, migrate.at_once) == (1, 1)


@pytest.mark.parametrize("stranger", ["c", "a2", "b2"])
def test_words_of_lives_that_take_no_part_change_nothing(stranger: str) -> None:
    led = Led().travelling()
    node, number = stranger[0], int(stranger[1:] or 1)
    if number > 1:
        led.stage.connect(node, number)
    head = led.head(node, number)
    gave_up = GaveUp(*head, FIRST, SQL, Epoch(1), True, Step.ROUND, "x")

    led.says(node, gave_up)
    led.consents(node)
    assert (led.state, led.plans(), led.orders()) == (Travelling(), [], [])


def test_a_consent_of_the_source_for_the_attempts_epoch_is_committed_and_no_other() -> None:
    led = Led().travelling()
    led.consents("b")
    led.consents("a", epoch=2)
    assert led.plans() == []

    consent = led.consents()
    assert led.plans() == [
        Commit(FIRST, consent, led.conductor.attempts[FIRST].seen),
    ]
    assert led.orders() == [], "nobody is told before it is written"
    assert led.conductor.attempts[FIRST].seen.verified is True


def test_the_record_keeps_what_the_source_tells_on_the_way() -> None:
    led = Led().travelling()
    progress = Progress(*led.head("a"), FIRST, Step.ROUND, MIGRATION, 1000, 500, ROUND)
    led.says("a", progress)
    led.says("a", progress)

    conducted = led.conductor.attempts[FIRST]
    assert (conducted.seen.network, conducted.seen.rounds) == ("migration", (ROUND,))
    assert (conducted.step, conducted.pages_total, conducted.pages_sent) == (Step.ROUND, 1000, 500)
    assert led.desk.out.count(PublishProgress(FIRST)) == 2


def test_an_end_that_gives_up_or_leaves_the_view_aborts_the_attempt() -> None:
    led = Led().travelling()
    head = led.head("b")
    led.says("b", GaveUp(*head, FIRST, SQL, Epoch(1), False, Step.ROUND, "no memory"))
    (abort,) = led.plans()
    assert isinstance(abort, Abort)
    assert (abort.reason, abort.cancelled) == ("no memory", False)

    led = Led().travelling()
    led.stage.view("a", "c", number=2)
    led.conductor.look_for_ends()
    (abort,) = led.plans()
    assert isinstance(abort, Abort)
    assert abort.reason == "node b, the target, was removed from the cluster"


def test_both_are_told_what_was_written_until_both_have_ended() -> None:
    led = Led().travelling()
    led.stage.write(Abort(FIRST, "the link broke"))
    led.conductor.decided(FIRST)

    told = led.orders()
    assert all(isinstance(order, Decided) for order in told)
    assert [(d.incarnation, d.epoch, d.decision) for d in told if isinstance(d, Decided)] == [
        ("a-1", 2, Decision.ABORTED),
        ("b-1", 2, Decision.ABORTED),
    ]
    led.says("b", Ended(*led.head("b"), FIRST, False, Decision.COMMITTED, ()))
    led.says("b", Ended(*led.head("b"), FIRST, False, Decision.ABORTED, ()))
    led.conductor.tick()
    assert [d.incarnation for d in led.orders() if isinstance(d, Decided)] == ["a-1"]
    assert led.plans() == []

    part = Part("resume", 0.004)
    led.says("a", Ended(*led.head("a"), FIRST, True, Decision.ABORTED, (part,)))
    (close,) = led.plans()
    assert isinstance(close, Close)
    assert close.seen.parts == (part,)


def test_an_end_that_is_out_of_the_view_has_ended() -> None:
    led = Led().travelling()
    led.stage.view("a", "c", number=2)
    led.stage.write(Abort(FIRST, "node b left"))
    led.conductor.decided(FIRST)
    assert led.state == Settled(Decision.ABORTED, target_ended=True)

    led.stage.view("c", number=3)
    led.conductor.look_for_ends()
    assert [type(plan) for plan in led.plans()] == [Close]


def test_a_commit_that_is_refused_becomes_an_abort() -> None:
    led = Led().travelling()
    led.consents()
    led.plans()
    led.conductor.refused(FIRST, "node b, the target, left the membership")

    (abort,) = led.plans()
    assert isinstance(abort, Abort)
    assert "left the membership" in abort.reason


def test_a_target_that_returns_before_it_reserved_is_asked_again() -> None:
    led = Led().opened()
    led.orders()
    led.conductor.returned(led.stage.agent("b"))
    assert [type(order) for order in led.orders()] == [Reserve]
    assert isinstance(led.state, Reserving)


def test_a_target_that_does_not_reserve_in_time_ends_the_attempt() -> None:
    led = Led().opened()
    led.stage.scene.now += led.stage.scene.config.reserve_deadline_s
    led.conductor.tick()
    assert [type(plan) for plan in led.plans()] == [Abort]


def test_a_new_leader_hears_both_ends_of_an_open_attempt_before_it_goes_on() -> None:
    led = Led()
    led.conductor.resume_all()
    assert type(led.conductor.attempts[FIRST].state) is Reconciling

    for node, is_source in (("a", True), ("b", False)):
        agent = led.stage.agent(node)
        agent.attempts[FIRST] = AttemptReport(FIRST, SQL, Epoch(1), is_source, Step.ROUND, False)
        led.conductor.returned(agent)
    assert led.state == Travelling(heard=True)
    assert led.plans() == []


def test_a_new_leader_tells_what_an_earlier_one_has_decided() -> None:
    led = Led()
    led.stage.attempt(decision=Decision.COMMITTED, outcome=Outcome.COMPLETED)
    led.conductor.resume_all()
    assert led.state == Settled(Decision.COMMITTED)

    led.conductor.tick()
    assert [d.epoch for d in led.orders() if isinstance(d, Decided)] == [2, 2]


def test_an_attempt_that_is_closed_is_forgotten() -> None:
    led = Led().travelling()
    led.conductor.closed(FIRST)
    assert led.conductor.attempts == {}
    assert led.desk.out == [PublishProgress(FIRST)]
    led.consents()
    led.conductor.decided(AttemptId(9))
    led.conductor.decided(None)
    assert led.plans() == []
    assert Closed() not in [conducted.state for conducted in led.conductor.attempts.values()]


# ---- S10 of a VM with a disk of its own


def with_own_disk(led: Led) -> Led:
    """The VM's files are on a disk that its group has, and that node a has online."""
    disk, volume = DiskId("6001"), VolumeName("Cluster Disk 1")
    home = replace(led.stage.scene.book.vms[SQL].spec, home=volume)
    led.stage.put(vm_key(SQL), replace(led.stage.scene.book.vms[SQL], spec=home).data())
    row = DiskRow(disk, 1, 1 << 30, DiskRole.VM, DiskState.ONLINE, A, life("a"), Epoch(2), volume)
    led.stage.put(disk_key(disk), row.data())
    return led


def at(led: Led, node: str, step: Step) -> None:
    progress = Progress(*led.head(node), FIRST, step, MIGRATION, 1000, 1000, None)
    led.says(node, progress)


def test_the_disk_of_the_group_moves_once_the_guest_stands_still_and_no_sooner() -> None:
    led = with_own_disk(Led()).travelling()
    at(led, "a", Step.LAST_PAGES)
    assert led.plans() == []
    at(led, "a", Step.STORAGE)
    assert led.plans() == [HandOver(FIRST)]


def test_what_the_disk_of_a_vm_needs_is_nothing_to_a_vm_on_a_shared_volume() -> None:
    led = Led().travelling()
    at(led, "a", Step.STORAGE)
    assert led.plans() == []


def test_a_hand_over_that_was_not_possible_is_tried_again_until_the_attempt_ends() -> None:
    led = with_own_disk(Led()).travelling()
    at(led, "a", Step.STORAGE)
    led.plans()
    led.conductor.tick()
    assert led.plans() == [HandOver(FIRST)]

    led.says("a", GaveUp(*led.head("a"), FIRST, SQL, Epoch(1), True, Step.STORAGE, "too slow"))
    led.conductor.tick()
    assert [type(plan) for plan in led.plans()] == [Abort]


def test_a_new_leader_hands_over_what_the_source_waits_for() -> None:
    led = with_own_disk(Led())
    led.conductor.resume_all()
    for node, is_source in (("a", True), ("b", False)):
        agent = led.stage.agent(node)
        agent.attempts[FIRST] = AttemptReport(FIRST, SQL, Epoch(1), is_source, Step.STORAGE, False)
        led.conductor.returned(agent)
    led.conductor.tick()
    assert led.plans() == [HandOver(FIRST)]
