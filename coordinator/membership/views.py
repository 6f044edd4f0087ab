"""Membership: who belongs into the next view, and the transactions that write views."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from coordinator.membership import links
from coordinator.membership.agents import Agent
from coordinator.membership.stopping import OPERATOR_STOPPED, why_leaving
from coordinator.networks.networks import as_member, is_reachable
from coordinator.pen import Draft
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.rows import VIEW, Dropped, ViewRow
from coordinator.votes import arbitration, quorum
from coordinator.votes.arbitration import vote_configs
from coordinator.votes.dealing import next_index
from protocol.names import Incarnation, Member, NodeName, View, ViewNumber, VoteConfig

LINKS_BROKEN = "its links to members that stay are broken"
OPERATOR_EVICTED = "an operator has evicted it"
LEFT_MAX = 512
"""How many incarnations that left are remembered; each restart of an agent makes one."""


@dataclass(frozen=True, slots=True)
class Changes:
    """How the next view differs from the newest one. `sent_away` are those of the dropped who are
    alive and may not come back at once.
    """

    members: tuple[Member, ...]
    dropped: tuple[Dropped, ...]
    sent_away: tuple[Dropped, ...] = ()


def wanted(scene: Scene) -> Changes | None:
    """The next view's members, or None while nothing is to change or nobody could decide it.

    A view that is still to hold is only replaced to drop somebody, or if it lacks the votes; else
    who wants in waits for it. Where too few would be left, those who are here but without a lease
    are kept in, and then those whose links are broken.
    """
    row = scene.book.view
    if row is None:
        return None
    over = _dropped(row, lambda member: why_gone(scene, member) or why_leaving(scene, member))
    links.note_lives(scene, {out.node for out in over})
    if scene.now < scene.calm_until:
        return None
    cut = links.regrouped(scene, {out.node for out in over})
    apart = _dropped(row, lambda member: LINKS_BROKEN if member.node in cut else "")
    helpless = _dropped(row, lambda member: why_helpless(scene, member))
    known = {out.node for out in (*over, *apart)}
    away = (*apart, *(out for out in helpless if out.node not in known))
    return (
        _without(scene, row, over, away)
        or _without(scene, row, over, apart)
        or _without(scene, row, over, ())
    )


def _dropped(row: ViewRow, why: Callable[[Member], str]) -> tuple[Dropped, ...]:
    reasons = ((member, why(member)) for member in row.view.members)
    return tuple(Dropped(m.node, m.incarnation, reason) for m, reason in reasons if reason)


def _without(
    scene: Scene, row: ViewRow, over: tuple[Dropped, ...], away: tuple[Dropped, ...]
) -> Changes | None:
    """The newest view without these and with all who may join, if that has the votes.

    Who was sent away lately waits outside, but where the others are too few without it.
    """
    dropped = (*over, *away)
    out = {drop.node for drop in dropped}
    stopped = {drop.node for drop in over if drop.reason == OPERATOR_STOPPED}
    members = {member.node: member for member in row.view.members if member.node not in out}
    joining = [agent for agent in scene.agents if _may_join(scene, row, agent, members, dropped)]
    welcome = [agent for agent in joining if scene.returns.may_return(agent.node, scene.now)]
    waits = not row.holds and _can_hold(scene, row.view)
    for joined in (welcome, joining):
        nodes = {**members, **{agent.node: as_member(scene, agent) for agent in joined}}
        if nodes and arbitration.have_quorum(scene, set(nodes), letting_go=stopped):
            if not dropped and (not joined or waits):
                return None
            return Changes(tuple(nodes[node] for node in sorted(nodes)), dropped, away)
    return None


def _can_hold(scene: Scene, view: View) -> bool:
    """Its members who are heard have the votes. A change of votes may have lost some on its way:
    then those who are outside have to be let in, or it would never hold.
    """
    heard = {member.node for member in view.members if not scene.silent(member.node)}
    return arbitration.have_quorum(scene, heard)


def _may_join(
    scene: Scene,
    row: ViewRow,
    agent: Agent,
    members: Mapping[NodeName, Member],
    dropped: tuple[Dropped, ...],
) -> bool:
    return (
        agent.welcomed
        and agent.node not in members
        and agent.node in scene.book.nodes
        and not scene.book.nodes[agent.node].stopped
        and agent.incarnation not in row.left
        and not scene.silent(agent.node)
        and agent.incarnation not in {drop.incarnation for drop in dropped}
        and is_reachable(scene, agent)
    )


def why_gone(scene: Scene, member: Member) -> str:
    """Why this life of a member is over; empty if it is not."""
    agent = scene.agents.at(member.node)
    row = scene.book.view
    if (
        agent is not None
        and agent.welcomed
        and agent.incarnation != member.incarnation
        and row is not None
        and agent.incarnation not in row.left
    ):
        return "it came back as a new incarnation"
    if scene.silent(member.node) and _unheard(scene, member.node):
        return "it is unheard on every network"
    return ""


def why_helpless(scene: Scene, member: Member) -> str:
    """Why a member that is here is of no use: it may not run guests, and has not for a lease.

    A new life that still waits for the promises of the one before lives by no view yet.
    """
    agent = scene.agents.living(member.node, member.incarnation)
    lease_s = scene.book.timing.support_s
    if (
        agent is not None
        and agent.no_lease_since is not None
        and not scene.silent(member.node)
        and scene.in_held_view(member.node, member.incarnation)
        and (agent.view > 0 or not links.is_young(scene, member))
        and scene.now - agent.no_lease_since > lease_s
    ):
        return f"it has had no lease for {lease_s:g} s: too few members support it"
    return ""


def _unheard(scene: Scene, node: NodeName) -> bool:
    """Every connected member has reported and does not hear `node`; without any, nobody can say."""
    row = scene.book.view
    assert row is not None
    said = False
    for member in row.view.members:
        agent = scene.agents.living(member.node, member.incarnation)
        if agent is None or member.node == node or scene.silent(member.node):
            continue
        if not agent.ponged or node in agent.hears:
            return False
        said = True
    return said


def acked_by(scene: Scene, view: View) -> set[NodeName]:
    """Members that have acknowledged `view` under this term."""
    return {
        member.node
        for member in view.members
        if (agent := scene.agents.living(member.node, member.incarnation)) is not None
        and agent.acked == view.number
    }


def witness_acked(scene: Scene, view: View, config: VoteConfig) -> bool:
    """The witness of `config` remembers `view`, and who holds it lives by it.

    Who acknowledges with a witness speaks of the view's own. A configuration with another one gets
    nothing of that.
    """
    return config.witness == view.votes.witness and any(
        agent.acked_with_witness == view.number
        for member in view.members
        if (agent := scene.agents.living(member.node, member.incarnation)) is not None
    )


def comes_to_hold(scene: Scene) -> bool:
    """Quorums of the old and of the new vote configuration live by the newest view.

    A forced view needs nobody's but its own; it holds when all promises that others may have had
    from before have run out.
    """
    row = scene.book.view
    if row is None or row.holds:
        return False
    if row.view.votes.forced and scene.now < scene.calm_until:
        return False
    acked = acked_by(scene, row.view)
    return all(
        quorum.has_quorum(config, acked, witness_acked(scene, row.view, config))
        for config in vote_configs(scene)
    )


def next_number(scene: Scene) -> ViewNumber:
    """Above every view that the store or any agent has told of."""
    row = scene.book.view
    known = 0 if row is None else row.view.number
    return ViewNumber(max(known, scene.highest_view) + 1)


def left_by(row: ViewRow, members: Iterable[Member]) -> tuple[Incarnation, ...]:
    """All who were in a held view and are not among `members`, the newest last."""
    staying = {member.incarnation for member in members}
    before = () if row.held is None else row.held.members
    gone = [member.incarnation for member in before if member.incarnation not in staying]
    return tuple(dict.fromkeys([*row.left, *gone]))[-LEFT_MAX:]


@dataclass(frozen=True, slots=True)
class ProposeNext:
    """Write the view that `wanted` asks for; it is proposed once it is written."""

    def draft(self, scene: Scene) -> Draft | None:
        row, changes = scene.book.view, wanted(scene)
        if row is None or changes is None:
            return None
        # They are out when the promises to them have run out, and wait from then on.
        timing, out_at = scene.book.timing, scene.now + scene.book.timing.outlast_s
        for out in changes.sent_away:
            scene.returns.sent_away(out.node, out.incarnation, timing.support_s, out_at)
        pending = () if row.holds else row.dropped
        number = next_number(scene)
        written = ViewRow(
            View(number, changes.members, row.view.votes),
            row.held,
            scene.term,
            row.changed and not row.holds,
            (*pending, *changes.dropped),
            left_by(row, changes.members),
        )
        return Draft(puts=((VIEW, written.data()),))


@dataclass(frozen=True, slots=True)
class ProposeAgain:
    """Write the same members under numbers above those that the store has never heard of."""

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.view
        if row is None:
            return None
        votes = row.view.votes
        outnumbered = scene.highest_index > votes.index
        if row.view.number >= scene.highest_view and not outnumbered:
            return None
        if outnumbered:
            votes = replace(votes, index=next_index(scene))
        view = replace(row.view, number=next_number(scene), votes=votes)
        changed = outnumbered or (row.changed and not row.holds)
        again = replace(row, view=view, term=scene.term, changed=changed)
        return Draft(puts=((VIEW, again.data()),))


def _gone_note(out: Dropped, number: ViewNumber) -> chronicle.Note:
    if out.reason in (OPERATOR_STOPPED, OPERATOR_EVICTED):
        return chronicle.node_left(out.node, out.incarnation, number, out.reason)
    return chronicle.node_removed(out.node, out.incarnation, number, out.reason)


@dataclass(frozen=True, slots=True)
class MarkHeld:
    """Write that view `number` holds; from then on it decides who may own VMs."""

    number: ViewNumber

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.view
        if row is None or row.view.number != self.number or not comes_to_hold(scene):
            return None
        before = set() if row.held is None else {m.incarnation for m in row.held.members}
        notes = [_gone_note(out, self.number) for out in row.dropped if out.incarnation in before]
        notes += [
            chronicle.node_joined(member.node, member.incarnation, self.number)
            for member in row.view.members
            if member.incarnation not in before
        ]
        written = replace(row, held=row.view, dropped=())
        living = acked_by(scene, row.view)
        if before and not any(
            member.incarnation in before for member in row.view.members if member.node in living
        ):
            written = replace(written, cold_at=scene.wall)
        return Draft(puts=((VIEW, written.data()),), notes=tuple(notes))
