"""What a node makes of the question what a guest writes."""

from dataclasses import replace

import pytest

from agent import actions, events
from agent.core import AgentCore
from agent.forecast.prediction import Sample
from agent.policies import BUILT_IN
from agent.sampling import answer
from protocol import messages
from protocol.messages import Spread, WayAhead, Window, WritesForecast
from protocol.names import Epoch, Hold, VmName
from tests.agent.ground import CLUSTER, TERM, VM, life
from tests.agent.leader import living, migrate, running, said, told

ONE = Spread(1.0, 0.5, 2.0)
WAY = WayAhead(Spread(1e8, 9e7, 1.1e8), Spread(0, 0, 0), ONE, ONE, "test")
SEEN = (Window(0.1, Spread(10, 8, 12)), Window(1.0, Spread(40, 35, 50)))


def order(**fields: object) -> messages.SampleWrites:
    asked = messages.SampleWrites(CLUSTER, TERM, life("a"), 7, VM, Epoch(1), (), WAY, 1.0)
    return replace(asked, **fields)  # type: ignore[arg-type]


def refusal(core: AgentCore, asked: messages.SampleWrites) -> str:
    (answer,) = said(told(core, asked))
    assert isinstance(answer, WritesForecast)
    assert (answer.request, answer.vm, answer.windows) == (7, asked.vm, ())
    return answer.reason


def test_a_guest_that_runs_is_watched_and_the_answer_told() -> None:
    core = running(living())

    (watch,) = told(core, order())

    assert isinstance(watch, actions.SampleWrites)
    assert (watch.order, watch.policies) == (order(), BUILT_IN)
    found = answer(watch, Sample(SEEN, 1000), 0.01)
    assert said([*core.handle(events.WritesSampled(found), 1.0)]) == [found]


def test_without_a_policy_there_is_a_forecast_by_each_and_else_by_the_one() -> None:
    core = running(living())
    (every,) = told(core, order())
    (one,) = told(core, order(policies=("clark",)))
    assert isinstance(every, actions.SampleWrites)
    assert isinstance(one, actions.SampleWrites)

    found = [answer(action, Sample(SEEN, 1000), 0.0) for action in (every, one)]

    assert {told.policy for told in found[0].forecasts} == set(BUILT_IN.known)
    assert [told.policy for told in found[1].forecasts] == ["clark"]


def test_what_was_cut_short_before_anything_was_seen_says_so() -> None:
    (watch,) = told(running(living()), order())
    assert isinstance(watch, actions.SampleWrites)

    found = answer(watch, Sample((), 1000), 0.0)

    assert found.reason == "A migration of sql01 began before anything was seen."


@pytest.mark.parametrize(
    "fields", [{"vm": VmName("other")}, {"epoch": Epoch(2)}], ids=["unknown", "epoch"]
)
def test_a_vm_that_is_not_here_is_not_watched(fields: dict[str, object]) -> None:
    reason = refusal(running(living()), order(**fields))

    assert reason.startswith("This node has no ")


def test_a_guest_that_stands_still_is_not_watched() -> None:
    core = running(living())
    core.vms.vms[VM].holds = Hold.OPERATOR

    assert refusal(core, order()) == (
        "The guest of sql01 stands still (operator): ask when it runs."
    )


def test_a_migration_has_the_tracker_to_itself() -> None:
    core = running(living())
    told(core, migrate(core))

    assert refusal(core, order()).startswith("sql01 is being migrated")


@pytest.mark.parametrize("longest_s", [0.0, -1.0, 31.0])
def test_a_window_that_nobody_can_watch_is_refused(longest_s: float) -> None:
    assert "cannot be watched" in refusal(running(living()), order(longest_s=longest_s))


def test_a_policy_that_the_node_has_not_is_refused() -> None:
    assert "no migration policy 'wish'" in refusal(running(living()), order(policies=("wish",)))
