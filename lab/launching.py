"""One start of a lab: which programs with which words, in which order, and what each said."""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import etcd, san_launching
from lab.errors import StartFailed
from lab.home import (
    CoordinatorRecord,
    LabRecord,
    NodeRecord,
    SanRecord,
    StoreRecord,
    write_record,
)
from lab.loopback import Layout
from lab.procfs import boot_id
from lab.spawning import Started, kill, ready, spawn
from lab.topology import Topology, dump_topology
from lab.topology_checks import ETCD_MEMBERS
from lab.topology_san import SAN, witness_lun

ROLE_NUMBERS = {"None": 0, "Cluster": 1, "ClusterAndClient": 3}


@dataclass(frozen=True, slots=True)
class Programs:
    """How the programs are called. Tests put small ones of their own here."""

    agent: tuple[str, ...] = (sys.executable, "-m", "agent")
    coordinator: tuple[str, ...] = (sys.executable, "-m", "coordinator")
    san: tuple[str, ...] = (sys.executable, "-m", "san")

    def agent_argv(
        self,
        topology: Topology,
        layout: Layout,
        node: str,
        state_dir: Path,
        control: Sequence[Mapping[str, str]],
        storage: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """`control` has ADDR:PORT by network, of each coordinator; only shared networks are told.
        `storage` are the words about the san.

        All coordinators on one network come before the next network: the one that leads is found
        sooner so.
        """
        addresses = layout.nodes[node]
        return (
            *self.agent,
            *("--node", node, "--state-dir", str(state_dir)),
            *_each("--network", (f"{net}={address}" for net, address in addresses.items())),
            *_each("--coordinator", _shared(addresses, control)),
            *("--heartbeat-port", str(layout.ports.heartbeat)),
            *("--migration-port", str(layout.ports.migration)),
            *("--memory-bytes", str(topology.nodes[node].memory)),
            *("--kept-bytes", str(topology.nodes[node].kept or 0)),
            *_each("--policy-file", topology.policies),
            *storage,
        )

    def coordinator_argv(
        self,
        topology: Topology,
        name: str,
        state_dir: Path,
        listen: tuple[str, ...],
        api: str,
        etcd: Sequence[str] = (),
    ) -> tuple[str, ...]:
        """`etcd` are the endpoints of the store; without any, it is a file in `state_dir`."""
        metrics = topology.metrics()
        networks = {
            name: {
                "subnet": str(network.subnet),
                "role": ROLE_NUMBERS[topology.role(name)],
                "metric": metrics[name],
                "gateway": network.gateway,
                "auto_metric": network.metric is None,
            }
            for name, network in topology.networks.items()
        }
        several = ("--leader-name", name, *_each("--etcd", etcd)) if etcd else ()
        nodes = state_dir.parent / "nodes"
        return (
            *self.coordinator,
            *("--state-dir", str(state_dir), "--name", topology.name, "--api", api),
            *_each("--listen", listen),
            *_each("--network", (f"{name}={json.dumps(net)}" for name, net in networks.items())),
            *("--delay-s", str(topology.clocks.delay_s)),
            *("--threshold", str(topology.clocks.threshold)),
            *(("--store", "etcd", *several) if etcd else ()),
            *_each("--node-folder", (str(nodes / node) for node in topology.nodes)),
        )


def _shared(addresses: Mapping[str, str], control: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(one[net] for net in addresses for one in control if net in one)


def _host(address_and_port: str) -> str:
    return address_and_port.rpartition(":")[0]


def _each(option: str, values: Any) -> tuple[str, ...]:
    return tuple(word for value in values for word in (option, value))


def _control(coordinator: CoordinatorRecord) -> dict[str, str]:
    """Its ADDR:PORT by network."""
    by_host = {_host(at): at for at in coordinator.control}
    return {net: by_host[address] for net, address in coordinator.addresses.items()}


class Launch:
    """One start of a lab. What it has started so far is in lab.json from the first moment on."""

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        programs: Programs,
        folder: Path,
        fabric: str,
        ready_within_s: float,
    ) -> None:
        self.topology, self.layout, self.programs = topology, layout, programs
        self.folder, self.ready_within_s = folder, ready_within_s
        self.started: list[Started] = []
        self.record = LabRecord(
            name=topology.name,
            fabric=fabric,
            api="",
            state_dir=folder,
            boot_id=boot_id(),
            nodes=(),
            coordinators=(),
        )

    async def run(self) -> LabRecord:
        self.record.topology_path.write_text(dump_topology(self.topology), encoding="utf-8")
        if self.topology.quorum.witness is not None and witness_lun(self.topology) is None:
            self.record.witness_path(self.topology.quorum.witness.name).mkdir(0o700, parents=True)
        urls = await self._etcd() if self.topology.store == "etcd" else ()
        chap = san_launching.write_chap(self.topology, self.folder / "chap.json")
        san = await self._san(chap) if self.topology.san is not None else None
        coordinators = await self._coordinators(urls)
        begun = [
            self._agent(
                node,
                list(map(_control, coordinators)),
                san_launching.agent_options(self.topology, self.layout, node, san, chap),
            )
            for node in self.topology.nodes
        ]
        self._write(nodes=tuple(node for node, _ in begun))
        said = await self._all_ready([started for _, started in begun])
        nodes = tuple(
            dataclasses.replace(node, ready=words)
            for (node, _), words in zip(begun, said, strict=True)
        )
        self._write(nodes=nodes, api=coordinators[0].ready["api"])
        return self.record

    async def _all_ready(self, begun: Sequence[Started]) -> list[dict[str, Any]]:
        """Their ready lines; if several fail, the first of them says why."""
        try:
            async with asyncio.TaskGroup() as group:
                waits = [
                    group.create_task(ready(started, self.ready_within_s)) for started in begun
                ]
        except BaseExceptionGroup as several:
            # Not `except*`: Pythons before 3.11.4 wrap what is raised there into another group.
            failed, others = several.split(StartFailed)
            if failed is None or others is not None:
                raise
            raise failed.exceptions[0] from None
        return [wait.result() for wait in waits]

    async def _etcd(self) -> tuple[str, ...]:
        """Its members, once each of them knows a leader; where they are asked."""
        everybody = etcd.members(len(ETCD_MEMBERS), self.layout.loop)
        stores = []
        for member in everybody:
            data_dir = self.folder / "etcd" / member.name
            data_dir.mkdir(mode=0o700, parents=True)
            argv = etcd.argv(member, everybody, data_dir, self.topology.name)
            started = self._spawn(member.name, argv, says_ready=False)
            stores.append(
                StoreRecord(
                    name=member.name,
                    pid=started.process.pid,
                    start_time=started.process.start_time,
                    addresses={},
                    argv=argv,
                    ready={"url": member.url},
                )
            )
            self._write(stores=tuple(stores))
        for store in stores:
            log = self.record.log_path(store.name)
            await etcd.until_healthy(store.url, self.ready_within_s, store.process, log)
        return tuple(store.url for store in stores)

    async def _san(self, chap: Sequence[str]) -> SanRecord:
        """The san, once it listens on all its portals."""
        state_dir = self.folder / SAN
        state_dir.mkdir(mode=0o700)
        wanted = san_launching.portals_wanted(self.layout)

        def argv(portals: Sequence[str]) -> tuple[str, ...]:
            words = san_launching.san_options(self.topology, state_dir, portals, chap)
            return (*self.programs.san, *words)

        started = self._spawn(SAN, argv(wanted))
        record = SanRecord(
            name=SAN,
            pid=started.process.pid,
            start_time=started.process.start_time,
            addresses=self.layout.san,
            argv=argv(wanted),
            ready={},
            portals=(),
            target=san_launching.target_name(self.topology),
        )
        self._write(sans=(record,))
        said = await ready(started, self.ready_within_s)
        portals = san_launching.check_portals(said, wanted)
        # From now on it is where the agents know it, also after a restart.
        known = dataclasses.replace(record, portals=portals, argv=argv(portals), ready=said)
        self._write(sans=(known,))
        return known

    async def _coordinators(self, urls: Sequence[str]) -> tuple[CoordinatorRecord, ...]:
        begun = [self._coordinator(name, urls) for name in self.layout.coordinators]
        self._write(coordinators=tuple(record for record, _ in begun))
        said = await self._all_ready([started for _, started in begun])
        records = tuple(
            self._known(record, words, urls) for (record, _), words in zip(begun, said, strict=True)
        )
        self._write(coordinators=records)
        return records

    def _coordinator(self, name: str, urls: Sequence[str]) -> tuple[CoordinatorRecord, Started]:
        ports, addresses = self.layout.ports, self.layout.coordinators[name]
        state_dir = self.folder / name
        state_dir.mkdir(mode=0o700)
        wanted = tuple(f"{address}:{ports.control}" for address in addresses.values())
        api = f"{self.layout.api_addresses[name]}:{ports.api}"
        argv = self.programs.coordinator_argv(self.topology, name, state_dir, wanted, api, urls)
        started = self._spawn(name, argv)
        record = CoordinatorRecord(
            name=name,
            pid=started.process.pid,
            start_time=started.process.start_time,
            addresses=addresses,
            control=(),
            argv=argv,
            ready={},
        )
        return record, started

    def _known(
        self, record: CoordinatorRecord, said: dict[str, Any], urls: Sequence[str]
    ) -> CoordinatorRecord:
        """The record of a coordinator that is ready, with the ports that it was given."""
        try:
            control, api = tuple(map(str, said["control"])), str(said["api"])
        except (KeyError, TypeError) as exc:
            raise StartFailed(f"the coordinator's ready line lacks {exc}") from exc
        wanted = sorted(record.addresses.values())
        if sorted(map(_host, control)) != wanted:
            raise StartFailed(f"the coordinator listens on {control}, not on {wanted}")
        # From now on it is where the agents know it, also after a restart.
        again = self.programs.coordinator_argv(
            self.topology,
            record.name,
            self.folder / record.name,
            control,
            api.removeprefix("http://").rstrip("/"),
            urls,
        )
        return dataclasses.replace(record, control=control, argv=again, ready=said)

    def _agent(
        self, node: str, control: Sequence[Mapping[str, str]], storage: Sequence[str]
    ) -> tuple[NodeRecord, Started]:
        state_dir = self.folder / "nodes" / node
        state_dir.mkdir(mode=0o700, parents=True)
        argv = self.programs.agent_argv(
            self.topology, self.layout, node, state_dir, control, storage
        )
        started = self._spawn(node, argv)
        record = NodeRecord(
            name=node,
            pid=started.process.pid,
            start_time=started.process.start_time,
            addresses=self.layout.nodes[node],
            argv=argv,
            ready={},
        )
        return record, started

    def _spawn(self, name: str, argv: tuple[str, ...], *, says_ready: bool = True) -> Started:
        started = spawn(name, argv, self.record.log_path(name), says_ready=says_ready)
        self.started.append(started)
        return started

    def _write(self, **changes: Any) -> None:
        self.record = dataclasses.replace(self.record, **changes)
        write_record(self.record)

    async def undo(self) -> None:
        await kill(started.process for started in self.started)
        for started in self.started:
            started.pipe.close()
