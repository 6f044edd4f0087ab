"""The sums on which the witness rests."""

import pytest

from agent.witness_record import expires_after_s, usable_s, would_decide
from protocol.names import (
    Timing,
    VoteConfig,
)
from tests.agent.ground import L
from tests.agent.witness_bench import (
    SHARE,
    A,
    B,
    C,
    D,
    votes,
)


def test_the_witness_decides_only_where_its_vote_makes_the_quorum() -> None:
    four = VoteConfig(1, tuple((node, 1) for node in (A, B, C, D)), witness=SHARE, witness_votes=1)
    alone = VoteConfig(1, ((A, 0), (B, 0)), witness=SHARE, witness_votes=1)

    assert not would_decide(four, {A})
    assert would_decide(four, {A, B})
    assert not would_decide(four, {A, B, C}), "they have it already"
    assert would_decide(alone, {A})
    assert not would_decide(votes(1, None, 0), {A})
    assert not would_decide(votes(1, SHARE, 0), {A})


@pytest.mark.parametrize("drift_rate", [0.0, 0.005, 0.2])
def test_a_contender_waits_for_longer_than_any_holder_uses_it(drift_rate: float) -> None:
    slowest, fastest = 1 - drift_rate, 1 + drift_rate
    timing = Timing(drift_rate=drift_rate)

    used_s = usable_s(timing.witness_hold_s, drift_rate) / slowest
    promised_s = used_s  # a promise says for how long, and its asker's clock may be the slow one
    waited_s = expires_after_s(timing.witness_hold_s, drift_rate) / fastest

    assert max(used_s, promised_s) <= waited_s
    assert timing.witness_hold_s >= L
