"""2012 R2 spreads the owners by itself; 2008 R2 leaves them where they are."""

from dataclasses import replace

import pytest

from coordinator.storage import balance
from coordinator.storage.disk_plans import MoveDisk
from coordinator.store.disk_rows import DiskRow, DiskState, Registrant, disk_key
from coordinator.store.rows import CLUSTER
from protocol.disks import DiskContent, DiskId, DiskStatus, registration_key
from protocol.messages import DiskReport
from protocol.names import NodeName, Personality, Term
from tests.coordinator.stage import LAB, Stage, life


def owned_by(nodes: str, personality: Personality = Personality.R2012) -> Stage:
    """A disk for each letter, owned by that node; all nodes reach all of them."""
    stage = Stage()
    cluster = stage.scene.book.cluster
    assert cluster is not None
    stage.put(CLUSTER, replace(cluster, personality=personality).data())
    for name in "abc":
        stage.scene.regroup.proven.add(life(name))
    disks = [DiskId(f"600{number}") for number in range(len(nodes))]
    lives = tuple(Registrant(life(name), 1) for name in "abc")
    for number, (disk, node) in enumerate(zip(disks, nodes, strict=True), start=1):
        row = DiskRow(disk, number, 1 << 30, state=DiskState.ONLINE, registrants=lives)
        row = replace(row, owner=NodeName(node), owner_incarnation=life(node))
        stage.put(disk_key(disk), row.data())
    for name in "abc":
        key = registration_key(LAB, life(name), 1)
        seen = tuple(
            DiskStatus(
                d, 1 << 30, 512, "", 2, 2, DiskContent.OURS, key=key, registrations=1, granted=1
            )
            for d in disks
        )
        stage.agent(name).storage = DiskReport(LAB, Term(3), life(name), seen, ())
    return stage


def test_a_disk_moves_from_who_owns_most_to_who_owns_fewest() -> None:
    stage = owned_by("aaab")

    assert balance.next_move(stage.scene) == MoveDisk(None, DiskId("6000"), NodeName("c"))


@pytest.mark.parametrize("nodes", ["", "a", "ab", "abc", "aabc", "aabbcc", "aabbc"])
def test_owners_that_are_one_apart_stay(nodes: str) -> None:
    assert balance.next_move(owned_by(nodes).scene) is None


def test_the_cluster_of_2008_r2_moves_nothing_by_itself() -> None:
    assert balance.next_move(owned_by("aaaa", Personality.R2008).scene) is None


def test_nothing_moves_while_anything_else_does() -> None:
    stage = owned_by("aaab")
    row = stage.scene.book.disks[DiskId("6003")]
    stage.put(disk_key(row.id), replace(row, state=DiskState.RELEASING).data())

    assert balance.next_move(stage.scene) is None
