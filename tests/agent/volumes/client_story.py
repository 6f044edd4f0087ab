"""One node's client of a volume, its disk, the owners, and whoever may hurt them."""

import random
from dataclasses import dataclass, field

from agent.volumes import ways
from agent.volumes.client import VolumeClient
from agent.volumes.extents import BLOCK_BYTES, Extent
from agent.volumes.ways import ClientAction, ClientEvent, Place
from protocol.disks import VolumeMode
from protocol.names import Epoch, Incarnation, VmName

ME, OTHER, THIRD = (Incarnation(name) for name in ("me-1", "other-1", "third-1"))
FILE = ways.FileWanted(1, "/vm1/disk.vhd", True, VmName("vm1"), Epoch(1))
BLOCKS = 4
EXTENTS = (Extent(100, BLOCKS, written=True),)


def place(
    epoch: int, owner: Incarnation | None = OTHER, mode: VolumeMode = VolumeMode.DIRECT
) -> Place:
    return Place(Epoch(epoch), owner, mode, (("127.0.0.1", "127.0.0.2", 3344),))


def usable(generation: int = 1) -> ways.DiskSeen:
    return ways.DiskSeen(generation, is_usable=True)


CUT = ways.DiskSeen(1, is_usable=False, reason="The path was cut.")


def found(epoch: int, extents: tuple[Extent, ...] = EXTENTS) -> ways.FileFound:
    return ways.FileFound(1, Epoch(epoch), 7, BLOCKS * BLOCK_BYTES, extents)


MOVES = [
    *(["answer"] * 60 + ["write", "land"] * 40 + ["zombie"] * 20 + ["relink"] * 40),
    *(["fail"] * 20 + ["cut"] * 3 + ["heal"] * 20 + ["link"] * 8 + ["turn_mode"] + ["owner"] * 3),
]


@dataclass(slots=True)
class Flight:
    """A write on its way; a zombie was told to have failed, and may land all the same."""

    block: int
    value: int
    turn: int
    generation: int = 0
    """Of the key, if it goes straight to the disk; 0 if it went to the owner."""

    epoch: int = 0
    is_zombie: bool = False


@dataclass(slots=True)
class Story:
    """The machine, a disk, the owners, and whoever may hurt them."""

    random: random.Random
    made: VolumeClient = field(default_factory=lambda: VolumeClient(ME))
    disk: dict[int, int] = field(default_factory=dict)
    acknowledged: dict[int, int] = field(default_factory=dict)
    wanted: dict[int, int] = field(default_factory=dict)
    """Per block: the value of the write that waits or is under way."""

    flights: list[Flight] = field(default_factory=list)
    asked: list[ClientAction] = field(default_factory=list)
    epoch: int = 1
    mode: VolumeMode = VolumeMode.DIRECT
    generation: int = 1
    registered: int = 1
    """The generation under which the disk knows this node; 0: it does not."""

    gave_up: int = 0
    is_cut: bool = False
    is_linked: bool = False
    value: int = 0

    def feed(self, event: ClientEvent) -> None:
        for action in self.made.handle(event):
            match action:
                case ways.GiveUpKey(generation):
                    self.gave_up = generation
                case ways.Reach() | ways.HangUp():
                    self.lose_link()
                case ways.Wake():
                    pass  # what waits asks again with the next step
                case _:
                    self.asked.append(action)

    def lose_link(self) -> None:
        """Questions of this connection have no answer; requests may still be carried out."""
        self.is_linked = False
        self.asked = [ask for ask in self.asked if isinstance(ask, ways.Drain)]
        for flight in self.flights:
            if not flight.generation:
                flight.is_zombie = True

    # ---- what may happen next

    def step(self) -> None:
        getattr(self, self.random.choice(MOVES))()
        self.issue()

    def write(self) -> None:
        block = self.random.randrange(BLOCKS)
        if block not in self.wanted:
            self.value += 1
            self.wanted[block] = self.value

    def issue(self) -> None:
        for block, value in sorted(self.wanted.items()):
            if any(not f.is_zombie and f.block == block for f in self.flights):
                continue
            match self.made.way(1, block * BLOCK_BYTES, BLOCK_BYTES, writes=True):
                case ways.Straight(turn):
                    assert self.gave_up < self.generation
                    self.flights.append(Flight(block, value, turn, self.generation))
                case ways.ThroughOwner(turn):
                    self.flights.append(Flight(block, value, turn, epoch=self.epoch))

    def lands(self, flight: Flight) -> bool:
        """What the disk accepts: from a registered nexus, or through an owner not yet fenced."""
        if flight.generation:
            return flight.generation == self.registered
        return flight.epoch == self.epoch

    def pick(self, is_zombie: bool) -> Flight | None:
        found = [flight for flight in self.flights if flight.is_zombie is is_zombie]
        return self.random.choice(found) if found else None

    def land(self) -> None:
        flight = self.pick(is_zombie=False)
        if flight is None or (flight.generation and (self.is_cut or not self.lands(flight))):
            return
        self.flights.remove(flight)
        self.disk[flight.block] = flight.value
        self.acknowledged[flight.block] = flight.value
        assert self.wanted.pop(flight.block) == flight.value

    def fail(self) -> None:
        flight = self.pick(is_zombie=False)
        if flight is not None and flight.generation:
            flight.is_zombie = True
            self.feed(ways.IoFailed(flight.turn, "no answer"))

    def zombie(self) -> None:
        flight = self.pick(is_zombie=True)
        if flight is not None:
            self.flights.remove(flight)
            if self.lands(flight):
                self.disk[flight.block] = flight.value
                self.check()

    def answer(self) -> None:
        if not self.asked:
            return
        ask = self.random.choice(self.asked)
        match ask:
            case ways.Drain(turn):
                if any(not f.is_zombie and f.turn < turn for f in self.flights):
                    return
                self.asked.remove(ask)
                self.feed(ways.Drained(turn))
                return
            case ways.AskRedirect(turn, generation):
                if 0 < self.registered <= generation:
                    self.registered = 0
                    self.flights = [f for f in self.flights if not self.is_aborted(f, generation)]
                event: ClientEvent = ways.RedirectAgreed(turn)
            case ways.AskDirect(turn):
                event = ways.DirectAgreed(turn)
            case ways.AskFile() | ways.LookAgain():
                event = found(self.epoch)
            case _:
                self.asked.remove(ask)
                return
        if self.is_linked:
            self.asked.remove(ask)
            self.feed(event)

    def is_aborted(self, flight: Flight, generation: int) -> bool:
        return 0 < flight.generation <= generation

    def cut(self) -> None:
        self.is_cut = True
        self.feed(ways.DiskSeen(self.generation, is_usable=False, reason="cut"))

    def heal(self) -> None:
        """What was given up is registered anew, under the next key and over fresh sessions."""
        self.is_cut = False
        if self.gave_up == self.generation:
            self.generation += 1
        if self.registered != self.generation:
            self.flights = [f for f in self.flights if not f.generation]
            self.registered = self.generation
        self.feed(ways.DiskSeen(self.generation, is_usable=True))

    def change_mode(self, mode: VolumeMode) -> None:
        self.mode = mode
        self.feed(ways.Placed(place(self.epoch, mode=mode)))

    def turn_mode(self) -> None:
        self.change_mode(self.random.choice([VolumeMode.DIRECT, VolumeMode.REDIRECTED]))

    def link(self) -> None:
        if self.is_linked:
            self.lose_link()
            self.feed(ways.OwnerLost(Epoch(self.epoch), "cut off"))

    def relink(self) -> None:
        """The owner lets a node in again only when what came from it before has ended."""
        if self.is_linked:
            return
        for flight in [f for f in self.flights if f.epoch == self.epoch]:
            self.flights.remove(flight)
            if self.random.random() < 0.5:
                self.disk[flight.block] = flight.value
        self.is_linked = True
        self.feed(ways.OwnerReached(Epoch(self.epoch)))

    def owner(self) -> None:
        """The old one was fenced, or let its requests end, before there is another."""
        self.epoch += 1
        self.flights = [f for f in self.flights if f.generation]
        self.feed(ways.Placed(place(self.epoch, self.random.choice([OTHER, THIRD]), self.mode)))

    def check(self) -> None:
        for block, value in self.acknowledged.items():
            # A write that was repeated may land twice: the same bytes, or those not answered yet.
            assert self.disk[block] in (value, self.wanted.get(block)), (block, self.disk)

    def end_well(self) -> None:
        self.change_mode(VolumeMode.DIRECT)
        self.heal()
        for _ in range(200):
            self.relink()
            self.answer()
            self.land()
            self.zombie()
            self.issue()
            if self.gave_up == self.generation:
                self.heal()
        assert not self.wanted, self.made.phase
        assert self.disk == self.acknowledged
