"""What a migration would cost by one policy: rounds, bytes, total time, blackout, each with bounds.

Every corner of what is uncertain (how much the guest writes, how fast the wire is) is played; the
limits follow from the policy's own rules alone (Akoush et al., MASCOTS 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.forecast.curve import Curve
from agent.forecast.passes import EVERYWHERE, GAP_S, Load, Played, Speed, play
from agent.policies import Policy, Seen
from agent.policies.stopping import PostCopyAfter, Windows2008R2
from protocol.messages import Figure, Forecast, Spread, WayAhead, Window
from protocol.names import PAGE_BYTES
from protocol.travel import Compress, Travel

HEADERS = 0.005
"""Of the bytes of pages, what is sent besides."""

CORNERS = (
    ("likely", "likely"),
    ("least", "most"),
    ("least", "least"),
    ("most", "most"),
    ("most", "least"),
    ("likely", "least"),
    ("likely", "most"),
)
"""How much is written, and how fast the wire is."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of a guest. `packed_bytes_per_s`: how fast one thread compresses its pages;
    `places`: where in its memory it writes.
    """

    windows: tuple[Window, ...]
    pages: int
    zero_share: float = 0.0
    packed_share: float = 1.0
    packed_bytes_per_s: float = 0.0
    places: tuple[float, ...] = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one play comes to."""

    rounds: float
    wire_bytes: float
    total_s: float
    blackout_s: float


def predict(sample: Sample, way: WayAhead, name: str, policy: Policy, seen: Seen) -> Forecast:
    """The likely course, and the least and the most of all corners. `seen` is what the policy may
    know before the first round; `Refused` if it breaks.
    """
    curves = {which: Curve.of(sample.windows, sample.pages, which) for which in _WHICH}
    load, travel = load_of(sample, seen.travel), seen.travel
    plays: list[Played] = []
    found: list[Outcome] = []
    for written, fast in CORNERS:
        speed = Speed(wire_speed(sample, way, travel, fast), _of(way.pass_s, _SLOW[fast]))
        plays.append(play(load, speed, curves[written], policy, seen))
        found.append(_outcome(plays[-1], way, _SLOW[fast]))
    limit = _limit(load, sample, way, _passes_max(policy, seen), travel)
    names = ("rounds", "wire_bytes", "total_s", "blackout_s")
    rounds, wire, total, blackout = (_figure(name, found, limit) for name in names)
    likely = plays[0]
    return Forecast(
        *(name, rounds, wire, total, blackout, likely.reason),
        ends_by_itself=not likely.bounded,
        first_dirty_pages=float(likely.rounds[0].dirty_pages_at_end),
    )


def _passes_max(policy: Policy, seen: Seen) -> int:
    """After how many passes its own rule ends it, whatever the guest does."""
    match policy:
        case Windows2008R2():
            return seen.rounds_max
        case PostCopyAfter(rounds=rounds):
            return rounds
    return seen.bound_rounds


_WHICH = ("likely", "least", "most")
_SLOW = {"likely": "likely", "least": "most", "most": "least"}
"""A wire at its fastest goes with the least of all times."""


def load_of(sample: Sample, travel: Travel) -> Load:
    packs = travel.compress is not Compress.OFF
    share = min(sample.packed_share, 1.0) if packs else 1.0
    return Load(
        sample.pages, round(sample.pages * sample.zero_share), share, travel.marking, sample.places
    )


def wire_speed(sample: Sample, way: WayAhead, travel: Travel, fast: str) -> float:
    """Bytes on the wire a second: what the wire can, what it may, and what compressing can feed."""
    speed = _of(way.wire_bytes_per_s, fast)
    if travel.rate_bytes_per_s:
        speed = min(speed, float(travel.rate_bytes_per_s))
    if travel.compress is not Compress.OFF and sample.packed_bytes_per_s:
        fed = sample.packed_bytes_per_s * sample.packed_share * travel.streams
        speed = min(speed, fed)
    return max(speed, 1.0)


def _of(spread: Spread, which: str) -> float:
    return float(getattr(spread, which))


def _outcome(played: Played, way: WayAhead, slow: str) -> Outcome:
    switch_s = _of(way.switch_s, slow)
    blackout_s = switch_s if played.pulls else switch_s + played.last_s
    total_s = _of(way.setup_s, slow) + played.copying_s + played.last_s + switch_s
    return Outcome(
        float(len(played.rounds) - played.pulls), float(played.wire_bytes), total_s, blackout_s
    )


def _limit(load: Load, sample: Sample, way: WayAhead, passes_max: int, travel: Travel) -> Outcome:
    """What the stop rules alone allow: each pass sends every page, on the slowest wire."""
    passes = passes_max + 1
    all_bytes = load.pages * PAGE_BYTES * load.share
    first = (load.pages - load.zero_pages) * PAGE_BYTES * load.share
    speed = wire_speed(sample, way, travel, "least")
    wire_bytes = first + (passes - 1) * all_bytes
    switch_s = way.switch_s.most
    last_s = way.pass_s.most + all_bytes / speed
    total_s = way.setup_s.most + passes * (way.pass_s.most + GAP_S) + wire_bytes / speed
    return Outcome(float(passes), wire_bytes, total_s + switch_s, switch_s + last_s)


def _figure(name: str, found: Sequence[Outcome], limit: Outcome) -> Figure:
    values = [float(getattr(outcome, name)) for outcome in found]
    least, most = min(values), max(values)
    if name == "wire_bytes":  # pages are sent in batches, each behind a header
        most *= 1 + HEADERS
    return Figure(values[0], least, most, max(float(getattr(limit, name)), most))
