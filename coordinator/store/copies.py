"""Keeps the cluster database on the disk witness: a leader gives it to whoever holds the disk."""

from dataclasses import dataclass

from coordinator.desk import Desk, Tell
from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store import database
from coordinator.store.book import Book
from coordinator.store.rows import COUNTER
from coordinator.votes.arbitration import holders, vote_configs
from protocol.messages import CopyKept, KeepCopy
from protocol.names import Incarnation, WitnessKind
from protocol.parts import cut

PAUSE_S = 3.0
"""Between two copies, so that a change of many rows makes one; changed votes do not wait."""

AGAIN_S = 15.0
"""A copy that was not kept, or not answered for, is given again."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a copy has of the rows that matter: equal marks, equal rows."""

    votes: int
    revision: int
    rows: int


@dataclass(slots=True)
class _Given:
    to: Incarnation
    mark: Mark
    revision: int
    at: float
    kept: bool = False


class CopyKeeper:
    """One for each coordinator: to whom it gave which copy, and whether that is on the disk."""

    def __init__(self) -> None:
        self._given: _Given | None = None
        self._failed = False

    def forget(self) -> None:
        """It leads no more, and later under another term."""
        self._given = None

    def keep(self, desk: Desk) -> None:
        """While leading: give the holder the database if the disk has not this one."""
        scene = desk.scene
        holder = holder_of_disk(scene)
        if holder is None:
            return
        mark, given = mark_of(scene.book), self._given
        if given is not None and given.to == holder.incarnation:
            since_s = scene.now - given.at
            if mark == given.mark and (given.kept or since_s < AGAIN_S):
                return
            if mark.votes == given.mark.votes and since_s < PAUSE_S:
                return
        self._give(desk, holder, mark)

    def _give(self, desk: Desk, holder: Agent, mark: Mark) -> None:
        scene = desk.scene
        revision = database.revision_of(scene.book)
        self._given = _Given(holder.incarnation, mark, revision, scene.now)
        try:
            pieces = cut(database.packed(scene.book))
        except ValueError as error:
            self._fail(desk, holder, str(error))
            return
        for part, piece in enumerate(pieces):
            desk.send(
                holder,
                KeepCopy(
                    desk.cluster,
                    scene.term,
                    holder.incarnation,
                    revision,
                    part,
                    len(pieces),
                    piece,
                ),
            )

    def told(self, desk: Desk, agent: Agent, kept: CopyKept) -> None:
        given = self._given
        if given is None or kept.term != desk.scene.term or given.to != agent.incarnation:
            return
        if kept.reason:
            self._fail(desk, agent, kept.reason)
        elif kept.revision == given.revision:
            given.kept, self._failed = True, False

    def _fail(self, desk: Desk, holder: Agent, reason: str) -> None:
        """Told once, until a copy is kept again."""
        if not self._failed:
            desk.pen.put(Tell((chronicle.copy_not_kept(holder.node, reason),)))
        self._failed = True


def holder_of_disk(scene: Scene) -> Agent | None:
    """The welcomed agent that holds the disk witness of the newest votes, if these have one."""
    for config in vote_configs(scene)[:1]:
        if config.witness is None or config.witness.kind is not WitnessKind.DISK:
            return None
        for node in sorted(holders(scene, config)):
            agent = scene.agents.at(node)
            if agent is not None and agent.welcomed:
                return agent
    return None


def mark_of(book: Book) -> Mark:
    """Records of migrations and the counter change without anybody's right changing."""
    matter = [
        revision
        for key, revision in book.revisions.items()
        if key != COUNTER and not key.startswith("attempt/")
    ]
    votes = 0 if book.view is None else book.view.view.votes.index
    return Mark(votes, max(matter, default=0), len(matter))
