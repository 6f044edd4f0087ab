"""Two whole cores, back to back, and a coordinator that only decides.

Whatever is lost on the way, and whichever way the attempt ends, the guest runs in exactly one
place.
"""

import collections
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from agent import actions as deeds
from agent import events
from agent.core import AgentCore
from protocol import messages
from protocol.messages import Decided, Ended, RoundRecord
from protocol.names import AttemptId, Decision, Epoch, Hold, Verify, VmName
from tests.agent.ground import CLUSTER, LAN, SPEC, TERM, TIMING, VM, agent, life, member, view

A, E1, E2 = AttemptId(1), Epoch(1), Epoch(2)
AB = view(1, member("a"), member("b"), of="ab")
SOURCE, TARGET = "a", "b"


@dataclass
class Guest:
    epoch: Epoch
    holds: Hold


@dataclass
class World:
    """Carries out actions at once, loses what it shall lose, and counts where the guest runs."""

    decision: Decision
    cut_at: int = 10**9
    """The crossing between the two nodes at which their connection breaks."""
    unheard_at: int = 10**9
    """The word to the coordinator that is lost, with the link on which it was said."""
    crossings: int = 0
    words: int = 0
    is_armed: bool = False
    cores: dict[str, AgentCore] = field(default_factory=dict)
    guests: dict[str, Guest] = field(default_factory=dict)
    inbox: collections.deque[tuple[str, events.Event]] = field(default_factory=collections.deque)
    connected: bool = False
    decided: Decision = Decision.OPEN
    ended: dict[str, Ended] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    parts: list[str] = field(default_factory=list)

    def play(self) -> None:
        for name in (SOURCE, TARGET):
            self.cores[name] = agent(name)
            self.welcome(name)
            self.tell(name, messages.ProposeView(CLUSTER, TERM, AB))
        self.tell(SOURCE, messages.StartVm(CLUSTER, TERM, life(SOURCE), VM, E1, SPEC))
        self.run()
        assert self.running() == [SOURCE]
        self.is_armed = True
        self.order_reserve()
        self.run()
        for _ in range(3):  # the coordinator says what was decided until both have confirmed it
            if self.decided is Decision.OPEN:
                self.decide(Decision.ABORTED)
            for name in (SOURCE, TARGET):
                if name not in self.ended:
                    self.tell_decision(name)
            self.run()

    def run(self) -> None:
        while self.inbox:
            name, event = self.inbox.popleft()
            for action in self.cores[name].handle(event, 1.0):
                self.carry_out(name, action)
                assert len(self.running()) <= 1, f"two guests after {event} on {name}: {action}"

    def running(self) -> list[str]:
        return [name for name, guest in sorted(self.guests.items()) if not guest.holds]

    # ---- the edge

    def carry_out(self, name: str, action: deeds.Action) -> None:
        match action:
            case deeds.CreateVm(vm, epoch, _, holds):
                self.guests[name] = Guest(epoch, holds)
                self.happen(name, events.VmCreated(vm))
            case deeds.Reserve(vm=vm, epoch=epoch):
                self.guests[name] = Guest(epoch, Hold.ATTEMPT)
                self.happen(name, events.ReserveDone(A))
            case deeds.SetHolds(vm, epoch, holds):
                self.set_holds(name, vm, Guest(epoch, holds))
            case deeds.DestroyVm(vm):
                self.guests.pop(name, None)
                self.happen(name, events.VmDestroyed(vm))
            case deeds.Connect():
                self.connect()
            case deeds.SendRound(_, number):
                record = RoundRecord(number, 64 if number == 0 else 8, 0, 4096, 0.1, 0)
                self.happen(name, events.RoundSent(A, record))
                self.cross(TARGET, events.RoundLanded(A, number, record.pages))
            case deeds.SendLastPages(_, number):
                assert self.running() == []
                record = RoundRecord(number, 2, 0, 4096, 0.1, 0)
                self.happen(name, events.LastPagesSent(A, record, b"d", 0.0))
                self.cross(TARGET, events.RoundLanded(A, number, 2))
            case deeds.SayToPeer(_, message):
                self.cross(other(name), events.PeerSaid(A, message))
            case deeds.DigestMemory():
                self.happen(name, events.MemoryDigested(A, b"d", 0.0))
            case deeds.OpenStorage():
                self.happen(name, events.StorageDone(A))
            case deeds.CloseAttempt():
                self.lose_connection()
            case deeds.Tell(message):
                self.words += self.is_armed
                if self.words == self.unheard_at:
                    self.lose_link(name)
                else:
                    self.hear(name, message)

    def happen(self, name: str, event: events.Event) -> None:
        self.inbox.append((name, event))

    def set_holds(self, name: str, vm: VmName, guest: Guest) -> None:
        before, self.guests[name] = self.guests[name], guest
        if guest.holds and not before.holds:
            self.happen(name, events.GuestPaused(vm, 77, 0.001))
        if before.holds and not guest.holds:
            self.happen(name, events.GuestResumed(vm, 0.001))

    def connect(self) -> None:
        self.crossings += 1
        if self.crossings == self.cut_at:
            self.happen(SOURCE, events.PeerLost(A, "refused"))
            return
        self.connected = True
        self.happen(TARGET, events.SourceConnected(A))
        self.happen(SOURCE, events.Connected(A, LAN))

    def cross(self, name: str, event: events.Event) -> None:
        self.crossings += 1
        if self.crossings == self.cut_at:
            self.lose_connection()
        if self.connected:
            self.happen(name, event)

    def lose_connection(self) -> None:
        if self.connected:
            self.connected = False
            self.happen(SOURCE, events.PeerLost(A, "reset"))
            self.happen(TARGET, events.PeerLost(A, "reset"))

    # ---- the coordinator

    def tell(self, name: str, message: messages.ToAgent) -> None:
        self.told.add(type(message).__name__)
        self.happen(name, events.Told(message))

    def welcome(self, name: str) -> None:
        self.tell(name, messages.Welcome(CLUSTER, TERM, life(name), TIMING))

    def lose_link(self, name: str) -> None:
        self.happen(name, events.LinkDown("reset"))
        self.happen(name, events.LinkUp())

    def order_reserve(self) -> None:
        order = messages.Reserve(
            CLUSTER,
            TERM,
            life(TARGET),
            A,
            VM,
            E1,
            SPEC,
            member(SOURCE),
            "token",
            Verify.FULL,
        )
        self.tell(TARGET, order)

    def order_migrate(self) -> None:
        order = messages.Migrate(
            CLUSTER,
            TERM,
            life(SOURCE),
            A,
            VM,
            E1,
            member(TARGET),
            (LAN,),
            "token",
            Verify.FULL,
            "2008r2",
        )
        self.tell(SOURCE, order)

    def hear(self, name: str, message: messages.FromAgent) -> None:
        match message:
            case messages.Hello(attempts=reports):
                self.welcome(name)
                if self.decided is not Decision.OPEN:
                    return
                if name == SOURCE and "Migrate" in self.told and not reports:
                    self.order_migrate()
                elif name == TARGET and not reports:
                    self.order_reserve()
            case messages.Reserved() if "Migrate" not in self.told:
                self.order_migrate()
            case messages.Consented():
                self.decide(self.decision)
            case messages.GaveUp():
                self.decide(Decision.ABORTED)
            case messages.Ended():
                assert message.decision is self.decided
                assert message.is_source == (name == SOURCE)
                self.parts += [part.name for part in message.parts]
                self.ended[name] = message

    def decide(self, decision: Decision) -> None:
        if self.decided is Decision.OPEN:  # one compare-and-set wins
            self.decided = decision
            for name in (SOURCE, TARGET):
                self.tell_decision(name)

    def tell_decision(self, name: str) -> None:
        self.tell(name, Decided(CLUSTER, TERM, life(name), A, VM, E2, self.decided, "as it came"))

    # ---- the end

    def check_end(self) -> None:
        owner = TARGET if self.decided is Decision.COMMITTED else SOURCE
        assert self.running() == [owner]
        assert set(self.guests) == {owner}, "nothing is left on the other side"
        assert self.guests[owner].epoch == E2
        assert set(self.ended) == {SOURCE, TARGET}, "both have confirmed it"
        for name, core in self.cores.items():
            assert core.attempts.sides == {}
            assert set(core.vms.vms) == ({VM} if name == owner else set())


def other(name: str) -> str:
    return TARGET if name == SOURCE else SOURCE


DECISIONS = (Decision.COMMITTED, Decision.ABORTED)


def undisturbed(decision: Decision) -> World:
    world = World(decision)
    world.play()
    world.check_end()
    return world


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_guest_runs_exactly_once_when_nothing_is_lost(decision: Decision) -> None:
    world = undisturbed(decision)

    assert world.decided is decision
    if decision is Decision.COMMITTED:
        assert sorted(world.parts) == ["commit", "resume"]


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_guest_runs_exactly_once_wherever_the_connection_is_lost(decision: Decision) -> None:
    crossings = undisturbed(decision).crossings
    assert crossings == 11

    for cut_at in range(1, crossings + 1):
        world = World(decision, cut_at=cut_at)
        world.play()
        world.check_end()
        assert world.decided is Decision.ABORTED, "the last crossing is what the consent needs"


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_guest_runs_exactly_once_whichever_word_to_the_coordinator_is_lost(
    decision: Decision,
) -> None:
    words = undisturbed(decision).words
    assert words >= 8

    for unheard_at in range(1, words + 1):
        world = World(decision, unheard_at=unheard_at)
        world.play()
        world.check_end()
        assert world.decided is decision, "a lost word is said again, and ends no attempt"


def both_lost(decision: Decision) -> Iterator[World]:
    calm = undisturbed(decision)
    for cut_at in range(1, calm.crossings + 1):
        for unheard_at in range(1, calm.words + 1):
            yield World(decision, cut_at=cut_at, unheard_at=unheard_at)


@pytest.mark.parametrize("decision", DECISIONS)
def test_the_guest_runs_exactly_once_when_both_are_lost(decision: Decision) -> None:
    for world in both_lost(decision):
        world.play()
        world.check_end()


def test_a_decision_that_comes_again_long_after_is_confirmed_again() -> None:
    world = undisturbed(Decision.COMMITTED)
    world.ended.clear()

    for name in (SOURCE, TARGET):
        world.tell_decision(name)
    world.run()

    world.check_end()


def test_a_node_that_never_heard_of_the_attempt_confirms_its_abort() -> None:
    world = World(Decision.ABORTED)
    world.play()
    fresh = World(Decision.ABORTED, cores=world.cores, guests=world.guests)
    again = Decided(
        CLUSTER, TERM, life(SOURCE), AttemptId(2), VM, Epoch(3), Decision.ABORTED, "no answer"
    )

    (hold, tell) = fresh.cores[SOURCE].handle(events.Told(again), 2.0)

    assert hold == deeds.SetHolds(VM, Epoch(3), Hold.NONE)
    assert isinstance(tell, deeds.Tell)
    assert tell.message == replace(
        world.ended[SOURCE], attempt=AttemptId(2), parts=(), decision=Decision.ABORTED
    )
