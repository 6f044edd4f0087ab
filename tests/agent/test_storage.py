"""What a node obeys about disks, and what one life of it never does again."""

import pytest

from agent import disk_words as words
from agent.disk_reports import Said
from agent.storage import Storage
from agent.vms import Outcome
from protocol import messages as say
from protocol.disks import (
    NO_KEY,
    DiskContent,
    DiskId,
    DiskName,
    DiskRole,
    DiskUse,
    FencedLife,
    RegistrationKey,
    VolumeAccess,
    VolumeMode,
    VolumeStatus,
    registration_key,
)
from protocol.messages import StorageReport
from protocol.names import (
    ClusterId,
    Endpoint,
    Epoch,
    Incarnation,
    Member,
    NodeName,
    Term,
    View,
    ViewNumber,
    VolumeName,
    VoteConfig,
)

CLUSTER, TERM, ME = ClusterId("c1"), Term(1), Incarnation("a-1")
DISK, OTHER = DiskId("6001"), DiskId("6002")
VOLUME = VolumeName("Volume1")
HEAD = (CLUSTER, TERM, ME)
KEYS = [registration_key(CLUSTER, ME, generation) for generation in (1, 2, 3)]


def use(*disks: DiskId) -> say.UseDisks:
    role = DiskRole.CSV
    return say.UseDisks(*HEAD, tuple(DiskUse(d, DiskName("Cluster Disk 1"), role) for d in disks))


def own(epoch: int, volume: str = VOLUME) -> say.OwnDisk:
    name = VolumeName(volume)
    return say.OwnDisk(*HEAD, DISK, Epoch(epoch), DiskRole.CSV, name, VolumeMode.DIRECT)


def at(epoch: int) -> say.VolumeAt:
    return say.VolumeAt(
        *HEAD, DISK, VOLUME, "ClusterStorage", Epoch(epoch), None, VolumeMode.DIRECT, ()
    )


def release(epoch: int) -> say.ReleaseDisk:
    return say.ReleaseDisk(*HEAD, DISK, Epoch(epoch))


def seen(key: RegistrationKey = NO_KEY, registrations: int = 0) -> words.DisksSeen:
    one = words.SeenDisk(
        *(DISK, 1 << 26, 512, "TEST", 1, 1, DiskContent.BLANK, "", Epoch(0), key, registrations)
    )
    return words.DisksSeen((one,))


def reports(outcome: Outcome, kind: type[StorageReport]) -> list[StorageReport]:
    made = [said.addressed(*HEAD) for said in outcome if isinstance(said, Said)]
    return [report for report in made if isinstance(report, kind)]


VIEW = View(
    ViewNumber(1),
    (Member(NodeName("a"), ME, Endpoint((), 1, 2)),),
    VoteConfig(1, ((NodeName("a"), 1),)),
)


def used() -> Storage:
    storage = Storage(ME)
    storage.live_by(VIEW)
    storage.happened(seen())
    assert storage.told(use(DISK)) == [words.UseDisk(DISK, KEYS[0])]
    storage.happened(seen(KEYS[0], 1))
    return storage


def granted() -> Storage:
    storage = used()
    out = storage.told(say.GrantDisk(*HEAD, DISK, 1))
    assert out[0] == words.AdmitDisk(DISK, 1)
    return storage


def owner(epoch: int = 5) -> Storage:
    storage = granted()
    assert storage.told(own(epoch)) == [words.TakeDisk(CLUSTER, DISK, Epoch(epoch), VOLUME)]
    (said,) = reports(storage.happened(words.DiskTaken(DISK, Epoch(epoch))), say.DiskOwned)
    assert isinstance(said, say.DiskOwned)
    assert not said.reason
    return storage


def test_an_order_to_use_is_carried_out_once() -> None:
    assert used().told(use(DISK)) == []


def test_a_disk_that_is_not_named_any_more_is_let_go() -> None:
    assert used().told(use(OTHER)) == [
        words.UseDisk(OTHER, KEYS[0]),
        words.LetGo(DISK),
    ]


def test_nothing_is_owned_without_a_grant() -> None:
    (said,) = reports(used().told(own(1)), say.DiskOwned)

    assert isinstance(said, say.DiskOwned)
    assert said.reason


def test_a_late_grant_says_nothing_new() -> None:
    storage = granted()
    assert storage.told(say.GrantDisk(*HEAD, DISK, 1)) == []


def test_what_is_owned_is_told_again_and_taken_once() -> None:
    storage = owner()

    (said,) = storage.told(own(5))

    assert isinstance(said, Said)
    assert isinstance(said.addressed(*HEAD), say.DiskOwned)


def test_a_release_is_told_when_it_has_come_about_and_lasts() -> None:
    storage = owner()
    assert storage.told(release(5)) == [words.GiveDisk(DISK, Epoch(5), clear=False)]
    assert storage.told(release(5)) == []

    (done,) = reports(storage.happened(words.DiskGiven(DISK, Epoch(5), True)), say.DiskReleased)
    assert isinstance(done, say.DiskReleased)
    assert done.is_clean
    assert reports(storage.told(own(5)), say.DiskReleased)
    assert reports(storage.told(own(4)), say.DiskReleased)
    assert storage.told(own(6)) == [words.TakeDisk(CLUSTER, DISK, Epoch(6), VOLUME)]


def test_a_release_of_what_is_not_owned_is_a_promise_too() -> None:
    storage = granted()

    (done,) = reports(storage.told(release(7)), say.DiskReleased)

    assert isinstance(done, say.DiskReleased)
    assert done.is_clean
    assert reports(storage.told(own(7)), say.DiskReleased)


def test_an_unclean_end_takes_another_key_and_is_told_until_a_higher_epoch_is_heard() -> None:
    storage = owner()

    out = storage.happened(words.DiskGiven(DISK, Epoch(5), False, "the path was cut"))

    (done,) = reports(out, say.DiskReleased)
    assert isinstance(done, say.DiskReleased)
    assert (done.is_clean, done.generation) == (False, 1)
    assert words.LetGo(DISK) in out
    assert storage.told(use(DISK)) == [words.UseDisk(DISK, KEYS[1])]
    (again,) = reports(storage.told(own(5)), say.DiskReleased)
    assert isinstance(again, say.DiskReleased)
    assert (again.is_clean, again.generation) == (False, 1)
    storage.told(at(6))
    (later,) = reports(storage.told(release(5)), say.DiskReleased)
    assert isinstance(later, say.DiskReleased)
    assert later.is_clean


def test_a_key_that_was_given_up_is_followed_by_the_next_one() -> None:
    storage = granted()

    out = storage.happened(words.KeyGivenUp(DISK, KEYS[0]))

    assert out[0] == words.UseDisk(DISK, KEYS[1])
    assert storage.happened(words.KeyGivenUp(DISK, KEYS[0])) == []
    assert storage.happened(words.DiskConflicted(DISK, KEYS[0], "late")) == []


def test_a_disk_that_is_lost_is_never_registered_with_again() -> None:
    storage = owner()

    out = storage.happened(words.DiskConflicted(DISK, KEYS[0], "preempted"))

    assert words.LetGo(DISK) in out
    (lost,) = reports(out, say.DiskLost)
    assert isinstance(lost, say.DiskLost)
    assert lost.key == KEYS[0]
    assert storage.told(use(DISK)) == []
    assert storage.told(say.GrantDisk(*HEAD, DISK, 9)) == []
    (said,) = reports(storage.told(own(9)), say.DiskOwned)
    assert isinstance(said, say.DiskOwned)
    assert said.reason == "preempted"


def test_a_disk_is_formatted_under_an_epoch_of_its_own() -> None:
    storage = granted()

    out = storage.told(say.FormatDisk(*HEAD, DISK, Epoch(2), "Volume1", False))

    assert out == [
        words.TakeDisk(CLUSTER, DISK, Epoch(2), VolumeName("")),
        words.FormatVolume(DISK, Epoch(2), "Volume1", False),
    ]


def test_only_the_owner_formats_and_checks() -> None:
    storage = used()
    assert reports(
        storage.told(say.FormatDisk(*HEAD, DISK, Epoch(2), "Volume1", False)), say.DiskFormatted
    )
    assert reports(storage.told(say.CheckVolume(*HEAD, DISK, Epoch(2), 1)), say.VolumeChecked)


def test_an_older_place_of_a_volume_is_not_believed() -> None:
    storage = granted()
    assert any(isinstance(one, words.ReachVolume) for one in storage.told(at(4)))

    assert storage.told(at(3)) == []


def test_a_fence_is_carried_out_and_answered() -> None:
    storage = granted()
    lives = (FencedLife(Incarnation("b-1")),)
    assert storage.told(say.FenceDisk(*HEAD, DISK, lives)) == [
        words.RemoveLives(CLUSTER, DISK, lives)
    ]

    (done,) = reports(storage.happened(words.LivesRemoved(DISK, lives)), say.DiskFenced)

    assert isinstance(done, say.DiskFenced)
    assert done.lives == lives


def test_a_report_says_all_that_is_seen_and_how_it_is_used() -> None:
    storage = granted()
    storage.told(at(1))
    status = VolumeStatus(DISK, VOLUME, Epoch(1), VolumeAccess.DIRECT)

    (report,) = reports(storage.happened(words.VolumeTurned(status)), say.DiskReport)

    assert isinstance(report, say.DiskReport)
    assert report.volumes == (status,)
    (disk,) = report.disks
    assert (disk.key, disk.registrations, disk.granted) == (KEYS[0], 1, 1)
    assert storage.happened(words.VolumeTurned(status)) == []
    out = storage.told(say.VolumeGone(*HEAD, DISK, VOLUME))
    assert out[0] == words.LeaveVolume(DISK)


def test_who_lives_by_no_view_takes_no_disk_since_every_key_would_be_a_strangers() -> None:
    storage = Storage(ME)
    storage.happened(seen())
    storage.told(use(DISK))
    storage.happened(seen(KEYS[0], 1))
    storage.told(say.GrantDisk(*HEAD, DISK, 1))
    before = storage.told(own(5))
    storage.live_by(VIEW)

    assert before == []
    assert [type(action) for action in storage.told(own(5))] == [words.TakeDisk]


def test_a_node_without_disks_reports_none_to_a_new_leader() -> None:
    assert Storage(ME).welcomed() == []
    assert reports(used().welcomed(), say.DiskReport)


ORDERS = [
    use(DISK),
    use(),
    say.GrantDisk(*HEAD, DISK, 2),
    own(5),
    own(6),
    own(5, ""),
    release(4),
    release(5),
    say.FormatDisk(*HEAD, DISK, Epoch(6), "x", True),
    say.CheckVolume(*HEAD, DISK, Epoch(5), 1),
    at(5),
    at(6),
    say.VolumeGone(*HEAD, DISK, VOLUME),
    seen(KEYS[0], 2),
    words.DisksSeen(()),
    words.DiskConflicted(DISK, KEYS[0], "x"),
    words.KeyGivenUp(DISK, KEYS[0]),
    words.DiskTaken(DISK, Epoch(5)),
    words.DiskTaken(DISK, Epoch(5), "no"),
    words.DiskGiven(DISK, Epoch(5), True),
    words.DiskGiven(DISK, Epoch(5), False, "x"),
]


@pytest.mark.parametrize("second", ORDERS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("first", ORDERS, ids=lambda one: type(one).__name__)
def test_no_two_things_in_a_row_bring_back_what_was_given_up(first: object, second: object) -> None:
    storage = owner()
    over = Epoch(0)
    for one in (first, second, own(5)):
        is_event = isinstance(one, words.DiskEvent)
        out = storage.happened(one) if is_event else storage.told(one)  # type: ignore[arg-type]
        for said in reports(out, say.DiskReleased):
            assert isinstance(said, say.DiskReleased)
            over = max(over, said.epoch)
        taken = [action for action in out if isinstance(action, words.TakeDisk)]
        assert all(action.epoch > over for action in taken)
