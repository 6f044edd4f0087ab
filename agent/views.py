"""Which view this node lives by, and when it may acknowledge the next.

An acknowledgement says: nobody who is not in this view can still count on me. So it waits until
every promise of support to those who are left out has run out, and, in a new incarnation, every
promise of the one before.
"""

import enum
from dataclasses import dataclass

from agent.heartbeat import Promises
from agent.lease import NEVER
from protocol.names import Incarnation, NodeName, Term, View, ViewNumber


class Verdict(enum.Enum):
    """What a node makes of a proposed view."""

    PENDING = "it will be acknowledged as soon as the promises that stand against it have run out"
    ADOPTED = "it is the one that this node lives by already"
    OLD = "this node lives by a newer one"
    NOT_IN_YET = "this incarnation was in no view so far, and is not in this one"
    LEFT_OUT = "this incarnation was in a view, and is not in this one"
    DIFFERS = "it has the number of the adopted view, but is another"


@dataclass(frozen=True, slots=True)
class Pending:
    """A proposed view that waits until `ready_s` for promises to run out."""

    term: Term
    view: View
    ready_s: float
    members: frozenset[Incarnation]


class Views:
    """The adopted view and at most one pending; a newer proposal replaces an older one."""

    def __init__(
        self, node: NodeName, incarnation: Incarnation, acked: ViewNumber, waits_until_s: float
    ) -> None:
        self.adopted: View | None = None
        self.pending: Pending | None = None
        self.waits_until_s = waits_until_s
        self._node = node
        self._incarnation = incarnation
        self._acked = acked
        self._was_in_one = False

    @property
    def number(self) -> ViewNumber:
        """The newest number that this node has acknowledged, in this life or an earlier one."""
        return self._acked

    def wait_until(self, s: float) -> None:
        """The start wait lasts so long at least."""
        self.waits_until_s = max(self.waits_until_s, s)

    def propose(self, term: Term, view: View, promises: Promises, brand_new: bool) -> Verdict:
        """Take a leader's proposal. `brand_new`: this node never belonged to a cluster before this
        one.

        A brand-new node in a cluster's first view has promised nothing in any earlier life: it need
        not wait.
        """
        if self.adopted is not None and view.number == self.adopted.number:
            return Verdict.ADOPTED if view == self.adopted else Verdict.DIFFERS
        if view.number <= self._acked:
            return Verdict.OLD
        if view.incarnation_of(self._node) != self._incarnation:
            return Verdict.LEFT_OUT if self._was_in_one else Verdict.NOT_IN_YET
        if self.pending is not None and view.number < self.pending.view.number:
            return Verdict.OLD
        self._was_in_one = True
        if brand_new and view.number == 1:
            self.waits_until_s = NEVER
        members = frozenset(member.incarnation for member in view.members)
        ready_s = max(self.waits_until_s, promises.ran_out_at(members))
        self.pending = Pending(term, view, ready_s, members)
        return Verdict.PENDING

    def may_support(self, incarnation: Incarnation, now: float) -> bool:
        """Whether a promise to `incarnation` may be made now, as far as views have a say in it."""
        if now < self.waits_until_s:
            return False
        return self.pending is None or incarnation in self.pending.members

    @property
    def ready_s(self) -> float:
        return float("inf") if self.pending is None else self.pending.ready_s

    def take_ready(self, now: float) -> View | None:
        """The pending view, if it may be acknowledged now; it is the adopted one from then on."""
        if self.pending is None or now < self.pending.ready_s:
            return None
        view = self.pending.view
        self.adopted, self.pending, self._acked = view, None, view.number
        return view

    def drop_pending(self) -> None:
        """Forget a proposal whose leader is gone: nothing was acknowledged, and the next leader
        proposes anew.
        """
        self.pending = None
