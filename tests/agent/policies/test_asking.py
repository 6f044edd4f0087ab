import math
import sys
from typing import Any, NoReturn

import pytest

from agent.policies import Another, Failed, Policy, PostCopy, Seen, Stop, ask
from agent.policies.asking import REASON_MAX
from tests.agent.policies.test_interface import a_round

BEFORE = Seen((), 1000)
AFTER = Seen((a_round(0, 1000, left=900),), 1000)


class Answers(Policy):
    """Answers what it is told to, or does it."""

    name = "lab.answers"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def first(self, seen: Seen) -> Any:
        return self.decide(seen)

    def decide(self, seen: Seen) -> Any:
        return self.answer() if callable(self.answer) else self.answer


def raises(error: BaseException) -> Any:
    def decide() -> NoReturn:
        raise error

    return decide


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division by zero"),
        AssertionError(),
        SystemExit(3),
        RecursionError("deep"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_policy_that_breaks_ends_the_attempt_with_a_sentence(error: BaseException) -> None:
    for seen, when in ((BEFORE, "before the first round"), (AFTER, "after 1 rounds")):
        answer = ask(Answers(raises(error)), seen)

        assert isinstance(answer, Failed)
        assert answer.reason.startswith(f"The migration policy 'lab.answers' broke {when}: ")
        assert type(error).__name__ in answer.reason


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (None, "NoneType, which is no Another, Stop or PostCopy"),
        (True, "bool, which"),
        (Stop(""), "Stop without a reason"),
        (Another("go", throttle=1.0), "a throttle of 1, which must be 0 to 0.99"),
        (Another("go", throttle=-0.1), "a throttle of -0.1"),
        (Another("go", throttle=math.nan), "a throttle of nan"),
        (Another("go", rate_bytes_per_s=5), "a rate of 5 bytes per second, which must be 0 or"),
        (Another("go", rate_bytes_per_s=math.inf), "a rate of inf bytes per second"),
        (Another("go", rate_bytes_per_s="fast"), "TypeError"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_an_answer_that_is_none_ends_the_attempt_with_a_sentence(answer: Any, wrong: str) -> None:
    said = ask(Answers(answer), AFTER)

    assert isinstance(said, Failed)
    assert wrong in said.reason


def test_nothing_can_be_stopped_before_a_page_was_sent() -> None:
    for answer in (Stop("enough"), PostCopy("enough")):
        assert isinstance(ask(Answers(answer), BEFORE), Failed)
        assert ask(Answers(answer), AFTER) == answer


def test_a_policy_that_finds_no_end_is_stopped_after_so_many_rounds() -> None:
    endless = Answers(Another("more"))
    rounds = tuple(a_round(number, 1000, left=900) for number in range(200))

    assert ask(endless, Seen(rounds[:-1], 1000)) == Another("more")
    assert ask(endless, Seen(rounds, 1000)) == Stop(
        "No migration makes more than 200 rounds, and 900 pages are left."
    )


def test_a_policy_that_finds_no_end_is_stopped_after_so_long() -> None:
    endless = Answers(Another("more"))
    first = a_round(0, 1000, left=900, seconds=9000.0)
    slow = a_round(1, 1000, left=900, seconds=3600.0)

    assert ask(endless, Seen((first,), 1000)) == Another("more")
    assert ask(endless, Seen((first, slow), 1000)) == Stop(
        "No migration copies for more than 3600 s, and 900 pages are left."
    )


def test_what_a_policy_says_is_one_line_that_every_message_has_room_for() -> None:
    for answer in (Another("a\n b"), Stop("a\n b"), PostCopy("a\n b")):
        assert ask(Answers(answer), AFTER) == type(answer)("a b")
    long = ask(Answers(Stop("x" * 10_000_000)), AFTER)
    broken = ask(Answers(raises(KeyError("x" * 10_000_000))), AFTER)

    for said in (long, broken):
        assert len(said.reason) == REASON_MAX


def test_no_policy_leaves_a_trace_in_the_interpreter() -> None:
    limit = sys.getrecursionlimit()

    ask(Answers(raises(RecursionError())), AFTER)

    assert sys.getrecursionlimit() == limit
