"""How a store that is empty or older than what is heard gets the database back from the disk
witness (docs/decisions/0013-database-on-the-disk-witness.md).

A coordinator asks one node after the other what the disk has. What it gets is put back only if it
is at least as new as all that is heard, and every node that it configures was heard; then nothing
that was decided after it can be unknown. Anything else is a refusal, as it is without a copy.
"""

from collections.abc import Callable

from coordinator.desk import Desk, Tell
from coordinator.leadership import staleness
from coordinator.leadership.doorstep import may_bring_database
from coordinator.leadership.judgement import Missing, Useless, judged
from coordinator.membership.agents import Agent
from coordinator.pen import Plan
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.shown.chronicle import Note
from coordinator.store.database import Damaged, Snapshot, unpacked
from coordinator.store.import_plan import Import, imports
from coordinator.votes.arbitration import HOLDING
from protocol.messages import CopyOffered, WantCopy
from protocol.names import ClusterId, Incarnation, Term, WitnessKind, WitnessState
from protocol.parts import Assembly

ANSWER_MAX_S = 15.0
"""How long one node may take to read the disk and to say what is there, before another is asked."""

Name = tuple[Incarnation, ClusterId, Term, int]


class Revival:
    """One for each coordinator: whom it has asked, what it was told, and what became of it."""

    def __init__(self, desk: Desk, turn_away: Callable[[Agent], None]) -> None:
        """`turn_away` takes who has nothing to offer to a store that is empty."""
        self._desk = desk
        self._turn_away = turn_away
        self._asked: Agent | None = None
        self._asked_at = 0.0
        self._tried: set[Incarnation] = set()
        self._coming: Assembly[Name] = Assembly()
        self._found: Snapshot | None = None
        self._told: Note | None = None
        self.is_importing = False
        self.waits = ""
        """Why nothing is decided yet, for who asks; empty while nothing waits for a copy."""

    def begin_anew(self) -> None:
        """Another term, and all say Hello again: what was told before may be over."""
        self._asked, self._found, self.waits = None, None, ""
        self._tried.clear()
        self._coming.forget()
        self.is_importing = False

    # ---- whether it goes on without

    def holds_back(self, is_forced: bool = False) -> bool:
        """Whether nothing must be decided by what the store has; asks and imports as need be. Who
        forces the quorum wants what the store has, unless that is no database at all.
        """
        scene = self._desk.scene
        if self.is_importing:
            return True
        self.waits = ""
        half_done = scene.book.importing is not None
        if not is_wanted(scene) or (is_forced and not half_done):
            return False
        if half_done:
            self.waits = (
                "The database is only in part put back from the disk witness (1561): start nodes"
                " that reach the disk, or restore the store from a backup."
            )
        if self._found is None:
            asks = self._asks()
            return half_done or (asks and scene.book.cluster is not None)
        return self._judges(self._found) or half_done

    def _judges(self, found: Snapshot) -> bool:
        match judged(self._desk.scene, found):
            case Missing(nodes):
                self.waits = (
                    "The store is older than the copy of it on the disk witness, which is put"
                    f" back once all its nodes were heard: start {', '.join(nodes)} (1561)."
                    if nodes
                    else "No node has read the disk witness yet: wait a moment."
                )
                if nodes:
                    self._tell(chronicle.database_waits(nodes))
                return True
            case Useless(reason):
                self._tell(chronicle.copy_is_useless(reason))
                self._found = None  # and who was asked is not asked again
                self._give_up()
                return False
            case None:
                self.waits = "The database is being put back from the disk witness: wait a moment."
                self.is_importing = True
                for plan in imports(self._desk.scene.book, found):
                    self._desk.pen.put(plan)
                return True

    def _tell(self, note: Note) -> None:
        """Each once; who does not lead writes nothing, and who is asked says it."""
        if note != self._told and self._desk.scene.book.cluster is None:
            self._told = note
            self._desk.pen.put(Tell((note,)))

    # ---- asking

    def _asks(self) -> bool:
        """Whether somebody is being asked, or has just been."""
        desk, scene = self._desk, self._desk.scene
        asked = self._asked
        if asked is not None:
            self._asked = asked if scene.agents.on(asked.link) is asked else None
            if self._asked is None:
                self._tried.discard(asked.incarnation)  # it may say Hello again
            elif scene.now < self._asked_at + ANSWER_MAX_S:
                return True
            self._asked = None
        best = min(candidates(scene, self._tried), key=_last_asked, default=None)
        if best is None:
            self._give_up()
            return False
        cluster = best.hello.cluster
        assert cluster is not None, "a candidate belongs to one"
        self._asked, self._asked_at = best, scene.now
        self._tried.add(best.incarnation)
        self._coming.forget()
        desk.send(best, WantCopy(cluster, scene.term, best.incarnation))
        if not self.waits:
            self.waits = f"The coordinator asks {best.node} what the disk witness has: wait."
        return True

    def offered(self, agent: Agent, offer: CopyOffered) -> None:
        """A part has come. One that was not asked for, or not of now, is not looked at."""
        if self._asked is not agent or offer.cluster != agent.hello.cluster:
            return
        if offer.parts == 0:
            self._asked = None
            return
        name = (agent.incarnation, offer.cluster, offer.copy_term, offer.revision)
        content = self._coming.add(name, offer.part, offer.parts, offer.content)
        if content is None:
            return
        self._asked = None
        try:
            found = unpacked(content, offer.copy_term, offer.revision)
        except Damaged as error:
            self._tell(chronicle.copy_is_useless(str(error)))
            return
        if found.cluster == offer.cluster:
            self._found = found
            self._desk.scene.given_up.clear()  # all of that cluster are wanted now
        if self._desk.scene.book.cluster is None:
            self.holds_back()  # who leads an empty store is not on the way to lead

    def _give_up(self) -> None:
        """Nothing of theirs can be put back: they are turned away, as they are without a copy. An
        import that was begun is never given up: all are asked again.
        """
        scene = self._desk.scene
        if scene.book.importing is not None:
            self._tried.clear()
            return
        for agent in list(scene.agents):
            if may_bring_database(scene, agent.hello):
                scene.given_up.add(agent.incarnation)
                self._turn_away(agent)

    # ---- what came of it

    def is_done(self, plan: Plan) -> bool:
        """`plan` was written: whether the whole database is in the store now."""
        return isinstance(plan, Import) and plan.is_last

    def dropped(self, plan: Plan) -> None:
        """The store is not what it was when this began."""
        if isinstance(plan, Import):
            self.begin_anew()


def is_wanted(scene: Scene) -> bool:
    """The store is empty, was left in the middle of an import, or is older than what is heard."""
    return (
        scene.book.importing is not None
        or scene.book.cluster is None
        or any(staleness.knows_more(scene, agent) for agent in scene.agents)
    )


def candidates(scene: Scene, tried: set[Incarnation]) -> list[Agent]:
    """Who may reach a disk witness of the cluster whose store this is, or may be."""
    cluster = scene.book.cluster
    found = []
    for agent in scene.agents:
        hello, status = agent.hello, agent.witness
        witness = None if hello.votes is None else hello.votes.witness
        if (
            hello.cluster is not None
            and (may_bring_database(scene, hello) if cluster is None else True)
            and (cluster is None or hello.cluster == cluster.id)
            and witness is not None
            and witness.kind is WitnessKind.DISK
            and (status is None or status.state is not WitnessState.UNREACHABLE)
            and agent.incarnation not in tried
        ):
            found.append(agent)
    return found


def _last_asked(agent: Agent) -> tuple[bool, str]:
    """Who holds the disk comes first."""
    holds = agent.witness is not None and agent.witness.state in HOLDING
    return not holds, agent.node
