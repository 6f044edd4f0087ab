"""Seeds of a lab with shared disks: volumes, ledgers on them, people who move things, and faults.

A life of its own beside `seeds.py`, whose seeds stay what they were.
"""

import collections
import hashlib
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from agent.policies import DEFAULT_POLICY
from coordinator.requests import (
    AddClusterDisk,
    AddSharedVolume,
    CreateVm,
    MigrateVm,
    MoveClusterDisk,
    RedirectVolume,
    Request,
    ResumeNode,
    SetProperties,
    StartVm,
    StopVm,
)
from lab.simulation.cluster import Setting, SimCluster
from lab.simulation.faults import Fault
from lab.simulation.net import Weather
from lab.simulation.san import BLOCK_BYTES
from lab.simulation.showing import is_well, played, replayed, shown, verdict
from lab.simulation.storage_faults import STORAGE_FAULTS
from lab.simulation.store import Trouble
from lab.simulation.volume_files import FILE_BLOCKS
from protocol.disks import VolumeAccess
from protocol.names import (
    PAGE_BYTES,
    Fill,
    NodeName,
    Timing,
    Verify,
    VmDisk,
    VmName,
    VmSpec,
    VolumeName,
    Workload,
)

FAULTY_S = 60.0
TAIL_S = 150.0
FAULTS_MIN, ACKS_MIN = 2, 10
ACTIVE_MAX = 2
REST_S = (1.0, 6.0)
LENGTHS_S = ((0.05, 1.0), (1.0, 6.0), (6.0, 20.0))
FORMED_WITHIN_S = 60.0
COMMAND = "hvlab sim --storage"
VM_PAGES = 8


def ledger_vm(name: str, volume: VolumeName, seed: int) -> VmSpec:
    """A VM on shared storage whose RAM and disk prove themselves."""
    work = Workload("wave", 5 * PAGE_BYTES)
    disk = VmDisk(volume, f"{name}/{name}.vhd", FILE_BLOCKS * BLOCK_BYTES)
    return VmSpec(VM_PAGES * PAGE_BYTES, work, Fill.ZERO, seed, (disk,), volume)


def setting_of(seed: int) -> Setting:
    random = Random(f"{seed}/storage")
    count = random.choice([2, 3, 3, 3, 4])
    return Setting(
        nodes=tuple(f"node{number}" for number in range(1, count + 1)),
        networks=random.choice([("lan",), ("lan", "csv")]),
        timing=Timing(random.choice([1.0, 1.5, 2.0]), 3, grace_s=20.0),
        rates=tuple(1.0 + random.uniform(-0.004, 0.004) for _ in range(count + 2)),
        weather=Weather(loss=random.choice([0.0, 0.01])),
        trouble=Trouble(answer_lost=random.choice([0.0, 0.01])),
        pages_per_s=random.choice([20.0, 80.0]),
        is_coded=seed % 10 == 9,
        luns=random.choice([1, 1, 2]),
    )


@dataclass(frozen=True, slots=True)
class StorageReport:
    """What came of one seed. Without `trouble` all promises were kept."""

    seed: int
    played_s: float = 0.0
    events: int = 0
    effective: int = 0
    acks: int = 0
    accepted: int = 0
    moves: int = 0
    settled_s: float = 0.0
    fingerprint: str = ""
    faults: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    log: tuple[str, ...] = ()

    @property
    def vague(self) -> str:
        return f"{self.effective} faults took effect, {self.acks} entries were acknowledged"

    @property
    def is_conclusive(self) -> bool:
        return self.effective >= FAULTS_MIN and self.acks >= ACKS_MIN


class StoragePlayer:
    """One seed, from the first event to the verdict."""

    def __init__(self, seed: int, is_verbose: bool = False) -> None:
        self.seed = seed
        self.cluster = SimCluster(seed, setting_of(seed))
        self.cluster.is_verbose = is_verbose
        self.random = self.cluster.world.stream("storage chaos")
        self.struck: list[tuple[str, Fault, list[bool]]] = []
        self.works = True
        self.volumes: list[VolumeName] = []

    def play(self) -> StorageReport:
        settled_s, trouble = 0.0, ""
        cluster = self.cluster
        try:
            cluster.start()
            self._make_volumes()
            self._rest_operator()
            self._rest_fault()
            cluster.run(FAULTY_S)
            cluster.world.run_while(lambda: not self._is_enough(), 10 * FAULTY_S, 10.0)
            self._heal_all()
            healed_at = cluster.world.now
            complaints = self._settle()
            settled_s = cluster.world.now - healed_at
            if complaints:
                trouble = f"not well {TAIL_S:.0f} s after the last fault: {'; '.join(complaints)}"
            else:
                cluster.run(5.0)
            cluster.storage_checks.all_there()
        except Exception as broken:
            trouble = "".join(traceback.format_exception(broken)[-8:])
        return self._report(settled_s, trouble)

    def _is_enough(self) -> bool:
        effective = sum(fault.took_effect() for _, fault, _ in self.struck)
        return effective >= FAULTS_MIN and self.cluster.storage_checks.acks >= ACKS_MIN

    # ---- volumes and VMs

    def _make_volumes(self) -> None:
        cluster = self.cluster
        assert cluster.san is not None
        enable = SetProperties((("EnableSharedVolumes", 1),))
        for disk in cluster.san.lun_of:
            self._until(
                lambda disk=disk: disk in cluster.storage_checks.disks, AddClusterDisk(disk)
            )
            cluster.ask(enable)
            add = AddSharedVolume(disk)
            self._until(lambda disk=disk: bool(self._row(disk)["volume"]), add)
            self.volumes.append(VolumeName(self._row(disk)["volume"]))
        self._until(lambda: not self._volume_complaints(), None)
        for number in range(1, len(cluster.machines) + 2):
            volume = self.volumes[number % len(self.volumes)]
            spec = ledger_vm(f"vm{number}", volume, number)
            vm = VmName(f"vm{number}")
            create = CreateVm(vm, spec, None, start=True)
            self._until(lambda vm=vm: vm in cluster.checker.vms, create)

    def _until(self, is_done: Any, request: Request | None) -> None:
        give_up_at = self.cluster.world.now + FORMED_WITHIN_S
        while not is_done():
            if self.cluster.world.now > give_up_at:
                raise AssertionError(f"not done in a calm lab: {request}")
            if request is not None:
                self.cluster.ask(request)
            self.cluster.run(1.0)

    def _row(self, disk: str) -> Any:
        return self.cluster.storage_checks.disks[disk]

    # ---- operators

    def _rest_operator(self) -> None:
        self.cluster.world.after(self.random.uniform(1.0, 4.0), self._operate)

    def _operate(self) -> None:
        if not self.works:
            return
        random, cluster = self.random, self.cluster
        vm = VmName(random.choice(sorted(cluster.checker.vms)))
        volume = random.choice(self.volumes)
        node = NodeName(random.choice(sorted(cluster.machines)))
        chance = random.random()
        request: Request
        if cluster.checker.vms[vm]["wish"] == "off":
            request = StartVm(vm)
        elif chance < 0.45:
            request = MigrateVm(vm, node, DEFAULT_POLICY, Verify.OFF)
        elif chance < 0.75:
            request = MoveClusterDisk(volume, node, is_volume=True)
        elif chance < 0.9:
            request = RedirectVolume(volume, random.random() < 0.5)
        else:
            request = StopVm(vm)
        cluster.detail(f"operators: {request}")
        cluster.ask(request)
        self._rest_operator()

    # ---- faults

    def _rest_fault(self) -> None:
        self.cluster.world.after(self.random.uniform(*REST_S), self._strike)

    def _strike(self) -> None:
        if not self.works:
            return
        active = sum(not is_over[0] for _, _, is_over in self.struck)
        if active < ACTIVE_MAX:
            name = self.random.choice(sorted(STORAGE_FAULTS))
            node = NodeName(self.random.choice(sorted(self.cluster.machines)))
            lasts_s = self.random.uniform(*self.random.choice(LENGTHS_S))
            fault = STORAGE_FAULTS[name](self.cluster, node)
            if fault.begin():
                is_over = [False]
                self.struck.append((name, fault, is_over))
                self.cluster.tell(f"# {name} ({node}) for {lasts_s:.2f} s")
                self.cluster.world.after(lasts_s, self._heal, fault, is_over)
        self._rest_fault()

    def _heal(self, fault: Fault, is_over: list[bool]) -> None:
        if not is_over[0]:
            is_over[0] = True
            fault.end()

    def _heal_all(self) -> None:
        self.works = False
        for _, fault, is_over in self.struck:
            self._heal(fault, is_over)
        self.cluster.start_a_coordinator("c1")
        for machine in self.cluster.machines.values():
            machine.start()
        self._tidy()

    def _tidy(self) -> None:
        """Lives that lost a disk begin anew, as an operator would have it; nothing is redirected,
        and every VM is wished on.
        """
        cluster = self.cluster
        for machine in cluster.machines.values():
            agent = machine.agent
            if agent is None or agent.frozen or agent.disks is None:
                continue
            if any(path.is_lost for path in agent.disks.paths.values()):
                machine.kill()
                cluster.world.after(0.2, machine.start)
        for row in cluster.storage_checks.disks.values():
            if row["redirected"]:
                cluster.ask(RedirectVolume(row["volume"], False))
        for name, value in cluster.checker.vms.items():
            if value["wish"] == "off" or value["failed"]:
                cluster.ask(StartVm(VmName(name)))
        for node in cluster.truth.range("node/"):
            if node.value and node.value["paused"]:
                cluster.ask(ResumeNode(NodeName(node.value["name"])))
        cluster.world.after(5.0, self._tidy)

    # ---- the end

    def _settle(self) -> list[str]:
        until_s = self.cluster.world.now + TAIL_S
        self.cluster.world.run_while(lambda: bool(self._complaints()), until_s)
        return self._complaints()

    def _complaints(self) -> list[str]:
        return [*self.cluster.checker.complaints(), *self._volume_complaints()]

    def _volume_complaints(self) -> list[str]:
        found = []
        for disk, row in self.cluster.storage_checks.disks.items():
            if row["state"] != "Online":
                found.append(f"{row['volume'] or disk} is {row['state']}: {row['reason']}")
            for node, machine in sorted(self.cluster.machines.items()):
                agent = machine.agent
                client = None if agent is None or agent.disks is None else agent.disks.clients
                one = None if client is None else client.get(disk)  # type: ignore[call-overload]
                if one is None or one.machine.epoch != row["epoch"]:
                    found.append(f"{node} does not know where {row['volume']} is")
                elif one.machine.access is not VolumeAccess.DIRECT and not row["redirected"]:
                    found.append(f"{node} uses {row['volume']} {one.machine.access.value}")
        return found

    def _report(self, settled_s: float, trouble: str) -> StorageReport:
        world, checks = self.cluster.world, self.cluster.storage_checks
        effective = [name for name, fault, _ in self.struck if fault.took_effect()]
        log = "\n".join(world.log)
        return StorageReport(
            seed=self.seed,
            played_s=world.now,
            events=world.events,
            effective=len(effective),
            acks=checks.acks,
            accepted=checks.accepted,
            moves=sum(int(row["epoch"]) for row in checks.disks.values()),
            settled_s=settled_s,
            fingerprint=hashlib.sha256(log.encode()).hexdigest(),
            faults=dict(collections.Counter(effective)),
            trouble=trouble and f"{trouble.rstrip()}\n(at {world.now:.3f} s)",
            log=tuple(world.log) if trouble else (),
        )


def play(seed: int) -> StorageReport:
    return StoragePlayer(seed).play()


def play_all(seeds: Iterable[int], processes: int = 2) -> Iterator[StorageReport]:
    return played(play, seeds, processes)


def simulate(seeds: Iterable[int], processes: int = 2, console: Console | None = None) -> bool:
    """Play `seeds` and show what came of them; True if every promise was kept in every one."""
    console = console or Console()
    wanted, began = list(seeds), time.monotonic()
    reports = shown(play_all(wanted, processes), len(wanted), COMMAND, console)
    console.print(fault_table(reports))
    console.print(summary(reports, time.monotonic() - began), highlight=False)
    return all(map(is_well, reports))


def replay(seed: int, console: Console | None = None) -> bool:
    """Play one seed with all that can be told of it."""
    player = StoragePlayer(seed, is_verbose=True)
    report = player.play()
    return replayed(report, player.cluster.world.log, COMMAND, console or Console())


def fault_table(reports: Iterable[StorageReport]) -> Table:
    total: collections.Counter[str] = collections.Counter()
    for report in reports:
        total.update(report.faults)
    table = Table(title="faults of storage that took effect", box=None, title_justify="left")
    table.add_column("fault", no_wrap=True)
    table.add_column("times", justify="right")
    for name in STORAGE_FAULTS:
        table.add_row(name, str(total[name] or ""))
    return table


def summary(reports: list[StorageReport], took_s: float) -> str:
    return "\n".join(
        [
            f"{len(reports)} seeds, {sum(r.events for r in reports)} events,"
            f" {sum(r.effective for r in reports)} faults that took effect,"
            f" {sum(r.accepted for r in reports)} writes, {sum(r.acks for r in reports)} entries,"
            f" {sum(r.moves for r in reports)} owners of volumes, in {took_s:.0f} s",
            *verdict(reports),
        ]
    )
