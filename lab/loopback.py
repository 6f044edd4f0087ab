"""The loopback fabric: an address of 127/8 for each node and network, without any privilege.

A lab takes a second octet for itself, so 127.A.NET.HOST is a NIC: network NET of the topology
(from 1), node HOST (from 1), or the first coordinator as host 250, the next as 249, or the san as
host 240. Labs run side by side.
"""

import errno
import socket
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from lab.errors import LabError
from lab.home import Home, read_record
from lab.topology import Topology

FIRST_OCTET, LAST_OCTET = 10, 250
COORDINATOR_HOST = 250
SAN_HOST = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of a lab, the field's own where it has them; 0 lets the kernel choose."""

    heartbeat: int = 3343
    """UDP, between agents."""

    control: int = 3343
    """TCP, of the coordinator."""

    migration: int = 6600
    """TCP, of the agents."""

    api: int = 8480
    """HTTP, of the coordinator; every lab has its own address, so all may use the same."""

    iscsi: int = 3260
    """TCP, of the san."""

    csv: int = 3344
    """TCP, of the agents, where there is a san: what one does on a volume for the others."""

    @classmethod
    def any(cls) -> "Ports":
        """Each of the kernel's choice."""
        return cls(heartbeat=0, control=0, migration=0, api=0, iscsi=0, csv=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Who is reached where: for each program its address on each of its networks."""

    nodes: dict[str, dict[str, str]]
    coordinators: dict[str, dict[str, str]]
    api_addresses: dict[str, str]
    """Of each coordinator."""

    loop: str
    """An address of the lab's own that is on none of its networks."""

    ports: Ports

    san: dict[str, str] = field(default_factory=dict)
    """The san's address on each of its networks."""


class Fabric(Protocol):
    """What makes a lab's networks and says which addresses they gave."""

    @property
    def name(self) -> str: ...

    def take(self, topology: Topology, home: Home) -> Layout:
        """Make the networks of `topology`, or raise LabError with nothing made."""

    def give_back(self, home: Home, lab: str) -> None:
        """Remove what `take` made for the lab of that name."""


def lay_out(topology: Topology, octet: int, ports: Ports) -> Layout:
    """The addresses of a lab whose second octet is `octet`. Nothing is made or tested."""
    subnets = {name: f"127.{octet}.{net}" for net, name in enumerate(topology.networks, start=1)}
    nodes = {
        node: {name: f"{subnets[name]}.{host}" for name in topology.networks_of(node)}
        for host, node in enumerate(topology.nodes, start=1)
    }
    coordinators, api_addresses = {}, {}
    for number, one in enumerate(topology.all_coordinators):
        reached = topology.networks_of_coordinator(one)
        addresses = {name: f"{subnets[name]}.{COORDINATOR_HOST - number}" for name in reached}
        by_role = {topology.role(name): addresses[name] for name in reversed(reached)}
        coordinators[one] = addresses
        api_addresses[one] = by_role.get("ClusterAndClient", addresses[reached[0]])
    return Layout(
        nodes=nodes,
        coordinators=coordinators,
        api_addresses=api_addresses,
        loop=f"127.{octet}.0.1",
        ports=ports,
        san={name: f"{subnets[name]}.{SAN_HOST}" for name in topology.networks_of_san},
    )


@dataclass(frozen=True, slots=True)
class Loopback:
    """Gives each lab a part of 127/8 of its own."""

    ports: Ports = Ports()
    name: str = "loopback"

    def take(self, topology: Topology, home: Home) -> Layout:
        """Choose a second octet that no lab of this home has and on which every port is free."""
        folder = home.root / "octets"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        busy: set[str] = set()
        with home.guarded():
            for octet in _octets(f"{home.root}/{topology.name}"):
                mark = folder / str(octet)
                if mark.exists() and _in_use(home, mark.read_text(encoding="utf-8"), topology.name):
                    continue
                layout = lay_out(topology, octet, self.ports)
                if in_use := first_in_use(_sockets(layout)):
                    busy.add(in_use)
                    continue
                mark.write_text(topology.name, encoding="utf-8")
                return layout
        if busy:
            raise LabError(
                f"in use on every address of 127/8: {', '.join(sorted(busy))}: end the program "
                "that listens there on all addresses"
            )
        raise LabError("every second octet of 127/8 belongs to a lab: end one with hvlab down")

    def give_back(self, home: Home, lab: str) -> None:
        with home.guarded():
            for mark in (home.root / "octets").glob("*"):
                if mark.read_text(encoding="utf-8") == lab:
                    mark.unlink()


FABRICS: dict[str, type[Loopback]] = {"loopback": Loopback}
"""By the name that `hvlab up --fabric` takes and lab.json keeps."""


def _octets(seed: str) -> Iterator[int]:
    """All second octets, beginning where `seed` says, so that labs of two homes rarely meet."""
    count = LAST_OCTET - FIRST_OCTET + 1
    start = zlib.crc32(seed.encode())
    return (FIRST_OCTET + (start + offset) % count for offset in range(count))


def _in_use(home: Home, lab: str, mine: str) -> bool:
    """Whether the lab that marked an octet still needs it; a start by the same name does not."""
    if lab == mine:
        return False
    try:
        record = read_record(home.folder(lab))
    except LabError:
        return True
    return (record is not None and record.is_running()) or home.is_starting(lab)


def _sockets(layout: Layout) -> Iterator[tuple[str, str, int]]:
    for addresses in layout.nodes.values():
        for address in addresses.values():
            yield "UDP", address, layout.ports.heartbeat
            yield "TCP", address, layout.ports.migration
            if layout.san:
                yield "TCP", address, layout.ports.csv
    for addresses in layout.coordinators.values():
        for address in addresses.values():
            yield "TCP", address, layout.ports.control
    for address in layout.api_addresses.values():
        yield "TCP", address, layout.ports.api
    for address in layout.san.values():
        yield "TCP", address, layout.ports.iscsi


def first_in_use(wanted: Iterable[tuple[str, str, int]]) -> str | None:
    """The first of `wanted` (UDP or TCP, address, port) that is taken, as `TCP port 6600`."""
    for kind, address, port in wanted:
        transport = socket.SOCK_DGRAM if kind == "UDP" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, transport) as probe:
            if kind == "TCP":  # connections of an ended lab may linger; listeners still collide
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as exc:
                if exc.errno == errno.EADDRINUSE:
                    return f"{kind} port {port}"
                raise LabError(
                    f"cannot use {kind} port {port} of {address} ({exc.strerror}): "
                    "choose a port that this user may open"
                ) from exc
    return None
