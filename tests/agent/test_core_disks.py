"""Orders about disks go through the agent's door like all others: only the leader's, in its term,
to this life.
"""

from dataclasses import replace

from agent import disk_words as words
from agent.actions import Tell
from agent.core import REPORT_EVERY_PINGS, AgentCore
from protocol import messages as say
from protocol.disks import NO_KEY, DiskContent, DiskId, DiskName, DiskRole, DiskUse
from protocol.names import Epoch, Incarnation, Term
from tests.agent.leader import living, told, welcome

DISK = DiskId("6001")


def with_disk() -> AgentCore:
    core = living()
    core.handle(
        words.DisksSeen(
            (
                words.SeenDisk(
                    *(DISK, 1 << 26, 512, "TEST", 1, 1, DiskContent.BLANK, "", Epoch(0), NO_KEY, 0)
                ),
            )
        ),
        1.0,
    )
    return core


def use(core: AgentCore) -> say.UseDisks:
    one = DiskUse(DISK, DiskName("Cluster Disk 1"), DiskRole.AVAILABLE)
    cluster, term = core.record.cluster, core.record.highest_term
    assert cluster is not None
    return say.UseDisks(cluster, term, core.incarnation, (one,))


def registers(actions: list[object]) -> bool:
    return any(isinstance(action, words.UseDisk) for action in actions)


def reports(actions: list[object]) -> list[say.DiskReport]:
    tells = [action.message for action in actions if isinstance(action, Tell)]
    return [message for message in tells if isinstance(message, say.DiskReport)]


def test_the_leaders_order_is_obeyed_and_another_lifes_is_not() -> None:
    core = with_disk()
    order = use(core)

    assert not registers(told(core, replace(order, incarnation=Incarnation("a-0")), 1.0))
    assert not registers(told(core, replace(order, term=Term(0)), 1.0))
    assert not registers(told(living(), replace(order, incarnation=Incarnation("z")), 1.0))


def test_an_order_in_its_term_to_this_life_registers() -> None:
    core = with_disk()

    assert registers(told(core, use(core), 1.0))


def test_disks_are_reported_to_a_new_leader_and_again_now_and_then() -> None:
    core = with_disk()
    newer = Term(core.record.highest_term + 1)
    (report,) = reports(welcome(core, 2.0, newer))
    assert [disk.disk for disk in report.disks] == [DISK]
    cluster = core.record.cluster
    assert cluster is not None

    spoken = [
        seq
        for seq in range(1, 2 * REPORT_EVERY_PINGS + 1)
        if reports(told(core, say.Ping(cluster, newer, seq), 2.0))
    ]

    assert spoken == [REPORT_EVERY_PINGS, 2 * REPORT_EVERY_PINGS]


def test_a_node_without_a_way_to_disks_says_nothing_of_them() -> None:
    core = living()
    cluster = core.record.cluster
    assert cluster is not None

    assert not reports(told(core, say.Ping(cluster, core.record.highest_term, 5), 1.0))


def test_the_edge_hears_who_the_members_are() -> None:
    core = living()
    seen = core.handle(words.DisksSeen(()), 1.0)

    members = [action.members for action in seen if isinstance(action, words.SetMembers)]

    assert members
    assert core.incarnation in members[0]
