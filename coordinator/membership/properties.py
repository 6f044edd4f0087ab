"""The cluster's common properties: one table, by the names of the field, and how they are set.

Only what an operator sets is held to a range: a lab may be formed with clocks far outside of it.
"""

import difflib
from dataclasses import dataclass, replace
from typing import Any

from coordinator.events import RequestId
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown.chronicle import Note
from coordinator.shown.chronicle_storage import volumes_enabled
from coordinator.storage.csv_settings import checked_property, csv_enabled, volumes_root
from coordinator.store.book import Book
from coordinator.store.rows import CLUSTER, ClusterRow
from protocol.disks import SHARED_VOLUMES_ROOT, VOLUME_CHARS_MAX
from protocol.names import Personality, Timing
from protocol.travel import DELTA_BYTES_MAX, STREAMS_MAX, ZSTD_LEVELS, Compress

Value = int | str


@dataclass(frozen=True, slots=True)
class Property:
    """One property. `least` and `most` are of a number; for words they bound the length."""

    name: str
    default: Value
    least: int | None
    most: int | None
    unit: str
    meaning: str
    writable: bool = True
    personality: Personality = Personality.R2008
    words: tuple[str, ...] = ()
    """What a text may be; empty: anything that can be printed."""

    @property
    def is_text(self) -> bool:
        return isinstance(self.default, str)


def _one_of(name: str, words: tuple[str, ...], meaning: str) -> Property:
    longest = max(map(len, words))
    return Property(name, words[0], 1, longest, "", f"{meaning}: {', '.join(words)}", words=words)


def _fixed(name: str, default: Value, meaning: str) -> Property:
    return Property(name, default, None, None, "", meaning, writable=False)


_TABLE = (
    Property("Name", "", 1, 64, "", "what people call the cluster"),
    Property("Description", "", 0, 1024, "", "for people; it changes nothing"),
    Property("SameSubnetDelay", 1000, 250, 2000, "ms", "between two heartbeats on one route"),
    Property("SameSubnetThreshold", 5, 3, 120, "", "missed heartbeats that take a route down"),
    Property("CrossSubnetDelay", 1000, 250, 4000, "ms", "kept; a network here is one subnet"),
    Property("CrossSubnetThreshold", 5, 3, 120, "", "kept; a network here is one subnet"),
    Property("QuorumArbitrationTimeMax", 20, 1, 3600, "s", "how long a node tries for the witness"),
    Property("QuorumGraceTime", 30, 0, 3600, "s", "how long guests without quorum stay paused"),
    Property(
        "ClusSvcRegroupOpeningTimeout", 5, 0, 3600, "s", "a regroup waits so long for reports"
    ),
    Property(
        "ClusSvcRegroupPruningTimeout", 5, 0, 3600, "s", "and then so long for links to come back"
    ),
    Property(
        "ClusSvcRegroupStageTimeout",
        5,
        0,
        3600,
        "s",
        "kept; who is silent is known by the heartbeats",
    ),
    Property("AddEvictDelay", 60, 0, 600, "s", "an evicted node may not be added before"),
    Property("ClusterGroupWaitDelay", 30, 0, 3600, "s", "groups wait for a preferred owner"),
    Property("RequestReplyTimeout", 60, 1, 3600, "s", "how long an operator's request may take"),
    Property("ShutdownTimeoutInMinutes", 20, 0, 1440, "min", "how long guests may take to stop"),
    Property(
        "EnableSharedVolumes", "Disabled", 1, 8, "", "Enabled: once, for all nodes, and for good"
    ),
    Property(
        *("SharedVolumesRoot", SHARED_VOLUMES_ROOT, 1, VOLUME_CHARS_MAX),
        *("", "where nodes have the volumes"),
    ),
    _fixed("FixQuorum", 0, "1 while the cluster runs by force"),
    _fixed("PreventQuorum", 0, "a node's own: whether it may only join"),
    _fixed("BackupInProgress", 0, "1 while the store is copied"),
    Property(
        "DynamicQuorum",
        1,
        0,
        1,
        "",
        "whether votes follow who is there",
        personality=Personality.R2012,
    ),
    Property(
        "LowerQuorumPriorityNodeID",
        0,
        0,
        1024,
        "",
        "the node that loses its vote first on an even split; 0 for the highest id",
        personality=Personality.R2012,
    ),
    Property("MigrationStreams", 1, 1, STREAMS_MAX, "", "connections that carry pages"),
    _one_of("MigrationCompression", tuple(kind.value for kind in Compress), "pages are packed"),
    Property(
        *("MigrationCompressionLevel", 1, ZSTD_LEVELS[0], ZSTD_LEVELS[-1]),
        *("", "of zstd, where pages are packed"),
    ),
    Property(
        *("MigrationDeltaCache", 0, 0, DELTA_BYTES_MAX >> 20),
        *("MiB", "to remember what was sent, for differences; 0 for none"),
    ),
    Property("MigrationKeptPages", 0, 0, 1, "", "1: what the target still has is not sent"),
    Property("MigrationRate", 0, 0, 100_000, "MB/s", "of one migration; 0 for no limit"),
    Property("MigrationDowntime", 0, 0, 3_600_000, "ms", "the pause to aim at; 0: the node's own"),
    Property(
        *("MigrationsPerNode", 1, 1, 16, "", "how many a node takes part in at once"),
        personality=Personality.R2012,
    ),
)

PACE = frozenset({"samesubnetdelay", "samesubnetthreshold"})
PATIENCE = frozenset({"quorumarbitrationtimemax", "quorumgracetime"})
"""What agents are told of with the clocks, in small letters."""

OF_VOLUMES = ("EnableSharedVolumes", "SharedVolumesRoot")

PROPERTIES = {entry.name: entry for entry in _TABLE}


def value(book: Book, name: str) -> Value:
    """What a property is now: what was set, else its default."""
    entry, cluster = PROPERTIES[name], book.cluster
    timing = book.timing
    match name:
        case "Name" if cluster is not None:
            return cluster.name
        case "SameSubnetDelay":
            return round(timing.delay_s * 1000)
        case "SameSubnetThreshold":
            return timing.threshold
        case "QuorumArbitrationTimeMax":
            return round(timing.arbitration_max_s)
        case "QuorumGraceTime":
            return round(timing.grace_s)
        case "FixQuorum":
            return int(book.view is not None and book.view.view.votes.forced)
        case _:
            return (
                entry.default
                if cluster is None
                else dict(cluster.properties).get(name, entry.default)
            )


def number(book: Book, name: str) -> int:
    """A property that is a number."""
    found = value(book, name)
    assert isinstance(found, int), name
    return found


def listed(book: Book) -> tuple[dict[str, Any], ...]:
    """All that this cluster has, in the order of the table, as plain data."""
    return tuple(
        {
            "name": entry.name,
            "value": value(book, entry.name),
            "default": entry.default,
            "least": None if entry.is_text else entry.least,
            "most": None if entry.is_text else entry.most,
            "unit": entry.unit,
            "writable": entry.writable,
            "meaning": entry.meaning,
        }
        for entry in _TABLE
        if _has(book, entry)
    )


def _has(book: Book, entry: Property) -> bool:
    personality = Personality.R2008 if book.cluster is None else book.cluster.personality
    return entry.personality in (Personality.R2008, personality)


@dataclass(frozen=True, slots=True)
class Configure:
    """(Get-Cluster).X = value, of one or several properties: all of them are set or none."""

    request: RequestId
    settings: tuple[tuple[str, Value], ...]

    @property
    def sets_clocks(self) -> bool:
        """Agents live by one of these: they have to be told."""
        return not PACE.union(PATIENCE).isdisjoint(name.lower() for name, _ in self.settings)

    @property
    def sets_pace(self) -> bool:
        """Who is alive is judged by one of these."""
        return not PACE.isdisjoint(name.lower() for name, _ in self.settings)

    def draft(self, scene: Scene) -> Draft | Declined:
        cluster = scene.book.cluster
        if cluster is None:
            sentence = "There is no cluster whose properties could be set: form one first."
            return Declined(409, "no-cluster", sentence)
        for name, wish in self.settings:
            checked = checked_setting(scene.book, name, wish)
            if isinstance(checked, Declined):
                return checked
            cluster = _with(cluster, *checked)
        if self.sets_pace:
            lasted_s = max(scene.book.calm_s, cluster.timing.outlast_s)
            cluster = replace(cluster, longest_s=lasted_s)
        notes: tuple[Note, ...] = ()
        if csv_enabled(cluster) and not csv_enabled(scene.book.cluster):
            notes = (volumes_enabled(volumes_root(cluster)),)
        return Draft(puts=((CLUSTER, cluster.data()),), notes=notes)

    def answer(self, scene: Scene) -> dict[str, object]:
        names = [_entry(scene.book, name) for name, _ in self.settings]
        return {entry.name: value(scene.book, entry.name) for entry in names if entry is not None}


def _entry(book: Book, name: str) -> Property | None:
    """By its name in any case of letters, as the field takes it."""
    known = (entry for entry in _TABLE if _has(book, entry))
    return next((entry for entry in known if entry.name.lower() == name.lower()), None)


def checked_setting(book: Book, name: str, wish: Value) -> tuple[str, Value] | Declined:
    """The property's own name and a value that it can have, or why it cannot be set so."""
    entry = _entry(book, name)
    if entry is None:
        return _unknown(book, name)
    if not entry.writable:
        sentence = f"{entry.name} can only be read ({entry.meaning}): set another property."
        return Declined(409, "read-only", sentence)
    if entry.name in OF_VOLUMES:
        found = checked_property(book, entry.name, wish)
        return found if isinstance(found, Declined) else (entry.name, found)
    assert entry.least is not None, entry.name
    assert entry.most is not None, entry.name
    if entry.words:
        word = str(wish).lower()
        if word in entry.words:
            return entry.name, word
        wanted = " or ".join((", ".join(entry.words[:-1]), entry.words[-1]))
        sentence = f"{entry.name} must be {wanted} and {wish!r} is not (5913): nothing was changed."
        return Declined(422, "out-of-range", sentence)
    if entry.is_text:
        text = str(wish)
        if entry.least <= len(text) <= entry.most and text.isprintable():
            return entry.name, text
        wanted = f"{entry.least} to {entry.most} printable characters"
        sentence = f"{entry.name} must be {wanted} (5913): nothing was changed."
        return Declined(422, "out-of-range", sentence)
    number_wished = _number(wish)
    if isinstance(number_wished, int) and entry.least <= number_wished <= entry.most:
        return entry.name, number_wished
    wanted = f"{entry.least} to {entry.most} {entry.unit}".rstrip()
    sentence = f"{entry.name} must be {wanted} and {wish!r} is not (5913): nothing was changed."
    return Declined(422, "out-of-range", sentence)


def _number(wish: Value) -> Value:
    """A number that came as a word is one all the same."""
    digits = str(wish).strip()
    plain = digits.isascii() and digits.removeprefix("-").isdigit() and len(digits) <= 12
    return int(digits) if plain else wish


def _unknown(book: Book, name: str) -> Declined:
    later = next((entry for entry in _TABLE if entry.name.lower() == name.lower()), None)
    if later is not None:
        sentence = (
            f"{later.name} belongs to the personality {later.personality.value}, and this cluster"
            f" was formed without it: set another property."
        )
        return Declined(404, "unknown-property", sentence)
    by_lower = {entry.name.lower(): entry.name for entry in _TABLE if _has(book, entry)}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[close[0]]}?" if close else "list them to see their names."
    return Declined(404, "unknown-property", f"A cluster has no property {name!r}: {hint}")


def _with(cluster: ClusterRow, name: str, wish: Value) -> ClusterRow:
    """`cluster` with one property set. The clocks that agents live by are in its timing."""
    if name == "Name":
        return replace(cluster, name=str(wish))
    timing = _timed(cluster.timing, name, wish)
    if timing is not None:
        return replace(cluster, timing=timing)
    kept = dict(cluster.properties) | {name: wish}
    return replace(cluster, properties=tuple(sorted(kept.items())))


def _timed(timing: Timing, name: str, wish: Value) -> Timing | None:
    match name, wish:
        case "SameSubnetDelay", int(delay_ms):
            return replace(timing, delay_s=delay_ms / 1000)
        case "SameSubnetThreshold", int(beats):
            return replace(timing, threshold=beats)
        case "QuorumArbitrationTimeMax", int(seconds):
            return replace(timing, arbitration_max_s=float(seconds))
        case "QuorumGraceTime", int(seconds):
            return replace(timing, grace_s=float(seconds))
        case _:
            return None
