from dataclasses import dataclass
from typing import ClassVar

import pytest

from agent.policies import BUILT_IN, Another, Decision, Policy, Seen
from agent.policies.clark import Clark
from agent.policies.stopping import Windows2008R2
from protocol import names
from protocol.errors import Refused


@dataclass(frozen=True)
class Odd(Policy):
    name: ClassVar[str] = "lab.odd"
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.share > 1:
            raise KeyError("share")

    def decide(self, seen: Seen) -> Decision:
        return Another("Odd.", throttle=self.share)


def test_policies_are_known_by_name_in_any_case_and_no_name_is_the_default() -> None:
    assert BUILT_IN.find("2008R2") == BUILT_IN.find("") == Windows2008R2()


def test_every_policy_that_can_be_asked_for_is_known_to_the_source() -> None:
    assert tuple(BUILT_IN.known) == names.POLICIES


def test_numbers_may_follow_the_name() -> None:
    chosen = BUILT_IN.find("clark:delta_bytes_per_s=1e6,high_bytes_per_s=9e7")

    assert chosen == Clark(delta_bytes_per_s=1e6, high_bytes_per_s=9e7)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("never", "no migration policy 'never' on this node; there are 2008r2, auto-converge, "),
        ("ramp:height=3", "'ramp' has no 'height'; it has steps, patience, shrinks."),
        ("ramp:steps=2.5", "steps of 'ramp' is '2.5'; it must be a whole number."),
        ("ramp:shrinks=", "shrinks of 'ramp' is ''; it must be a number."),
        ("2008r2:rounds=3", "'2008r2' has no 'rounds'; it has none."),
        ("post-copy:rounds=0", "'post-copy:rounds=0' is not possible: rounds is 0"),
        ("lab.odd:share=7", "'lab.odd:share=7' is not possible: 'share'"),
        ("lab.broken", "'lab.broken' cannot be used: it has no end"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    shelf = BUILT_IN.joined([Odd], {"lab.broken": "it has no end"})

    why = shelf.why_not(text)

    assert why is not None
    assert sentence in why
    with pytest.raises(Refused):
        shelf.find(text)


def test_plug_ins_stand_beside_what_is_built_in() -> None:
    shelf = BUILT_IN.joined([Odd], {})

    assert shelf.find("lab.odd:share=0.25") == Odd(0.25)
    assert shelf.why_not("ramp") is None
