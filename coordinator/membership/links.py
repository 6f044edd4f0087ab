"""Who hears whom, as the connected members report it: what a regroup is made from."""

from collections.abc import Set

from coordinator.membership import properties
from coordinator.membership.regroup import Pattern, Peer
from coordinator.scene import Scene
from coordinator.votes import arbitration
from protocol.names import Member, NetworkName, NodeName, VoteConfig


def regrouped(scene: Scene, gone: Set[NodeName]) -> frozenset[NodeName]:
    """Who of the newest view has to go because links are broken, beside those who are `gone`."""
    row = scene.book.view
    assert row is not None
    members = tuple(member for member in row.view.members if member.node not in gone)

    def quorate(nodes: Set[NodeName]) -> bool:
        """Only who is heard can acknowledge, so only their votes make a view hold."""
        heard = {node for node in nodes if not scene.silent(node)}
        return arbitration.have_quorum(scene, heard)

    opening_s = properties.number(scene.book, "ClusSvcRegroupOpeningTimeout")
    pruning_s = properties.number(scene.book, "ClusSvcRegroupPruningTimeout")
    pattern = pattern_of(scene, members)
    return scene.regroup.advance(pattern, quorate, opening_s, pruning_s, scene.now)


def pattern_of(scene: Scene, members: tuple[Member, ...]) -> Pattern:
    """A link is whole while one network carries it, as seen by both ends that can be heard."""
    row = scene.book.view
    assert row is not None
    reports = [_report(scene, member) for member in members]
    young = [is_young(scene, member) for member in members]
    masks = [0] * len(members)
    for one in range(len(members)):
        for other in range(one):
            up = _is_up(members[one], reports[one], members[other], reports[other])
            if up is not False or young[one] or young[other]:
                masks[one] |= 1 << other
                masks[other] |= 1 << one
    return Pattern(_peers(scene, members, row.view.votes), tuple(masks))


def _peers(scene: Scene, members: tuple[Member, ...], config: VoteConfig) -> tuple[Peer, ...]:
    votes, holding, rows = dict(config.votes), arbitration.holders(scene, config), scene.book.nodes
    return tuple(
        Peer(
            member.node,
            rows[member.node].id if member.node in rows else 0,
            votes.get(member.node, 0),
            _reported_at(scene, member),
            member.node in holding,
        )
        for member in members
    )


def _reported_at(scene: Scene, member: Member) -> float | None:
    """One that is here and has not reported yet is waited for."""
    if scene.silent(member.node):
        return None
    agent = scene.agents.living(member.node, member.incarnation)
    return agent.heard_at if agent is not None and agent.ponged else float("-inf")


Report = dict[NodeName, set[NetworkName]]
"""Which networks carry the link to each node, as one of the ends has it."""


def _report(scene: Scene, member: Member) -> Report | None:
    """What the member last said of its routes; None while it is not heard.

    It may not live by the newest view yet. Of lives that are older than that view this says
    nothing else, and younger ones are not judged by it.
    """
    agent = scene.agents.living(member.node, member.incarnation)
    if agent is None or not agent.ponged or scene.silent(member.node):
        return None
    return agent.carried


def _is_up(one: Member, says: Report | None, other: Member, answers: Report | None) -> bool | None:
    """Whether a network carries the link both ways; None where neither end can be asked."""
    if says is None or answers is None:
        if says is None and answers is None:
            return None
        return other.node in (says or ()) or one.node in (answers or ())
    return not says.get(other.node, set()).isdisjoint(answers.get(one.node, ()))


# ---- lives that are new


def note_lives(scene: Scene, gone: Set[NodeName]) -> None:
    """Remember since when each life is a member, and which of them all others were seen to hear.

    Those whom a leader finds when it begins were members before, and count as seen. Nobody has to
    be heard by those who are `gone`.
    """
    row, held = scene.book.view, scene.held
    if row is None or held is None:
        return
    members = tuple(member for member in row.view.members if member.node not in gone)
    lives = scene.regroup.lives
    first = not lives
    now_in = {m.incarnation for m in held.members}
    for life in [life for life in lives if life not in now_in]:
        del lives[life]
    for member in members:
        if member.incarnation in now_in and member.incarnation not in lives:
            lives[member.incarnation] = scene.now
            if first:
                scene.regroup.proven.add(member.incarnation)
    scene.regroup.proven &= now_in
    unproven = [m for m in members if m.incarnation in lives.keys() - scene.regroup.proven]
    for member in unproven:
        if _is_heard_by_all(scene, member, members):
            scene.regroup.proven.add(member.incarnation)


def _is_heard_by_all(scene: Scene, member: Member, members: tuple[Member, ...]) -> bool:
    """As it says itself, under the view that holds: what others said may be of an earlier life."""
    agent, held = scene.agents.living(member.node, member.incarnation), scene.held
    if agent is None or held is None or agent.view < held.number:
        return False
    says = _report(scene, member)
    return says is not None and all(
        _is_up(member, says, other, _report(scene, other))
        for other in members
        if other.node != member.node and held.incarnation_of(other.node) == other.incarnation
    )


def is_young(scene: Scene, member: Member) -> bool:
    """A life's links are taken for whole at first: it and others may come to live by the view one
    promise later, the longest that was ever made, and a route needs a heartbeat either way after
    that.
    """
    since = scene.regroup.lives.get(member.incarnation)
    young_s = scene.book.calm_s + 2 * scene.book.timing.delay_s
    return since is None or scene.now - since <= young_s
