"""A store's backup, taken while its coordinator runs, and put back once it has stopped.

The coordinator holds its database for itself alone, so no other process can open it. But whatever
is in its file and its log at one moment is a whole store, as it would be found after a loss of
power: read while the file did not change, the two are a backup.
"""

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from coordinator.io.sqlite import STORE, claimed
from coordinator.io.store_check import SIDES, Contents, check_store
from protocol.errors import ClusterError, Refused, StoreError

TRIES = 100
"""A file that changes under every one of so many readings is being written without a pause."""

WORDS = ("backup", "restore")


def backup(state_dir: Path, to: Path) -> Contents:
    """Write what the store in `state_dir` holds now to the new file `to`."""
    path = state_dir / STORE
    if not path.is_file():
        raise Refused(f"there is no store {path}: name the state folder of a coordinator")
    if to.exists():
        raise Refused(f"{to} exists already: name a new file for the backup")
    draft = to.with_name(f".{to.name}.new")
    try:
        file, log = _at_one_moment(path)
        _write(draft, file)
        _write(Path(f"{draft}-wal"), log)
        found = check_store(draft)
        if found is None:
            raise Refused(f"the store {path} is still empty: there is nothing to keep")
        with closing(sqlite3.connect(draft, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE")  # the log's content goes into the file
        _sync(draft)
        draft.rename(to)
        _sync(to.parent)
    except OSError as exc:
        raise StoreError(f"the backup {to} cannot be written: {exc.strerror}") from exc
    finally:
        for name in (*SIDES, "-shm"):
            Path(f"{draft}{name}").unlink(missing_ok=True)
    return found


def restore(state_dir: Path, source: Path, *, force: bool = False) -> Contents:
    """Put the backup `source` in place of the store in `state_dir`, which is kept beside it.

    Refused while a coordinator runs on it; and without `force` if it is another cluster's, or newer
    than the backup.
    """
    if not source.is_file():
        raise Refused(f"there is no backup {source}: name a file that backup has written")
    kept = check_store(source)
    if kept is None:
        raise Refused(f"{source} holds no store: name a file that backup has written")
    path = state_dir / STORE
    with claimed(path):
        if not force:
            _check_replaceable(path, source, kept)
        draft = path.with_name(f"{path.name}.new")
        try:
            _write(draft, source.read_bytes())
            _sync(draft)
            for name in (*SIDES, "-shm"):
                old = Path(f"{path}{name}")
                if old.exists() and old.stat().st_size:
                    old.replace(f"{path}.replaced{name}")
                else:
                    old.unlink(missing_ok=True)
            draft.rename(path)
            _sync(path.parent)
        except OSError as exc:
            raise StoreError(f"the store {path} cannot be written: {exc.strerror}") from exc
    return kept


def _check_replaceable(path: Path, source: Path, kept: Contents) -> None:
    try:
        there = check_store(path)
    except StoreError:
        return  # it is damaged, or no store at all: that is what a backup is for
    if there is None:
        return
    if there.cluster_id not in ("", kept.cluster_id):
        raise Refused(
            f"{path} is the store of cluster {there.cluster!r} ({there.cluster_id}) and {source} of"
            f" {kept.cluster!r} ({kept.cluster_id}): say --force to replace one by the other"
        )
    if (there.term, there.revision) > (kept.term, kept.revision):
        raise Refused(
            f"{path} is newer (term {there.term}, revision {there.revision}) than {source} (term"
            f" {kept.term}, revision {kept.revision}): say --force to lose what came between"
        )


def _at_one_moment(path: Path) -> tuple[bytes, bytes]:
    """File and log that belong together: neither was begun anew while they were read."""
    log_path = Path(f"{path}-wal")
    for _ in range(TRIES):
        file = path.read_bytes()
        log = log_path.read_bytes() if log_path.exists() else b""
        again = log_path.read_bytes() if log_path.exists() else b""
        if path.read_bytes() == file and again.startswith(log):
            return file, log
    raise StoreError(f"the store {path} changes without a pause: try again")


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"coordinator: {message}\n")


def main(args: Sequence[str]) -> int:
    """`python -m coordinator backup|restore`."""
    words = _Parser(prog="python -m coordinator", allow_abbrev=False)
    kinds = words.add_subparsers(dest="word", required=True, parser_class=_Parser)
    saving = kinds.add_parser("backup", help="copy a store, also while its coordinator runs")
    saving.add_argument("--state-dir", type=Path, required=True, help="of the coordinator")
    saving.add_argument("--to", type=Path, required=True, metavar="FILE", help="a new file")
    putting = kinds.add_parser("restore", help="put a backup back; its coordinator must not run")
    putting.add_argument("--state-dir", type=Path, required=True, help="of the coordinator")
    putting.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source")
    putting.add_argument("--force", action="store_true", help="replace a newer or another store")
    chosen = words.parse_args(args)
    try:
        if chosen.word == "backup":
            found = backup(chosen.state_dir, chosen.to)
        else:
            found = restore(chosen.state_dir, chosen.source, force=chosen.force)
    except ClusterError as exc:
        sys.stderr.write(f"coordinator: {exc}\n")
        return 1
    done = "kept" if chosen.word == "backup" else "is in place"
    with contextlib.suppress(BrokenPipeError):
        print(f"cluster {found.cluster!r}, term {found.term}, revision {found.revision}: {done}")
    return 0
