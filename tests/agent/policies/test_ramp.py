from agent.policies import Another, Seen, Stop
from agent.policies.ramp import Ramp
from tests.agent.policies.test_interface import a_round


def steps(*left: int) -> list[int]:
    rounds = [a_round(number, 1000, left=pages) for number, pages in enumerate(left)]
    return [Ramp().step(Seen(rounds[: end + 1], 1000)) for end in range(len(rounds))]


def test_while_it_shrinks_the_target_stays() -> None:
    assert steps(900, 800, 700, 600, 500) == [1] * 5


def test_every_two_rounds_in_which_nothing_shrinks_the_target_grows_by_its_own_length() -> None:
    assert steps(900, 890, 880, 900, 870, 880) == [1, 1, 2, 2, 3, 3]


def test_it_grows_to_seven_times_its_length_and_no_further() -> None:
    assert steps(*[900] * 30)[-1] == 7


def test_it_ends_as_soon_as_what_is_left_fits_the_grown_target() -> None:
    stalled = [a_round(number, 1000, left=90) for number in range(2)]

    assert isinstance(Ramp().decide(Seen(stalled, 1000)), Another)
    last = a_round(2, 1000, left=90)
    assert Ramp().decide(Seen((*stalled, last), 1000)) == Stop(
        "The 90 pages that are left travel within 100 ms."
    )
