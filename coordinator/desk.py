"""What every part of the core works with: the scene, the pen, and the actions so far."""

from dataclasses import dataclass, field

from coordinator.actions import Action, Answer, CloseLink, Send
from coordinator.events import LinkId, RequestId, WorkId
from coordinator.membership.agents import Agent
from coordinator.pen import Draft, Pen
from coordinator.requests import Response
from coordinator.scene import Scene
from coordinator.shown.chronicle import Note
from protocol.messages import ToAgent
from protocol.names import ClusterId


@dataclass(slots=True)
class Desk:
    scene: Scene
    pen: Pen = field(default_factory=Pen)
    out: list[Action] = field(default_factory=list)
    works: int = 0
    look: bool = False
    """Something has changed that may ask for another view."""

    @property
    def cluster(self) -> ClusterId:
        row = self.scene.book.cluster
        assert row is not None, "nobody is addressed before there is a cluster"
        return row.id

    def new_work(self) -> WorkId:
        self.works += 1
        return WorkId(self.works)

    def send(self, agent: Agent, message: ToAgent) -> None:
        self.out.append(Send(agent.link, message))

    def answer(self, request: RequestId | None, response: Response) -> None:
        if request is not None:
            self.out.append(Answer(request, response))

    def hang_up(self, link: LinkId, reason: str) -> None:
        self.scene.agents.forget(link)
        self.out.append(CloseLink(link, reason))
        self.look = True


@dataclass(frozen=True, slots=True)
class Tell:
    """Lines for the event log that come with no decision."""

    notes: tuple[Note, ...]

    def draft(self, scene: Scene) -> Draft:
        return Draft(notes=self.notes)
