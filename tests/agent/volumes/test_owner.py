"""Owning a disk: what is asked of the disk in which order, and whom the owner serves."""

import pytest

from agent.volumes import owning
from agent.volumes.owner import (
    FENCED,
    NO_LEASE,
    NOT_OWNER,
    NOT_REDIRECTED,
    OwnerPhase,
    VolumeOwner,
    keys_of_lives,
)
from agent.volumes.owning import OwnerAction, OwnerEvent
from protocol import messages as say
from protocol.disks import GENERATION_LAST, FencedLife, RegistrationKey, registration_key
from protocol.messages import VolumeRequest
from protocol.names import ClusterId, Epoch, Incarnation, VolumeName

CLUSTER = ClusterId("c1")
ME, B, C = (Incarnation(f"{name}-1") for name in "abc")
KEY, KEY_B, KEY_C = (registration_key(CLUSTER, life, 1) for life in (ME, B, C))
VOLUME = VolumeName("Volume1")
WRITE = say.WriteFile(1, 7, 0, True, 512)
OPEN = say.OpenFile(2, "/x", False, "", Epoch(0))  # type: ignore[arg-type]


def fresh(volume: str = VOLUME) -> VolumeOwner:
    owner = VolumeOwner(CLUSTER, ME, KEY, Epoch(3), {ME, B})
    assert owner.begin(VolumeName(volume)) == [owning.LookAtReservation()]
    return owner


def owned(volume: str = VOLUME) -> VolumeOwner:
    owner = fresh(volume)
    owner.handle(owning.ReservationSeen(KEY, (KEY, KEY_B)))
    if volume:
        owner.handle(owning.Mounted(()))
    assert owner.phase is OwnerPhase.OWNED
    return owner


def with_client(life: Incarnation = B) -> VolumeOwner:
    owner = owned()
    owner.handle(owning.ClientCame(life))
    return owner


def denied(owner: VolumeOwner, life: Incarnation, request: VolumeRequest) -> str:
    refusal = owner.admits(life, request, has_lease=True)
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("holder", "then"),
    [
        (None, owning.Reserve()),
        (KEY, owning.Mount()),
        (KEY_B, owning.Mount()),
        (KEY_C, owning.TakeReservation(KEY_C)),
    ],
    ids=["nobody", "itself", "a member", "who was fenced"],
)
def test_the_reservation_is_taken_only_from_who_is_no_member(
    holder: object, then: OwnerAction
) -> None:
    owner = fresh()

    assert owner.handle(owning.ReservationSeen(holder, (KEY, KEY_B, KEY_C))) == [then]  # type: ignore[arg-type]


def test_who_is_not_registered_owns_nothing() -> None:
    owner = fresh()

    (word,) = owner.handle(owning.ReservationSeen(None, (KEY_B,)))

    assert isinstance(word, owning.SayTaken)
    assert word.reason
    assert owner.phase is OwnerPhase.OVER


def test_grants_of_who_has_no_key_are_forgotten_at_the_mount() -> None:
    owner = fresh()
    owner.handle(owning.ReservationSeen(KEY, (KEY, KEY_B)))

    actions = owner.handle(owning.Mounted((B, C)))

    assert actions == [owning.ForgetHolder(C), owning.SayTaken()]


def test_a_disk_without_a_volume_is_owned_without_a_mount_and_mounted_later() -> None:
    owner = owned("")
    assert owner.comes_in(B) is not None

    assert owner.handle(owning.OwnOrdered(VOLUME)) == [owning.Mount()]
    assert owner.handle(owning.Mounted(())) == [owning.SayTaken()]
    assert owner.comes_in(B) is None


def test_a_volume_that_is_removed_is_unmounted_and_its_disk_stays() -> None:
    owner = with_client()

    actions = owner.handle(owning.OwnOrdered(VolumeName("")))
    assert actions[-1] == owning.Quiesce()
    assert owner.handle(owning.Quiesced()) == [owning.Unmount(clear=False)]
    assert owner.handle(owning.Unmounted()) == [owning.SayTaken()]

    assert owner.phase is OwnerPhase.OWNED
    assert not owner.is_mounted


def test_a_release_lets_requests_end_before_it_is_told() -> None:
    owner = with_client()

    actions = owner.handle(owning.ReleaseOrdered(clear=True))

    assert [type(action) for action in actions] == [owning.Drop, owning.Quiesce]
    assert denied(owner, B, OPEN) == NOT_OWNER
    assert owner.handle(owning.Quiesced()) == [owning.Unmount(clear=True)]
    assert owner.handle(owning.Unmounted()) == [owning.SayGiven(is_clean=True)]


def test_a_fault_ends_it_uncleanly_and_once() -> None:
    owner = with_client()

    actions = owner.handle(owning.Faulted("the path was cut"))

    assert actions[-1] == owning.SayGiven(False, "the path was cut")
    assert owner.handle(owning.Faulted("again")) == []
    assert denied(owner, B, OPEN) == NOT_OWNER


def test_redirected_data_is_served_only_after_the_keys_are_gone() -> None:
    owner = with_client()
    assert denied(owner, B, WRITE) == NOT_REDIRECTED

    assert owner.handle(owning.RedirectWanted(B, 1, 5)) == [owning.RemoveKeys(B, 1, 5)]
    assert denied(owner, B, WRITE) == NOT_REDIRECTED
    assert owner.handle(owning.KeysRemoved(B, 1, 5)) == [owning.Answer(5)]

    assert denied(owner, B, WRITE) == ""
    assert owner.handle(owning.DirectWanted(B, 6)) == [owning.Answer(6)]
    assert denied(owner, B, WRITE) == NOT_REDIRECTED


def test_keys_that_stay_leave_the_client_without_redirection() -> None:
    owner = with_client()
    owner.handle(owning.RedirectWanted(B, 1, 5))

    assert owner.handle(owning.KeysStayed(B, 5, "no path")) == [owning.Answer(5, "no path")]
    assert denied(owner, B, WRITE) == NOT_REDIRECTED


def test_a_generation_that_is_gone_is_not_removed_again() -> None:
    owner = with_client()
    owner.handle(owning.RedirectWanted(B, 1, 5))
    owner.handle(owning.KeysRemoved(B, 1, 5))
    owner.handle(owning.DirectWanted(B, 6))

    assert owner.handle(owning.RedirectWanted(B, 1, 7)) == [owning.Answer(7)]
    assert owner.handle(owning.RedirectWanted(B, 2, 8)) == [owning.RemoveKeys(B, 2, 8)]


def test_a_whole_life_that_is_fenced_is_served_no_more_and_some_generations_are() -> None:
    owner = with_client()
    assert owner.handle(owning.LivesFenced((FencedLife(B, 1),))) == []
    assert denied(owner, B, OPEN) == ""
    owner.handle(owning.RedirectWanted(B, 1, 5))

    actions = owner.handle(owning.LivesFenced((FencedLife(B, GENERATION_LAST),)))

    assert [type(action) for action in actions] == [owning.Answer, owning.Drop]
    assert denied(owner, B, OPEN) == FENCED
    owner.handle(owning.KeysRemoved(B, 1, 5))
    assert denied(owner, B, WRITE) == FENCED


def test_grants_stand_until_the_keys_of_who_has_them_are_gone() -> None:
    """What they cover would be given to another file while that node can still write there."""
    owner = with_client()
    whole = (FencedLife(B, GENERATION_LAST), FencedLife(C, 3))
    assert owning.ForgetHolder(B) not in owner.handle(owning.LivesFenced(whole))

    assert owner.handle(owning.LivesGone(whole)) == [owning.ForgetHolder(B)]


def test_a_mount_that_was_cut_short_is_an_unclean_end_and_a_refused_one_is_none() -> None:
    """Its writes could still come when the next owner has begun."""
    for is_refusal in (False, True):
        owner = fresh()
        owner.handle(owning.ReservationSeen(KEY, (KEY,)))
        assert owner.phase is OwnerPhase.MOUNTING

        (word,) = owner.handle(owning.Faulted("so it is", is_refusal))

        expected = owning.SayTaken("so it is") if is_refusal else owning.SayGiven(False, "so it is")
        assert word == expected


def test_who_is_not_in_the_view_is_dropped_and_not_let_in() -> None:
    owner = with_client()

    actions = owner.handle(owning.MembersChanged(frozenset({ME})))

    assert [type(action) for action in actions] == [owning.Drop]
    assert owner.comes_in(B) is not None


def test_without_a_lease_nobody_is_served() -> None:
    owner = with_client()

    refusal = owner.admits(B, OPEN, has_lease=False)

    assert refusal is not None
    assert refusal.code == NO_LEASE


EVENTS: list[OwnerEvent] = [
    owning.OwnOrdered(VOLUME),
    owning.OwnOrdered(VolumeName("")),
    owning.ReservationSeen(None, (KEY,)),
    owning.Reserved(),
    owning.Mounted((B, C)),
    owning.Faulted("broken"),
    owning.ReleaseOrdered(False),
    owning.Quiesced(),
    owning.Unmounted(),
    owning.ClientCame(B),
    owning.RedirectWanted(B, 1, 1),
    owning.DirectWanted(B, 2),
    owning.KeysRemoved(B, 1, 1),
    owning.KeysStayed(B, 1, "no path"),
    owning.LivesFenced((FencedLife(B),)),
    owning.MembersChanged(frozenset({ME})),
]
PATHS: dict[OwnerPhase, list[OwnerEvent]] = {
    OwnerPhase.RESERVING: [],
    OwnerPhase.MOUNTING: [owning.ReservationSeen(KEY, (KEY,))],
    OwnerPhase.OWNED: [owning.ReservationSeen(KEY, (KEY,)), owning.Mounted(())],
}
PATHS[OwnerPhase.QUIESCING] = [*PATHS[OwnerPhase.OWNED], owning.ReleaseOrdered(False)]
PATHS[OwnerPhase.UNMOUNTING] = [*PATHS[OwnerPhase.QUIESCING], owning.Quiesced()]
PATHS[OwnerPhase.OVER] = [owning.Faulted("broken")]


@pytest.mark.parametrize("phase", OwnerPhase, ids=lambda phase: phase.name)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_phase_takes_every_event(phase: OwnerPhase, event: OwnerEvent) -> None:
    owner = fresh()
    for earlier in PATHS[phase]:
        owner.handle(earlier)
    assert owner.phase is phase

    actions = owner.handle(event)

    words = [one for one in actions if isinstance(one, owning.SayGiven)]
    assert len(words) <= 1
    assert (owner.phase is OwnerPhase.OVER) >= bool(words)
    if phase is OwnerPhase.OVER:
        assert owner.phase is OwnerPhase.OVER
    if owner.phase is not OwnerPhase.OWNED:
        assert denied(owner, B, OPEN) == NOT_OWNER


def test_only_keys_of_the_fenced_lives_go_each_up_to_its_generation() -> None:
    older, newer = registration_key(CLUSTER, C, 1), registration_key(CLUSTER, C, 2)
    stranger = RegistrationKey(b"backup0\x00")
    lives = (FencedLife(B, GENERATION_LAST), FencedLife(C, 1))

    found = keys_of_lives(CLUSTER, lives, (KEY, KEY_B, older, newer, stranger))
    assert found == [KEY_B, older]
    assert keys_of_lives(ClusterId("c2"), lives, (KEY_B, older)) == []
