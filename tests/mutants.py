"""One rule broken at a time, for as long as a `with` block lasts. Each must turn a scenario red."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from agent import core as agent_core
from agent import heartbeat, holds, pledges, source, vms, witness
from agent import views as agent_views
from agent.source_states import Deciding
from coordinator.membership import views
from coordinator.migration import attempts as coordinator_attempts
from coordinator.migration.conduct import Conductor
from coordinator.pen import Draft, Pen
from coordinator.scene import Scene
from coordinator.store import interface as store
from coordinator.store.interface import Indefinite
from coordinator.store.rows import VIEW
from coordinator.votes import quorum
from lab.simulation import migration as simmigration
from lab.simulation import vms as simvms
from protocol.messages import Decided
from protocol.names import Decision


@contextlib.contextmanager
def instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """`owner.name` is what `make` makes of it."""
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def drop_a_dirty_page() -> contextlib.AbstractContextManager[None]:
    """The tracker forgets one page of each scan: not the registers, which would be seen at once."""

    def broken(protect: Any) -> Any:
        def forgetful(worker: Any) -> int:
            mask: int = protect(worker)
            rest = mask & ~1
            return mask & ~(rest & -rest)

        return forgetful

    return instead(simmigration, "protect", broken)


def copy_before_protecting() -> contextlib.AbstractContextManager[None]:
    """What was written while a round travelled counts as sent."""

    def broken(go_on: Any) -> Any:
        def late(self: Any, number: int, todo: Any, done: int, began: float, verify: Any) -> None:
            if done >= len(todo) and verify is None:
                self.worker.advance()
                self.worker.dirty = 0
            go_on(self, number, todo, done, began, verify)

        return late

    return instead(simmigration.SourceStreams, "_go_on", broken)


def skip_the_epoch_check() -> contextlib.AbstractContextManager[None]:
    """An agent starts whatever it is told to start, also under an epoch that is over."""

    def broken(start: Any) -> Any:
        def credulous(self: Any, vm: Any, *rest: Any) -> Any:
            self.seen.pop(vm, None)
            return start(self, vm, *rest)

        return credulous

    return instead(vms.Vms, "start", broken)


def resume_the_source_after_the_commit() -> contextlib.AbstractContextManager[None]:
    """The source takes every decision for an abort."""

    def broken(step: Any) -> Any:
        def deaf(state: Any, event: Any, *rest: Any) -> Any:
            if isinstance(state, Deciding) and isinstance(event, Decided):
                event = replace(event, decision=Decision.ABORTED)
            return step(state, event, *rest)

        return deaf

    return instead(source, "step", broken)


def keep_the_throttle() -> contextlib.AbstractContextManager[None]:
    """Who ends an attempt forgets that its guest was slowed."""
    return instead(source, "unthrottled", lambda _: lambda state, order: ())


def count_the_lease_from_the_answer() -> contextlib.AbstractContextManager[None]:
    """Support counts from when the answer came in, not from when the heartbeat was sent."""

    def broken(hear_answer: Any) -> Any:
        def generous(self: Any, network: Any, answer: Any, now: float) -> bool:
            route = self._routes.get((answer.sender, network))
            if route is not None and answer.seq in route.sent:
                route.sent[answer.seq] = now
            return bool(hear_answer(self, network, answer, now))

        return generous

    return instead(heartbeat.Heartbeats, "hear_answer", broken)


def let_a_worker_outlive_its_lease() -> contextlib.AbstractContextManager[None]:
    """The worker looks at its holds only."""
    return instead(holds, "may_run", lambda _: lambda held, _end_s, _now_s: not held)


def let_a_restarted_peer_support_at_once() -> contextlib.AbstractContextManager[None]:
    """A new incarnation forgets that the one before it has promised something."""

    def broken(init: Any) -> Any:
        def forgetful(self: Any, *args: Any) -> None:
            init(self, *args)
            self.waits_until_s = float("-inf")

        return forgetful

    return instead(agent_views.Views, "__init__", broken)


def take_a_lost_state_for_a_first_life() -> contextlib.AbstractContextManager[None]:
    """A node that knows of no cluster believes that it has never promised anything."""

    def broken(propose: Any) -> Any:
        def trusting(self: Any, term: Any, view: Any, promises: Any, brand_new: bool) -> Any:
            if brand_new:
                self.waits_until_s = float("-inf")
            return propose(self, term, view, promises, brand_new)

        return trusting

    return instead(agent_views.Views, "propose", broken)


def acknowledge_a_view_before_promises_ran_out() -> contextlib.AbstractContextManager[None]:
    """Promises to those who are left out are not waited for."""
    return instead(heartbeat.Promises, "ran_out_at", lambda _: lambda self, keep: float("-inf"))


def decide_an_abort_by_a_read() -> contextlib.AbstractContextManager[None]:
    """An indefinite commit that a read does not show is taken for one that never happens."""

    def broken(answered: Any) -> Any:
        def hasty(self: Any, work: Any, result: Any, scene: Any) -> Any:
            writing = self._writing
            outcomes = answered(self, work, result, scene)
            if (
                isinstance(result, Indefinite)
                and writing is not None
                and writing.work is None
                and isinstance(writing.plan, coordinator_attempts.Commit)
            ):
                self._believed_open = writing.plan.attempt
            return outcomes

        return hasty

    return instead(Pen, "answered", broken)


def tell_what_was_read() -> contextlib.AbstractContextManager[None]:
    """The other half: both ends are told of the abort that was only believed."""

    def broken(tick: Any) -> Any:
        def hasty(self: Any) -> None:
            tick(self)
            attempt = getattr(self._desk.pen, "_believed_open", None)
            row = None if attempt is None else self._desk.scene.book.attempts.get(attempt)
            if row is not None and row.decision is Decision.OPEN:
                for is_source in (True, False):
                    self._tell_decided(row, is_source, Decision.ABORTED)

        return hasty

    return instead(Conductor, "tick", broken)


@contextlib.contextmanager
def abort_by_a_read() -> Iterator[None]:
    with decide_an_abort_by_a_read(), tell_what_was_read():
        yield


def skip_the_term_guard() -> contextlib.AbstractContextManager[None]:
    """The store compares rows and forgets to compare the term."""

    def broken(refusal: Any) -> Any:
        return lambda txn, term, rows: refusal(replace(txn, term=term or 1), term or 1, rows)

    return instead(store, "refusal", broken)


def commit_without_comparing_the_view() -> contextlib.AbstractContextManager[None]:
    """The commit does not ask whether the target's life is still in the view."""

    def broken(draft: Any) -> Any:
        def blind(self: Any, scene: Any) -> Any:
            with instead(type(scene), "may_own", lambda _: lambda *_args: True):
                made = draft(self, scene)
            if isinstance(made, Draft):
                made = replace(made, relies=tuple(k for k in made.relies if k != VIEW))
            return made

        return blind

    return instead(coordinator_attempts.Commit, "draft", broken)


def admit_two_migrations() -> contextlib.AbstractContextManager[None]:
    """A node takes part in as many migrations as it is asked to."""
    from coordinator.migration import travels

    return instead(travels, "places", lambda _: lambda book: 99)


def decide_on_after_changed_votes() -> contextlib.AbstractContextManager[None]:
    """The next view does not wait until leases by the votes before have ended."""
    calm = property(lambda scene: 0.0, lambda scene, until: None)
    return instead(Scene, "calm_until", lambda _: calm)


def tell_of_a_death_after_the_end() -> contextlib.AbstractContextManager[None]:
    """That a worker died is also told of a VM that was destroyed meanwhile."""

    def broken(ended: Any) -> Any:
        def talkative(self: Any, vm: Any, word: Any) -> None:
            vm.is_unwanted = False
            ended(self, vm, word)

        return talkative

    return instead(simvms.SimVms, "_ended", broken)


def leave_a_fork_to_itself() -> contextlib.AbstractContextManager[None]:
    """A VM whose worker is not there yet is called gone at once."""

    def broken(end: Any) -> Any:
        def hasty(self: Any, vm: Any, word: Any) -> None:
            if vm.worker is None:
                vm.is_ending = True
                self._ended(vm, word)
            else:
                end(self, vm, word)

        return hasty

    return instead(simvms.SimVms, "_end", broken)


def take_a_witness_at_once() -> contextlib.AbstractContextManager[None]:
    """Who contends for the witness does not wait for the promises of its last holder."""

    def broken(take_s: Any) -> Any:
        def hasty(self: Any) -> float:
            at_s: float = take_s(self)
            return float("-inf") if at_s < float("inf") else at_s

        return hasty

    return instead(witness.Carrier, "_take_s", broken)


@contextlib.contextmanager
def forget_what_the_witness_remembers() -> Iterator[None]:
    """Its holder carries the vote in any view, also in one older than the witness knows."""

    def counts(view: Any, record: Any) -> bool:
        return view is not None and view.votes.witness_votes > 0

    with (
        instead(witness, "is_carried_in", lambda _: counts),
        instead(witness, "is_as_new", lambda _: lambda view, record: True),
    ):
        yield


def count_the_witness_twice() -> contextlib.AbstractContextManager[None]:
    """The coordinator counts it with its holder, and once more for itself."""

    def broken(votes_of: Any) -> Any:
        def generous(config: Any, nodes: Any, witness: bool = False) -> int:
            counted: int = votes_of(config, nodes, witness)
            return counted + (config.witness_votes if witness else 0)

        return generous

    return instead(quorum, "votes_of", broken)


def ask_the_new_votes_only() -> contextlib.AbstractContextManager[None]:
    """A view that changes the votes holds with a quorum of the new ones."""
    return instead(views, "vote_configs", lambda of: lambda scene: of(scene)[:1])


def forget_longer_promises() -> contextlib.AbstractContextManager[None]:
    """A node whose clocks were turned down forgets that it promised for longer before."""

    def broken(retimed: Any) -> Any:
        return lambda self, record, timing, now: replace(record, timing=timing, outlast_s=0.0)

    return instead(pledges.Pledges, "retimed", broken)


def keep_guests_without_quorum_for_good() -> contextlib.AbstractContextManager[None]:
    """The grace time never ends."""
    return instead(agent_core.AgentCore, "_off_s", lambda _: lambda self: float("inf"))
