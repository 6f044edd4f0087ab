from agent.patience import Patience


def test_a_wait_is_over_at_its_end() -> None:
    wait = Patience(0.0)

    assert not wait.is_over(9.9, 9.0, 1.0)
    assert wait.is_over(9.9, 9.9, 1.0)
    assert wait.is_over(9.9, 10.9, 1.0)
    assert wait.since_s == 0.0


def test_who_slept_through_the_end_has_not_waited() -> None:
    wait = Patience(0.0)

    assert not wait.is_over(9.9, 50.0, 1.0)
    assert wait.since_s == 50.0


def test_what_never_ends_is_never_over() -> None:
    assert not Patience(0.0).is_over(float("inf"), 1e12, 1.0)
