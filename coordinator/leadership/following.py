"""What a coordinator that does not lead knows and says: the rows, and who leads.

It mirrors the store's rows and makes the same picture of them as a leader. What only agents could
tell it takes from the view that holds: its members are up, and their guests do what rows say.
"""

from dataclasses import replace

from coordinator.config import CoordinatorConfig
from coordinator.events import LinkId
from coordinator.leadership.candidacy import Rival
from coordinator.leadership.leading import Phase
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown.picture import Picture, picture_of
from coordinator.store.book import PREFIXES, Book
from coordinator.store.interface import TERM_KEY, Row, term_of
from protocol.messages import Hello, RouteReport
from protocol.names import Term, View

MIRRORED = (TERM_KEY, *PREFIXES)


class Following:
    """Feed it rows and who holds the election; ask it for a picture, or for a refusal."""

    def __init__(self, config: CoordinatorConfig) -> None:
        self._config = config
        self._book = Book()
        self._revisions: dict[str, int] = {}
        self._term = Term(0)
        self._leader_of_term = ""
        self._holder: Rival | None = None

    def begin(self, rows: tuple[Row, ...]) -> None:
        """These are all rows; what was known before is forgotten."""
        self._book, self._revisions = Book(), {}
        for row in rows:
            self.learn(row)

    def learn(self, row: Row) -> None:
        """A row as it is now; one that is older than what is known is not looked at."""
        if row.revision < self._revisions.get(row.key, 0):
            return
        self._revisions[row.key] = row.revision
        if row.key == TERM_KEY:
            self._term = Term(term_of(row))
            self._leader_of_term = "" if row.value is None else str(row.value["leader"])
        elif row.key.startswith(PREFIXES):
            self._book.learn_row(row)

    def led_by(self, holder: Rival | None) -> None:
        self._holder = holder

    @property
    def leader(self) -> Rival | None:
        """Who holds the election and has taken a term; what one of both alone says may be old."""
        holder = self._holder
        return holder if holder is not None and holder.name == self._leader_of_term else None

    def waiting(self) -> str:
        """Why nothing is decided here, and who is to be asked instead."""
        leader = self.leader
        if leader is None:
            return (
                f"{self._config.leader} follows and no coordinator leads at this moment: ask again"
                " in a few seconds."
            )
        where = f" at {leader.api}" if leader.api else ""
        return f"{self._config.leader} follows: {leader.name} leads, ask it{where}."

    def refusal(self) -> Declined:
        """The answer to whoever wants something changed."""
        if self.leader is None:
            return Declined(503, "no-leader", self.waiting())
        return Declined(421, "not-leader", self.waiting())

    def turned_away(self) -> str:
        """What an agent hears, before it goes on to the next coordinator."""
        leader = self.leader
        return "Nobody leads here yet." if leader is None else f"{leader.name} leads."

    def picture(self, now: float) -> Picture:
        scene = Scene(self._config, now, self._book, term=self._term)
        held = scene.held
        if held is not None:
            _as_heard(scene, held)
        leader = self.leader
        seen = picture_of(scene, Phase.DEPOSED, {})
        status = {
            **seen.status,
            "leader": None if leader is None else leader.name,
            "leader_api": None if leader is None else leader.api or None,
            "followers": [self._config.leader],
        }
        status["leader_api"] = None if leader is None else leader.api
        status["quorum"] = {**status["quorum"], "has_quorum": leader is not None}
        nodes = tuple({**node, "connected": False} for node in seen.nodes)
        return replace(seen, status=status, nodes=nodes, available=(), waiting=self.waiting())


def _as_heard(scene: Scene, view: View) -> None:
    """Let each member of `view` be heard, with all that its rows say of it."""
    for number, member in enumerate(view.members):
        vms = scene.book.vms.values()
        row = scene.book.nodes.get(member.node)
        hello = Hello(
            *(member.node, member.incarnation, None, scene.term, view.number, view.votes),
            *(member.endpoint, 0 if row is None else row.memory_bytes),
            tracker="map",
        )
        scene.agents.greet(LinkId(number), hello, scene.now)
        agent = scene.agents.at(member.node)
        assert agent is not None, "it has just been greeted"
        agent.welcomed = agent.ponged = True
        agent.acked = view.number
        agent.online = {vm.name: vm.epoch for vm in vms if vm.owner == member.node}
        others = [other for other in view.members if other.node != member.node]
        agent.hears = frozenset(other.node for other in others)
        agent.routes = tuple(
            RouteReport(other.node, network, True)
            for other in others
            for network, _ in other.endpoint.addresses
            if network in dict(member.endpoint.addresses)
        )
