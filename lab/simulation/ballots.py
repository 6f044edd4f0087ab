"""Counts votes the slow way, from what nodes and witnesses really have on their disks: nobody's
word, and no code of the coordinator, is believed.

A view that holds needs more than half of all votes of its own configuration and of the one that
held before; a witness counts once, and only if it was written by a member before that said so.
"""

import collections
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agent.actions import NodeRecord
from protocol.messages import ViewAcked
from protocol.names import Incarnation, NodeName, ViewNumber

if TYPE_CHECKING:
    from lab.simulation.witness import SimWitness

Value = Mapping[str, Any]


class Violation(AssertionError):
    """A promise was broken; the sentence says which."""


class Ballots:
    """Who has acknowledged which view, and what each witness remembers."""

    def __init__(self) -> None:
        self.exempt: list[str] = []
        """Views that an operator forced: no vote stands behind them, and the verdict says so."""

        self._acked: dict[int, dict[Incarnation, int]] = collections.defaultdict(dict)
        """The index of the votes on the disk of whoever acknowledged a view, at that moment."""

        self._by_witness: dict[int, set[Incarnation]] = collections.defaultdict(set)
        self._written: dict[tuple[str, Incarnation], ViewNumber] = {}

    # ---- what is seen

    def watch(self, witness: "SimWitness") -> None:
        """Remember up to which view each holder has written this witness, its release included."""

        def written(before: Any, record: Any) -> None:
            if record is None:
                return
            writer = record.holder or (before.holder if before is not None else "")
            if writer:
                key = (witness.name, Incarnation(writer))
                self._written[key] = max(record.view, self._written.get(key, ViewNumber(0)))

        witness.on_write.append(written)

    def acknowledged(self, message: ViewAcked, disk: NodeRecord) -> None:
        """A node says that it lives by a view, which its disk has to say, too."""
        if disk.view < message.view:
            raise Violation(
                f"{message.incarnation} acknowledges view {message.view},"
                f" and its disk knows {disk.view}"
            )
        index = 0 if disk.votes is None else disk.votes.index
        self._acked[message.view].setdefault(message.incarnation, index)
        if message.with_witness:
            self._by_witness[message.view].add(message.incarnation)

    def persisted(self, node: NodeName, old: NodeRecord, new: NodeRecord) -> None:
        before = 0 if old.votes is None else old.votes.index
        after = 0 if new.votes is None else new.votes.index
        if after < before:
            raise Violation(f"{node} knew vote configuration {before} and goes back to {after}")

    # ---- the count

    def view_holds(self, view: Value, before: Value | None) -> None:
        """`view` was written as one that holds, after `before`, the one that held until then."""
        if view["votes"]["forced"]:
            if (before is None) or not before["votes"]["forced"]:
                members = ", ".join(member["node"] for member in view["members"])
                self.exempt.append(
                    f"view {view['number']} of {members} was forced by an operator's oath:"
                    " nothing is demanded of its votes, nor of guests elsewhere"
                )
            return
        configs = [view["votes"]]
        if before is not None and before["votes"] != view["votes"]:
            configs.append(before["votes"])
        for config in configs:
            if not config["forced"]:
                self._count(view, config)

    def _count(self, view: Value, config: Value) -> None:
        number = view["number"]
        voters = {
            member["node"]
            for member in view["members"]
            if member["incarnation"] in self._acked[number]
        }
        have = sum(votes for node, votes in config["votes"] if node in voters)
        total = sum(votes for _, votes in config["votes"])
        if config["witness"] is not None:
            total += config["witness_votes"]
            lives = [member["incarnation"] for member in view["members"]]
            if self._witness_acked(config["witness"][2], number, lives):
                have += config["witness_votes"]
        if 2 * have <= total:
            raise Violation(
                f"view {number} holds with {have} of {total} votes of configuration"
                f" {config['index']}, those of {sorted(voters) or 'nobody'}"
            )
        kept = self._acked[number].values()
        if config is view["votes"] and min(kept, default=config["index"]) < config["index"]:
            raise Violation(f"somebody acknowledged view {number} without keeping its votes")

    def _witness_acked(self, path: str, number: int, lives: Iterable[Incarnation]) -> bool:
        """A member has written this view to this very witness, and then said so."""
        return any(
            life in self._by_witness[number] and self._written.get((path, life), 0) >= number
            for life in lives
        )
