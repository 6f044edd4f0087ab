"""Whether a copy of the cluster database may take the place of what the store has.

Every node that the copy configures is to be heard, and none may know anything newer than the copy
has. Then the copy's vote configuration is the newest that ever held, since the next one would need
a node of it; all who could have been given anything are heard; and what they run is in the copy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from coordinator.leadership import staleness
from coordinator.leadership.doorstep import LEAP_MAX
from coordinator.membership.agents import Agent
from coordinator.scene import Scene
from coordinator.store.book import Book
from coordinator.store.database import Snapshot
from protocol.names import NodeName, VmName


@dataclass(frozen=True, slots=True)
class Missing:
    """It may be, once these were heard; of none: once one has read the witness's own record."""

    nodes: tuple[NodeName, ...]


@dataclass(frozen=True, slots=True)
class Useless:
    """It may not be, whoever else is heard."""

    reason: str


def judged(scene: Scene, found: Snapshot) -> Missing | Useless | None:
    """None: it may be put back now."""
    agents = [agent for agent in scene.agents if agent.hello.cluster == found.cluster]
    for reason in (*_newer_told(found.book, agents), *_newer_kept(found.book, scene.book)):
        return Useless(reason)
    # One whose own record is gone remembers nothing, so it has not been heard.
    heard = {agent.node for agent in agents}
    missing = tuple(sorted(found.book.nodes.keys() - heard))
    if missing:
        return Missing(missing)
    if not any(agent.witness is not None and agent.witness.newest_index for agent in agents):
        return Missing(())
    return None


def _newer_told(book: Book, agents: list[Agent]) -> Iterator[str]:
    """What agents know, or the witness remembers, that the copy has not."""
    view = book.view
    assert view is not None, "a snapshot has a view"
    told = [staleness.told_by(agent) for agent in agents]
    for agent, (number, index) in zip(agents, told, strict=True):
        if number > view.view.number:
            yield f"{agent.node} knows of view {number}, and it has {view.view.number}"
        if index > view.view.votes.index:
            yield f"{agent.node} knows of votes {index}, and it has {view.view.votes.index}"
        for report in agent.hello.vms:
            epoch = _epoch(book, report.vm)
            if report.epoch > epoch:
                yield f"{agent.node} has {report.vm} of epoch {report.epoch}, and it has {epoch}"
        for attempt in agent.hello.attempts:
            if attempt.attempt > book.counter.attempts:
                yield f"{agent.node} takes part in attempt {attempt.attempt}, which it has not"
    newest = (max((n for n, _ in told), default=0), max((i for _, i in told), default=0))
    if told and (
        view.view.number > newest[0] + LEAP_MAX or view.view.votes.index > newest[1] + LEAP_MAX
    ):
        yield "its numbers are further up than any leader of this cluster came"


def _newer_kept(book: Book, store: Book) -> Iterator[str]:
    """What the store itself has that contradicts the copy: it is not older, then."""
    cluster = book.cluster
    assert cluster is not None, "a snapshot has a cluster"
    if store.cluster is not None and store.cluster.id != cluster.id:
        yield f"it is of cluster {cluster.id}"
    if store.view is not None and book.view is not None:
        if store.view.view.number > book.view.view.number:
            yield f"the store has view {store.view.view.number}"
        if store.view.view.votes.index > book.view.view.votes.index:
            yield f"the store has votes {store.view.view.votes.index}"
    if store.counter.attempts > book.counter.attempts:
        yield f"the store has attempt {store.counter.attempts}"
    for name, vm in store.vms.items():
        if vm.epoch > _epoch(book, name):
            yield f"the store has {name} of epoch {vm.epoch}"
    for name, gone in store.deleted.items():
        if gone.epoch > _epoch(book, name):
            yield f"the store has {name} deleted at epoch {gone.epoch}"


def _epoch(book: Book, name: VmName) -> int:
    """The newest epoch of a VM that the rows know, deleted or not; below any if they do not."""
    vm, gone = book.vms.get(name), book.deleted.get(name)
    return max(-1 if vm is None else vm.epoch, -1 if gone is None else gone.epoch)
