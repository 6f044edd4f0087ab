"""With which words a lab's san is started, and what its agents are told of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.errors import StartFailed
from lab.home import SanRecord
from lab.loopback import Layout
from lab.topology import Topology
from lab.topology_san import SAN

NAMING = "iqn.2026-01.hvlab"
"""The authority of all names of targets and initiators: a month, and the domain turned round."""


def target_name(topology: Topology) -> str:
    return f"{NAMING}:{topology.name}.{SAN}"


def initiator_name(topology: Topology, node: str) -> str:
    return f"{NAMING}:{topology.name}.{node}"


def write_chap(topology: Topology, path: Path) -> tuple[str, ...]:
    """The option that names the file with what initiators prove who they are with; none if they
    need not.
    """
    if topology.san is None or topology.san.chap is None:
        return ()
    chap = topology.san.chap
    path.touch(mode=0o600)  # before the secret is in it
    path.write_text(json.dumps({"name": chap.name, "secret": chap.secret}), encoding="utf-8")
    return ("--chap-file", str(path))


def san_options(
    topology: Topology, state_dir: Path, portals: Sequence[str], chap: Sequence[str]
) -> tuple[str, ...]:
    assert topology.san is not None
    return (
        *("--name", SAN, "--state-dir", str(state_dir), "--target", target_name(topology)),
        *(word for portal in portals for word in ("--portal", portal)),
        *(word for lun in topology.san.luns for word in ("--lun", f"{lun.name}={lun.size}")),
        *chap,
    )


def portals_wanted(layout: Layout) -> tuple[str, ...]:
    return tuple(f"{address}:{layout.ports.iscsi}" for address in layout.san.values())


def check_portals(said: dict[str, Any], wanted: Sequence[str]) -> tuple[str, ...]:
    """Where the san listens, by its ready line: on the addresses that it was given."""
    try:
        portals = tuple(map(str, said["portals"]))
    except (KeyError, TypeError) as exc:
        raise StartFailed(f"the san's ready line lacks {exc}") from exc
    if [at.rpartition(":")[0] for at in portals] != [at.rpartition(":")[0] for at in wanted]:
        raise StartFailed(f"the san listens on {list(portals)}, not on {list(wanted)}")
    return portals


def agent_options(
    topology: Topology, layout: Layout, node: str, san: SanRecord | None, chap: Sequence[str]
) -> tuple[str, ...]:
    """How `node` reaches the disks: by all portals on networks that it is on."""
    if san is None:
        return ()
    by_host = {at.rpartition(":")[0]: at for at in san.portals}
    portals = {
        net: by_host[address] for net, address in san.addresses.items() if net in layout.nodes[node]
    }
    return (
        *(word for net, at in portals.items() for word in ("--portal", f"{net}={at}")),
        *("--target", san.target, "--initiator", initiator_name(topology, node)),
        *("--csv-port", str(layout.ports.csv)),
        *chap,
    )
