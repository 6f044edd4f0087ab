from agent.policies import Another, PostCopy, Seen, Stop
from agent.policies.stopping import Downtime, PostCopyAfter, Windows2008R2
from protocol.messages import RoundRecord
from tests.agent.policies.test_interface import a_round


def three(*rounds: RoundRecord) -> Seen:
    return Seen(rounds, 100_000, rounds_max=3)


def test_pre_copy_ends_when_what_is_left_travels_in_the_allowed_blackout() -> None:
    enough = three(a_round(0, 1000, left=50))

    for policy in (Windows2008R2(), Downtime(), PostCopyAfter()):
        assert policy.decide(enough) == Stop("The 50 pages that are left travel within 50 ms.")


def test_2008_r2_goes_on_while_too_much_is_left_even_if_it_does_not_shrink() -> None:
    grows = three(a_round(0, 1000, left=900), a_round(1, 900, left=950))

    assert isinstance(Windows2008R2().decide(grows), Another)


def test_2008_r2_ends_with_its_rounds() -> None:
    decision = Windows2008R2().decide(three(*(a_round(n, 1000, left=900) for n in range(3))))

    assert decision == Stop(
        "All 3 rounds are used up and 900 pages are left, of which 50 travel in 50 ms."
    )


def test_a_guest_that_writes_nothing_stops_after_a_round_of_nothing() -> None:
    assert isinstance(Windows2008R2().decide(three(a_round(0, 0, left=0, seconds=0.0))), Stop)


def test_a_downtime_target_counts_no_rounds() -> None:
    many = Seen(tuple(a_round(n, 1000, left=900) for n in range(150)), 100_000)

    assert isinstance(Downtime().decide(many), Another)


def test_post_copy_comes_after_its_rounds() -> None:
    one = three(a_round(0, 1000, left=900))
    two = three(*one.rounds, a_round(1, 900, left=900))

    assert isinstance(PostCopyAfter(2).decide(one), Another)
    assert PostCopyAfter(2).decide(two) == PostCopy(
        "2 rounds are over and 900 pages are left, of which 45 travel in 50 ms."
    )
