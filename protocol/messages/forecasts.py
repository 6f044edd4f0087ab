"""What a guest writes, and what a migration of it would cost: asked of the node that has it."""

from dataclasses import dataclass

from protocol.names import ClusterId, Epoch, Incarnation, Term, VmName
from protocol.travel import AS_USUAL, Travel


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure that is not known exactly: what is likely, and between what it lies."""

    likely: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class WayAhead:
    """What earlier migrations say of the way to the target; `basis` says which ones.

    `pass_s` is what each pass costs besides its bytes, `setup_s` all before the first pass and
    after the last, `switch_s` the blackout without its last pages.
    """

    wire_bytes_per_s: Spread
    pass_s: Spread
    setup_s: Spread
    switch_s: Spread
    basis: str


@dataclass(frozen=True, slots=True)
class Window:
    """How many different pages the guest wrote within so many seconds."""

    seconds: float
    pages: Spread


@dataclass(frozen=True, slots=True)
class SampleWrites:
    """Watch what the guest writes for windows of up to `longest_s`, and foretell a migration by
    each of `policies` (none named: by all). Answered with WritesForecast under the same `request`.

    `known`: what the guest was seen to write before, for what is longer than there is time for now.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    request: int
    vm: VmName
    epoch: Epoch
    policies: tuple[str, ...]
    way: WayAhead
    longest_s: float
    travel: Travel = AS_USUAL
    known: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure foretold. `least` and `most` follow from the spread of what was measured, `limit`
    from the rules by which the policy stops: it is never above that.
    """

    likely: float
    least: float
    most: float
    limit: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """A migration by one policy. `rounds` counts the last pass, too, for which the guest stands
    still; `ends_by_itself` is false where nothing but a bound ended the passes.
    `first_dirty_pages`: what the guest writes while the first one travels.
    """

    policy: str
    rounds: Figure
    wire_bytes: Figure
    total_s: Figure
    blackout_s: Figure
    reason: str
    ends_by_itself: bool = True
    first_dirty_pages: float = 0.0


@dataclass(frozen=True, slots=True)
class WritesForecast:
    """What was seen and what follows from it; with a `reason` nothing could be seen, and why.

    `zero_share` of the pages are zero, `packed_share` is what is left of the others' bytes where
    they are compressed. `cost_s`: how long the sampling held the guest's node busy.
    """

    cluster: ClusterId
    term: Term
    incarnation: Incarnation
    request: int
    vm: VmName
    epoch: Epoch
    windows: tuple[Window, ...] = ()
    zero_share: float = 0.0
    packed_share: float = 1.0
    forecasts: tuple[Forecast, ...] = ()
    cost_s: float = 0.0
    reason: str = ""
