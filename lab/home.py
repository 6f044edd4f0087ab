"""Where labs live on disk: one private folder for each, with what is needed to find and end it.

```text
HOME/labs/NAME/lab.json        what runs, with pid and start time of each process
               topology.yaml   what it was made of
               logs/NAME.log   what each process printed
               coordinator/    (or c1/, c2/, ...) and nodes/NODE/: the state folders of the programs
               witness/NAME/   the witness of its quorum, if it has one
               etcd/NAME/      the data of its etcd, if it has one
               san/            the LUNs and the write log of its san, if it has one
               chap.json       what its initiators prove who they are with, if they have to
HOME/failed/NAME/              the logs of the last start that failed
```
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.errors import LabError, LabRunning, NoSuchLab, UnknownNode
from lab.procfs import Process, boot_id, runs

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRecord:
    """A program that was started, and how to start it again."""

    name: str
    pid: int
    start_time: int
    addresses: dict[str, str]
    """Network to address."""

    argv: tuple[str, ...]
    ready: dict[str, Any]
    """What its ready line said: ports, and an agent's tracker."""

    @property
    def process(self) -> Process:
        return Process(self.pid, self.start_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord(ProgramRecord):
    """An agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorRecord(ProgramRecord):
    """A coordinator, which starts again on the same ports."""

    control: tuple[str, ...]
    """ADDR:PORT of its control links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecord(ProgramRecord):
    """A member of the lab's etcd."""

    @property
    def url(self) -> str:
        return str(self.ready["url"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SanRecord(ProgramRecord):
    """The lab's san, which starts again on the same ports."""

    portals: tuple[str, ...]
    """ADDR:PORT of each."""

    target: str
    """The name that initiators log in to."""


Program = TypeVar("Program", NodeRecord, CoordinatorRecord, StoreRecord, SanRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabRecord:
    """A lab that was started. Kept in lab.json, so that every later command finds it."""

    name: str
    fabric: str
    api: str
    """URL of the HTTP API; empty while the lab is being started."""

    state_dir: Path
    boot_id: str
    nodes: tuple[NodeRecord, ...]
    coordinators: tuple[CoordinatorRecord, ...]
    stores: tuple[StoreRecord, ...] = ()
    """The members of its etcd, where several coordinators share one."""

    sans: tuple[SanRecord, ...] = ()
    """Its san, if it has one."""

    @property
    def topology_path(self) -> Path:
        return self.state_dir / "topology.yaml"

    @property
    def processes(self) -> tuple[Process, ...]:
        # The san goes last: who ends would wait for disks that are gone.
        programs = (*self.nodes, *self.coordinators, *self.stores, *self.sans)
        return tuple(program.process for program in programs)

    def witness_path(self, name: str) -> Path:
        """The folder that stands for the witness `name`, apart from those of the nodes."""
        return witness_path(self.state_dir, name)

    def node(self, name: str) -> NodeRecord:
        return self._named(name, "node", self.nodes)

    def coordinator(self, name: str) -> CoordinatorRecord:
        return self._named(name, "coordinator", self.coordinators)

    def store(self, name: str) -> StoreRecord:
        return self._named(name, "member of etcd", self.stores)

    @property
    def san(self) -> SanRecord:
        if not self.sans:
            raise UnknownNode(f"lab {self.name!r} has no san: its topology names none")
        return self.sans[0]

    @property
    def san_dir(self) -> Path:
        """The state folder of its san."""
        return self.state_dir / "san"

    def _named(self, name: str, kind: str, programs: Sequence[Program]) -> Program:
        for program in programs:
            if program.name == name:
                return program
        known = ", ".join(program.name for program in programs)
        raise UnknownNode(f"lab {self.name!r} has no {kind} {name!r}: it has {known}")

    def log_path(self, name: str) -> Path:
        """Where the node or coordinator `name` logs to."""
        return self.state_dir / "logs" / f"{name}.log"

    def is_running(self) -> bool:
        """Whether any of its processes still runs; a lab of which none does is stale."""
        return self.boot_id == boot_id() and any(runs(process) for process in self.processes)

    def public(self) -> dict[str, Any]:
        """The answer of `hvlab up --json`."""
        return {
            "lab": self.name,
            "fabric": self.fabric,
            "api": self.api,
            "console": None,
            "state_dir": str(self.state_dir),
            "nodes": [
                {"name": node.name, "pid": node.pid, "addresses": node.addresses}
                for node in self.nodes
            ],
            "coordinators": [{"name": one.name, "pid": one.pid} for one in self.coordinators],
            **(
                {"stores": [{"name": s.name, "pid": s.pid, "url": s.url} for s in self.stores]}
                if self.stores
                else {}
            ),
            **({"san": _public_san(self.san)} if self.sans else {}),
        }


def _public_san(san: SanRecord) -> dict[str, Any]:
    return {
        "name": san.name,
        "pid": san.pid,
        "addresses": san.addresses,
        "portals": list(san.portals),
        "target": san.target,
    }


def witness_path(state_dir: Path, name: str) -> Path:
    return state_dir / "witness" / name


def write_record(record: LabRecord) -> None:
    """Replace the lab's lab.json in one step: a reader sees the old one or the new one, whole."""
    data = {"format": FORMAT, **dataclasses.asdict(record), "state_dir": str(record.state_dir)}
    path = record.state_dir / "lab.json"
    draft = path.with_suffix(".json.new")
    with draft.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def update_record(record: LabRecord, change: Callable[[LabRecord], LabRecord]) -> LabRecord:
    """Change lab.json as it is by now, so that two commands at once lose nothing; the result."""
    with locked(record.state_dir / "lab.lock"):
        changed = change(read_record(record.state_dir) or record)
        write_record(changed)
        return changed


def read_record(folder: Path) -> LabRecord | None:
    """The record in a lab's folder; None if it has none, LabError if it cannot be understood."""
    path = folder / "lab.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            raise ValueError("it is of another version")
        nodes = tuple(NodeRecord(**_tuples(node)) for node in data.pop("nodes"))
        coordinators = tuple(CoordinatorRecord(**_tuples(c)) for c in data.pop("coordinators"))
        stores = tuple(StoreRecord(**_tuples(store)) for store in data.pop("stores", ()))
        sans = tuple(SanRecord(**_tuples(san)) for san in data.pop("sans", ()))
        state_dir = Path(data.pop("state_dir"))
        return LabRecord(
            state_dir=state_dir,
            nodes=nodes,
            coordinators=coordinators,
            stores=stores,
            sans=sans,
            **data,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise LabError(
            f"cannot read {path} ({exc}): end its processes by hand, then remove {folder}"
        ) from exc


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file `path`; yields False if `wait` is off and another process holds it."""
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


class Home:
    """The folder of all labs of one person."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Home":
        """$HVLAB_HOME, or hvlab in the person's state folder."""
        if given := env.get("HVLAB_HOME"):
            return cls(Path(given).expanduser())
        # The XDG specification wants a relative path ignored.
        state = Path(env.get("XDG_STATE_HOME", ""))
        return cls((state if state.is_absolute() else Path.home() / ".local/state") / "hvlab")

    @classmethod
    def of(cls, record: LabRecord) -> "Home":
        """The home that a lab lives in."""
        return cls(record.state_dir.parent.parent)

    def folder(self, name: str) -> Path:
        return self.root / "labs" / name

    def labs(self) -> tuple[LabRecord, ...]:
        """Every lab with a readable record, running or stale, by name."""
        records = []
        folder = self.root / "labs"
        for child in sorted(folder.iterdir()) if folder.is_dir() else ():
            with contextlib.suppress(LabError):
                if record := read_record(child):
                    records.append(record)
        return tuple(records)

    def running(self) -> tuple[LabRecord, ...]:
        return tuple(record for record in self.labs() if record.is_running())

    def lab(self, name: str | None = None) -> LabRecord:
        """The lab of that name, or the only running one; NoSuchLab says which there are."""
        running = self.running()
        if name is not None:
            record = read_record(self.folder(name)) if "/" not in name else None
            if record is not None:
                return record
        elif len(running) == 1:
            return running[0]
        known = ", ".join(record.name for record in running)
        if name is None and known:
            raise NoSuchLab(f"several labs run: choose one with --name: {known}")
        asked = f"there is no lab {name!r}" if name is not None else "no lab runs"
        raise NoSuchLab(f"{asked}: {f'running: {known}' if known else 'start one with hvlab up'}")

    @contextlib.contextmanager
    def starting(self, name: str) -> Iterator[Path]:
        """Hold the name for a start, with an empty folder; a failed start leaves only its logs."""
        folder = self.folder(name)
        self._private(self.root)
        self._private(folder.parent)
        self._private(self.root / "locks")
        with contextlib.ExitStack() as stack:
            with self.guarded():
                if not stack.enter_context(locked(self._start_lock(name), wait=False)):
                    raise LabRunning(f"lab {name!r} is being started by another command: wait")
            record = read_record(folder)
            if record is not None and record.is_running():
                raise LabRunning(
                    f"lab {name!r} is already running: end it with hvlab down --name {name}, "
                    "or start this one under another --name"
                )
            self.forget(name)
            self._private(folder)
            self._private(folder / "logs")
            try:
                yield folder
            except BaseException:
                self._keep_logs(name)
                self.forget(name)
                raise

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """One command at a time decides here which names and addresses are taken."""
        with locked(self.root / "home.lock"):
            yield

    def is_starting(self, name: str) -> bool:
        """Whether a command is starting that lab right now; to be asked while `guarded`."""
        with locked(self._start_lock(name), wait=False) as free:
            return not free

    def _start_lock(self, name: str) -> Path:
        return self.root / "locks" / f"{name}.lock"

    def forget(self, name: str) -> None:
        """Remove a lab's folder; its processes must have ended."""
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def failed_logs(self, name: str) -> Path:
        return self.root / "failed" / name

    def _keep_logs(self, name: str) -> None:
        kept = self.failed_logs(name)
        shutil.rmtree(kept, ignore_errors=True)
        self._private(kept.parent)
        with contextlib.suppress(OSError):
            (self.folder(name) / "logs").rename(kept)

    def _private(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise LabError(
                f"cannot make {folder} ({exc.strerror}): set HVLAB_HOME to a folder you can write"
            ) from exc
