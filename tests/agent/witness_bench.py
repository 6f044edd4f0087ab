"""A carrier of the witness's vote, and the answers that a test gives it."""

from agent.actions import ReadWitness, WriteWitness
from agent.events import WitnessRead, WitnessWritten
from agent.lease import NEVER
from agent.witness import Carrier, Deed
from agent.witness_record import NOBODY, WitnessRecord, expires_after_s, usable_s
from agent.witness_states import Around
from protocol.names import (
    ClusterId,
    Incarnation,
    Member,
    NodeName,
    View,
    ViewNumber,
    VoteConfig,
    Witness,
    WitnessKind,
    WitnessState,
)
from tests.agent.ground import CLUSTER, TIMING, life, member

SHARE = Witness("w", WitnessKind.SHARE, "/w")
H = TIMING.witness_hold_s
USABLE = usable_s(H, TIMING.drift_rate)
EXPIRES = expires_after_s(H, TIMING.drift_rate)
A, B, C, D = (NodeName(name) for name in "abcd")


def votes(index: int = 1, witness: Witness | None = SHARE, weight: int = 1) -> VoteConfig:
    return VoteConfig(index, ((A, 1), (B, 1)), witness=witness, witness_votes=weight)


def view(number: int = 1, config: VoteConfig | None = None, *members: Member) -> View:
    return View(ViewNumber(number), members or (member("a"), member("b")), config or votes())


def around(
    *supporters: NodeName,
    lease_end_s: float = 0.0,
    spent_until_s: float = NEVER,
    heard: tuple[NodeName, ...] = (),
    witness_supports: bool = False,
) -> Around:
    return Around(lease_end_s, frozenset({A, *supporters}), witness_supports, heard, spent_until_s)


ALONE = around()


def record(
    holder: Incarnation = NOBODY, number: int = 1, index: int = 1, cluster: ClusterId = CLUSTER
) -> WitnessRecord:
    return WitnessRecord(cluster, index, ViewNumber(number), holder, NodeName("x"), H)


class Bench:
    """A carrier, and the answers that a test gives it."""

    def __init__(self, lives_by: View | None = None, known: VoteConfig | None = None) -> None:
        self.it = Carrier(A, life("a"), CLUSTER, known, TIMING)
        self.now = 100.0
        if lives_by is not None:
            self.it.live_by(lives_by, CLUSTER, self.now)

    def due(self, now: float, near: Around = ALONE) -> list[Deed]:
        self.now = now
        return self.it.due(now, near)

    def one(self, now: float, near: Around = ALONE) -> Deed:
        (deed,) = self.due(now, near)
        return deed

    def reads(self, version: int, found: WitnessRecord | None, near: Around = ALONE) -> None:
        """Waits for the next look, and answers it."""
        deed = self.one(max(self.now, self.it.next_s), near)
        assert isinstance(deed, ReadWitness)
        self.it.read(WitnessRead(version, found, deed.begun_at), self.now)

    def writes(self, near: Around = ALONE, ok: bool = True) -> WriteWitness:
        deed = self.one(max(self.now, self.it.next_s), near)
        assert isinstance(deed, WriteWitness)
        self.it.written(WitnessWritten(deed.version, ok, deed.begun_at), self.now)
        return deed

    def takes(self, number: int = 0) -> WriteWitness:
        self.reads(number, None if number == 0 else record())
        return self.writes()

    def state(self) -> WitnessState:
        status = self.it.status(self.now)
        assert status is not None
        return status.state


def bench() -> Bench:
    return Bench(view())
