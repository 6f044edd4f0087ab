"""What earlier migrations say of the way that one is about to take.

Those between the same two nodes are looked at first, then all; a rate that a limit held down says
how well that limit is used, and nothing of what the wire could do.
"""

from collections.abc import Sequence
from statistics import median

from coordinator.migration import travels
from coordinator.migration.records import rate_bytes_per_s
from coordinator.networks.networks import migration_networks
from coordinator.scene import Scene
from coordinator.store.rows import AttemptRow
from protocol.messages import Spread, WayAhead, Window
from protocol.names import PAGE_BYTES, Member, NetworkName, NodeName, Outcome, VmName
from protocol.travel import Compress, Marking, Travel

LOOKED_AT = 8
TELLING_BYTES = 1 << 20
"""A round of fewer bytes says nothing of the wire."""

HELD_DOWN = 0.9
"""From this share of a limit on it was the limit that made the speed."""

PACED = ("clark", "post-copy")
"""Policies that send more slowly than they could, or whose blackout has other parts."""

UNKNOWN_WIRE = Spread(1e9, 1e8, 8e9)
USED_OF_LIMIT = Spread(0.985, 0.93, 1.02)
PASS_S = Spread(0.0005, 0.0, 0.005)
SWITCH_S = Spread(0.012, 0.003, 0.08)
SETUP = Spread(1.0, 0.3, 5.0)
"""Of the usual time: what a target needs to make room, and both to begin and to clean up."""

SETUP_S = 0.15
POPULATED_BYTES_PER_S = 3e9


def usual_setup_s(memory_bytes: int) -> float:
    return SETUP_S + memory_bytes / POPULATED_BYTES_PER_S


def way_ahead(
    scene: Scene, source: NodeName, target: NodeName | None, memory_bytes: int, travel: Travel
) -> WayAhead:
    """What to expect of a migration of so much memory from `source` to `target`."""
    rows, words = known(scene, source, target)
    limit = travels.least(travel.rate_bytes_per_s, _network_limit(scene, source, target))
    wire, basis = _wire(_alike(rows, travel), _used_shares(_done(scene)), limit, words)
    usual_s = usual_setup_s(memory_bytes)
    setup = _spread([_setup(row) for row in rows], SETUP, noise=0.2)
    return WayAhead(
        wire,
        _spread([cost for row in rows for cost in _pass_costs(row)], PASS_S),
        Spread(setup.likely * usual_s, setup.least * usual_s, setup.most * usual_s),
        _spread([_switch_s(row) for row in rows], SWITCH_S, noise=0.3),
        basis,
    )


def written_before(scene: Scene, vm: VmName) -> tuple[Window, ...]:
    """What the guest of `vm` wrote while it was moved last: in its first round, and when it was
    watched for the forecast.
    """
    for _, row in sorted(scene.book.attempts.items(), reverse=True):
        if row.vm != vm or row.outcome is not Outcome.COMPLETED or not row.rounds:
            continue
        if row.predicted is None:
            continue
        first, seen = row.rounds[0], row.predicted.windows
        if row.travel.marking is Marking.SENT or first.throttle:
            return seen  # it says what was written since the pages were sent
        wrote = float(first.dirty_pages_at_end)
        shorter = tuple(window for window in seen if window.seconds < first.seconds)
        return (*shorter, Window(first.seconds, Spread(wrote, wrote, wrote)))
    return ()


def known(scene: Scene, source: NodeName, target: NodeName | None) -> tuple[list[AttemptRow], str]:
    """The newest completed attempts that are telling, and which they are in words."""
    done = _done(scene)
    same = [row for row in done if {row.source, row.target} == {source, target}]
    if same:
        return same[:LOOKED_AT], f"between {source} and {target}"
    return done[:LOOKED_AT], "between other nodes"


def _done(scene: Scene) -> list[AttemptRow]:
    return [
        row
        for _, row in sorted(scene.book.attempts.items(), reverse=True)
        if row.outcome is Outcome.COMPLETED and row.closed and len(row.rounds) > 1 and row.parts
        if row.policy.partition(":")[0] not in PACED
    ]


def _held_down(row: AttemptRow) -> bool:
    limit = rate_bytes_per_s(row)
    return bool(limit) and wire_bytes_per_s(row) >= HELD_DOWN * limit


def _used_shares(rows: Sequence[AttemptRow]) -> list[float]:
    """How well limits are used, wherever it was."""
    held = [row for row in rows if _held_down(row)]
    return [wire_bytes_per_s(row) / rate_bytes_per_s(row) for row in held[:LOOKED_AT]]


def _alike(rows: Sequence[AttemptRow], travel: Travel) -> list[AttemptRow]:
    """Those whose pages travelled the same way, if there are any."""
    packs = travel.compress is not Compress.OFF
    alike = [
        row
        for row in rows
        if row.travel.streams == travel.streams
        and (row.travel.compress is not Compress.OFF) == packs
    ]
    return alike or list(rows)


def wire_bytes_per_s(row: AttemptRow) -> float:
    """By its largest round; 0 where none was telling."""
    largest = max(row.rounds, key=lambda record: record.wire_bytes)
    if largest.wire_bytes < TELLING_BYTES or largest.seconds <= 0:
        return 0.0
    return largest.wire_bytes / largest.seconds


def _wire(
    rows: Sequence[AttemptRow], used: Sequence[float], limit: int, words: str
) -> tuple[Spread, str]:
    share = _spread(used, USED_OF_LIMIT, noise=0.01)
    if limit:
        held = Spread(limit * share.likely, limit * share.least, limit * share.most)
        speeds = [speed for row in rows if (speed := _speed_under(row, limit, share.likely))]
        slower = _spread(speeds, held, noise=0.01)
        wire = Spread(slower.likely, slower.least, min(slower.most, held.most))
        if wire.likely >= HELD_DOWN * limit:
            return wire, f"the limit of {limit / 1e6:g} MB/s"
        return wire, f"{_named(len(speeds), words)}, and the limit of {limit / 1e6:g} MB/s"
    free = [speed for row in rows if (speed := wire_bytes_per_s(row)) and not _held_down(row)]
    if free:
        return _spread(free, UNKNOWN_WIRE), _named(len(free), words)
    least = max(map(wire_bytes_per_s, rows), default=0.0)
    wire = UNKNOWN_WIRE
    wire = Spread(max(wire.likely, least), max(wire.least, least), max(wire.most, least))
    return wire, "no migration whose speed would tell: 100 MB/s to 8 GB/s are assumed"


def _named(count: int, words: str) -> str:
    return f"the last {count} migrations {words}" if count > 1 else f"the last migration {words}"


def _speed_under(row: AttemptRow, limit: int, share: float) -> float:
    """How fast that one would have been under `limit`."""
    speed = wire_bytes_per_s(row)
    if _held_down(row):
        return limit * speed / rate_bytes_per_s(row)
    return min(speed, limit * share)


def _pass_costs(row: AttemptRow) -> list[float]:
    """What each pass but the first took besides its bytes."""
    speed = wire_bytes_per_s(row)
    if not speed:
        return []
    return [max(0.0, record.seconds - record.wire_bytes / speed) for record in row.rounds[1:]]


def _switch_s(row: AttemptRow) -> float:
    """The blackout without the last pages and without a verification."""
    parts = sum(seconds for name, seconds in row.parts if name != "verify")
    return max(0.0, parts - row.rounds[-1].seconds)


def _setup(row: AttemptRow) -> float:
    """What the attempt took outside of rounds and blackout, in parts of the usual."""
    assert row.ended_at is not None, "only closed ones are looked at"
    pages = row.rounds[0].pages + row.rounds[0].left_pages
    inside = sum(record.seconds for record in row.rounds[:-1])
    inside += sum(seconds for _, seconds in row.parts)
    outside = row.ended_at - row.asked_at - row.queued_s - row.waited_s - inside
    return max(0.01, outside / usual_setup_s(pages * PAGE_BYTES))


def _spread(values: Sequence[float], without: Spread, noise: float = 0.1) -> Spread:
    """The median and the extremes, wider where there are few values; `without` any, that."""
    if not values:
        return without
    wide = 1 + noise + 3 * noise / len(values)
    return Spread(median(values), min(values) / wide, max(values) * wide)


def _network_limit(scene: Scene, source: NodeName, target: NodeName | None) -> int:
    """The limit of the network that would be tried first; 0 for none."""
    networks = first_networks(scene, source, target)
    return dict(travels.network_rates(scene)).get(networks[0], 0) if networks else 0


def first_networks(
    scene: Scene, source: NodeName, target: NodeName | None
) -> Sequence[NetworkName]:
    here, there = _member(scene, source), _member(scene, target)
    return () if here is None or there is None else migration_networks(scene, here, there)


def _member(scene: Scene, node: NodeName | None) -> Member | None:
    agent = scene.agents.at(node)
    return None if agent is None else agent.as_member()
