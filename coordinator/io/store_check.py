"""Whether a store's file can be lived with, found out on a copy: the file itself stays as it is.

Opening a database may already change it (its log is written back when it is closed), so a damaged
one would be half repaired before anybody knew.
"""

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from coordinator.store import interface as store
from coordinator.store.interface import TERM_KEY
from coordinator.store.rows import CLUSTER
from protocol.errors import StoreError

APPLICATION_ID = 0x68766C62  # "hvlb"
SCHEMA = 1
SIDES = ("", "-wal")
"""The file and its log: together they are the store. (Its index is made anew from the log.)"""

REMEDY = (
    "put back a backup with python -m coordinator restore, or name another state folder to begin"
    " anew"
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What tells two stores apart, and which of them is newer."""

    cluster_id: str
    cluster: str
    term: int
    revision: int


def check_store(path: Path) -> Contents | None:
    """What the store at `path` holds; None if it is still empty. StoreError says what is off."""
    if not path.exists() or sum(side.stat().st_size for side in _sides(path)) == 0:
        return None
    with tempfile.TemporaryDirectory(prefix="hvlab-store-") as folder:
        copy = Path(folder) / "store"
        try:
            for side, name in zip(_sides(path), SIDES, strict=False):
                Path(f"{copy}{name}").write_bytes(side.read_bytes())
            with closing(sqlite3.connect(copy, isolation_level=None)) as db:
                return contents(db, path)
        except sqlite3.DatabaseError as exc:
            raise StoreError(f"the store {path} cannot be read ({exc}): {REMEDY}") from exc
        except OSError as exc:
            raise StoreError(f"the store {path} cannot be read ({exc.strerror})") from exc


def _sides(path: Path) -> list[Path]:
    return [side for name in SIDES if (side := Path(f"{path}{name}")).exists()]


def contents(db: sqlite3.Connection, path: Path) -> Contents | None:
    """Look through the whole database; `path` is what it is called in what goes wrong."""
    check_ours(db, path)
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0:
        return None
    for (said,) in db.execute("PRAGMA quick_check(1)"):
        if said != "ok":
            found = " ".join(str(said).split())
            raise StoreError(f"the store {path} is damaged ({found}): {REMEDY}")
    term, newest, cluster = 0, 0, {"id": "", "name": ""}
    for key, content, revision in db.execute("SELECT key, value, revision FROM rows"):
        newest = max(newest, revision)
        if content is None:
            continue
        try:
            value = store.unpack(content)
            term = int(value["term"]) if key == TERM_KEY else term
            cluster.update(value if key == CLUSTER else {})
        except (ValueError, KeyError, TypeError) as exc:
            raise StoreError(f"the store {path} is damaged (row {key!r}): {REMEDY}") from exc
    return Contents(str(cluster["id"]), str(cluster["name"]), term, newest)


def check_ours(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that we did not make, or cannot know, before anything in it is touched."""
    (ours,) = db.execute("PRAGMA application_id").fetchone()
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if ours != APPLICATION_ID and (ours, tables) != (0, 0):
        raise StoreError(f"{path} is a database of another program: name a new file")
    if layout > SCHEMA:
        raise StoreError(
            f"the store {path} has layout {layout} and this version knows up to {SCHEMA}: "
            "use the version that wrote it, or a newer one"
        )
