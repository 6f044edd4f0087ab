"""What a guest writes is asked for: why it cannot be told now, and what follows from what was seen.

The answer is worked out where the policies are, so that a forecast is played by the very objects
that lead a migration.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.actions import SampleWrites, Tell
from agent.config import Limits
from agent.forecast.curve import joined
from agent.forecast.prediction import Sample, predict
from agent.policies import Seen, Shelf
from agent.vms import Outcome, Phase
from protocol import messages
from protocol.errors import Refused
from protocol.messages import Forecast, WritesForecast
from protocol.names import Hold

if TYPE_CHECKING:
    from agent.core import AgentCore

LONGEST_S_MAX = 30.0


def told(core: "AgentCore", order: messages.SampleWrites) -> Outcome:
    """Watch the guest, or say why not."""
    if reason := _why_not(core, order):
        return [Tell(refused(order, reason))]
    return [SampleWrites(order, core.config.limits, core.config.policies)]


def _why_not(core: "AgentCore", order: messages.SampleWrites) -> str:
    here = core.vms.vms.get(order.vm)
    if here is None or here.phase is not Phase.HERE or here.epoch != order.epoch:
        return f"This node has no {order.vm} under epoch {order.epoch} that could be watched."
    if core.attempts.moves(order.vm):
        return f"{order.vm} is being migrated, which follows its writes itself: ask afterwards."
    if here.holds is not Hold.NONE:
        words = ", ".join(str(hold.name).lower() for hold in here.holds)
        return f"The guest of {order.vm} stands still ({words}): ask when it runs."
    if not 0 < order.longest_s <= LONGEST_S_MAX:
        return f"A window of {order.longest_s:g} s cannot be watched: up to {LONGEST_S_MAX:g} can."
    for name in order.policies:
        if reason := core.config.policies.why_not(name):
            return reason
    return ""


def refused(order: messages.SampleWrites, reason: str) -> WritesForecast:
    return _answer(order, reason=reason)


def answer(action: SampleWrites, sample: Sample, cost_s: float) -> WritesForecast:
    """What was seen, and each policy's migration. Takes a while: not for the event loop."""
    if not sample.windows:
        reason = f"A migration of {action.order.vm} began before anything was seen."
        return refused(action.order, reason)
    sample = replace(sample, windows=joined(sample.windows, action.order.known))
    return _answer(
        action.order,
        windows=sample.windows,
        zero_share=sample.zero_share,
        packed_share=sample.packed_share,
        forecasts=foretold(action.order, sample, action.limits, action.policies),
        cost_s=cost_s,
    )


def foretold(
    order: messages.SampleWrites, sample: Sample, limits: Limits, policies: Shelf
) -> tuple[Forecast, ...]:
    """A forecast by each of the policies; one that breaks, as a plug-in may, is left out."""
    seen = Seen(
        (),
        sample.pages,
        order.travel,
        limits.blackout_max_s,
        limits.rounds_max,
        limits.bound_rounds,
        limits.bound_s,
    )
    found: list[Forecast] = []
    for name in order.policies or policies.known:
        try:
            found.append(predict(sample, order.way, name, policies.find(name), seen))
        except Refused:
            continue
    return tuple(found)


def _answer(order: messages.SampleWrites, **fields: object) -> WritesForecast:
    who = (order.cluster, order.term, order.incarnation, order.request, order.vm, order.epoch)
    return WritesForecast(*who, **fields)  # type: ignore[arg-type]
