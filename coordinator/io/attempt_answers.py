"""What is answered of migrations over HTTP: the record of an attempt, and how far it is."""

from pydantic import BaseModel, Field

from coordinator.io.forecast_answers import Explained, Predicted
from protocol.names import Outcome, Priority, Verify
from protocol.travel import Compress, Marking


class Round(BaseModel):
    round: int
    pages: int
    zero_pages: int
    wire_bytes: int
    seconds: float
    dirty_pages_at_end: int
    packed_pages: int = Field(description="that were compressed")
    delta_pages: int = Field(description="of which only the difference travelled")
    kept_pages: int = Field(description="that the target still had")
    left_pages: int = Field(description="that were written again, and left for the next round")
    cpu_s: float = Field(description="of the threads that sent it")
    throttle: float = Field(description="the share of its time that was taken from the guest")


class Travel(BaseModel):
    """How its pages travel."""

    streams: int
    compress: Compress
    level: int
    delta_bytes: int
    kept: bool
    checked: bool
    stripe: bool = Field(description="over as many networks as answer")
    marking: Marking
    rate_bytes_per_s: int = Field(description="the least limit that applies; 0: none does")
    downtime_s: float


class Live(BaseModel):
    step: str
    round: int | None
    pages_sent: int
    pages_total: int
    seconds: float


class Attempt(BaseModel):
    attempt: int
    vm: str
    source: str
    target: str | None
    network: str | None
    outcome: Outcome | None
    reason: str
    total_s: float | None
    blackout_s: float | None
    blackout: dict[str, float]
    rounds: list[Round]
    wire_bytes: int
    goodput_bytes_per_s: float
    verified: bool | None
    waited_s: float = Field(description="how long a copied guest ran on for want of a coordinator")
    predicted: Predicted | None = Field(description="null: nothing was foretold")
    explained: Explained | None = Field(description="null until it is over, or nothing to explain")
    policy: str
    verify: Verify
    travel: Travel
    priority: Priority | None = Field(description="of one that could wait; null: it could not")
    queued_s: float = Field(description="how long it waited before it began")
    decision: str
    state: str = Field(description="Queued, then those of the machine, and Closed at last")
    asked_at: float
    ended_at: float | None
    live: Live | None = Field(description="how far it is; null once it is over")
