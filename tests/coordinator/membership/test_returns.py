from coordinator.membership.returns import Returns
from protocol.names import Incarnation, NodeName

A, B = NodeName("a"), NodeName("b")


def life(number: int) -> Incarnation:
    return Incarnation(f"a-{number}")


def test_who_was_never_sent_away_may_come() -> None:
    returns = Returns()
    returns.sent_away(A, life(1), 5.0, 100.0)

    assert returns.may_return(B, 100.0)
    assert not returns.may_return(A, 104.9)
    assert returns.may_return(A, 105.0)


def test_the_wait_doubles_up_to_eight_leases_while_it_is_sent_away_again_and_again() -> None:
    returns, now, waits = Returns(), 0.0, []
    for number in range(6):
        returns.sent_away(A, life(number), 1.0, now)
        begun = now
        while not returns.may_return(A, now):
            now += 1.0
        waits.append(now - begun)
        now += 3.0
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_the_same_life_is_counted_once_and_a_long_stay_is_forgiven() -> None:
    returns = Returns()
    for now in (0.0, 0.5, 1.0):
        returns.sent_away(A, life(1), 1.0, now)
    assert returns.may_return(A, 1.0)

    returns.sent_away(A, life(2), 1.0, 30.0)
    assert returns.may_return(A, 31.0)
