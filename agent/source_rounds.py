"""S5 to S7 on the source: what its policy is told and asked, and the round that follows from it."""

from dataclasses import replace

from agent.actions import Action, Note, SendRound, SetThrottle
from agent.moves import Here
from agent.policies import Another, Decision, Failed, Seen, ask
from agent.source_states import Copying, State, Trip, throttle_of
from protocol.errors import Refused
from protocol.messages import Migrate


def decision_on(trip: Trip, order: Migrate, here: Here, lag_s: float = 0.0) -> Decision | Failed:
    """What the order's policy makes of the trip so far. The limit that it is told of is the one
    that holds on this network.
    """
    limits = here.limits
    seen = Seen(
        trip.rounds,
        here.pages_total,
        replace(order.travel, rate_bytes_per_s=order.rate_on(trip.network)),
        limits.blackout_max_s,
        limits.rounds_max,
        limits.bound_rounds,
        limits.bound_s,
        lag_s,
    )
    try:
        policy = here.policies.find(order.policy)
    except Refused as refused:  # it was found before, but a plug-in may think again
        return Failed(str(refused))
    return ask(policy, seen)


def another(trip: Trip, asked: Another, order: Migrate) -> tuple[Copying, tuple[Action, ...]]:
    """The next round as the policy wants it, and never faster than whoever asked allows."""
    actions: list[Action] = []
    if asked.throttle != trip.throttle:
        said = f"Attempt {order.attempt}: {asked.reason}"
        actions += [SetThrottle(order.vm, asked.throttle), Note("info", said, order.vm)]
    rates = (order.rate_on(trip.network), int(asked.rate_bytes_per_s))
    least = min((rate for rate in rates if rate), default=0)
    actions.append(SendRound(order.attempt, len(trip.rounds), least))
    return Copying(replace(trip, asked=asked, throttle=asked.throttle)), tuple(actions)


def unthrottled(state: State, order: Migrate) -> tuple[Action, ...]:
    """The guest's time is its own again, whatever comes after that state."""
    return (SetThrottle(order.vm, 0.0),) if throttle_of(state) else ()
