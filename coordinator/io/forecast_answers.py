"""What is answered over HTTP of forecasts: before a migration, beside its record, of a drain."""

from pydantic import BaseModel, Field


class Spread(BaseModel):
    likely: float
    least: float
    most: float


class Figure(Spread):
    limit: float = Field(description="what the policy's own rules allow at most")


class Point(BaseModel):
    """How much the guest wrote within so many seconds, each page counted once."""

    seconds: float
    bytes: float
    least_bytes: float
    most_bytes: float


class Forecast(BaseModel):
    """A migration by one policy."""

    policy: str
    rounds: Figure = Field(description="the last one, with the guest stopped, is among them")
    wire_bytes: Figure
    total_s: Figure
    blackout_s: Figure
    reason: str = Field(description="why the guest would be stopped")
    ends_by_itself: bool = Field(description="false: nothing but a bound ends the rounds")


class Estimate(BaseModel):
    vm: str
    source: str
    target: str | None = Field(description="null: no node has room for it now")
    basis: str = Field(description="where the speed of the wire is known from")
    wire_bytes_per_s: Spread
    zero_share: float
    packed_share: float = Field(description="what compressing leaves of the pages' bytes")
    curve: list[Point]
    cost_s: float = Field(description="how long the looks at its memory took")
    policies: list[Forecast]


class Moving(Forecast):
    vm: str
    target: str


class Staying(BaseModel):
    vm: str
    reason: str


class DrainEstimate(BaseModel):
    """What moving all VMs away from a node would cost."""

    node: str
    at_once: int
    order: list[str]
    vms: list[Moving]
    stay: list[Staying]
    total_s: Figure


class Predicted(BaseModel):
    """What was foretold of an attempt. `bounds` are least, most and limit of each figure."""

    policy: str
    rounds: float
    wire_bytes: float
    total_s: float
    blackout_s: float
    bounds: dict[str, list[float]]
    wire_bytes_per_s: float
    basis: str
    curve: list[list[float]] = Field(description="seconds, and bytes written within them")
    reason: str
    ends_by_itself: bool


class Explained(BaseModel):
    """How far off the forecast was; ratios are what was, in parts of what was reckoned with."""

    within_bounds: bool
    outside: list[str]
    errors: dict[str, float]
    goodput_ratio: float
    dirtying_ratio: float
    cpu_share: float
    sentence: str
