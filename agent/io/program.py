"""An agent as a program: from its options to a driver that lives until it is told to stop."""

import argparse
import asyncio
import ipaddress
import json
import os
import resource
import signal
import sys

import structlog
import uvloop

from agent.config import AgentConfig
from agent.io.driver import Driver
from agent.io.outgoing import Source
from agent.io.policy_files import with_plug_ins
from agent.io.record import StateFolder
from agent.io.tracker import choose_tracker
from agent.io.warm import WarmParent
from agent.policies import Shelf
from protocol.names import Endpoint, NetworkName, NodeName


def run(chosen: argparse.Namespace, source: type[Source] | None = None) -> None:
    """Be a node until SIGTERM. `ClusterError` or `ValueError` says why it could not be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each VM takes a few descriptors
    policies = with_plug_ins(chosen.policy_file)
    state = StateFolder(chosen.state_dir)
    # Both fork, so they come before there is a loop or a thread.
    tracker, why = choose_tracker(chosen.tracker)
    structlog.get_logger().info("tracker-chosen", tracker=tracker, why=why)
    warm = WarmParent.fork()
    try:
        uvloop.run(_live(chosen, state, warm, tracker, policies, source or Source))
    finally:
        warm.close()


def _ready(fd: int | None, words: dict[str, object]) -> None:
    """Tell whoever started this program that it is ready, once."""
    line = f"ready {json.dumps(words)}\n".encode()
    if fd is None:
        sys.stdout.buffer.write(line)
        sys.stdout.flush()
        return
    os.write(fd, line)
    os.close(fd)


async def _live(
    chosen: argparse.Namespace,
    state: StateFolder,
    warm: WarmParent,
    tracker: str,
    policies: Shelf,
    source: type[Source],
) -> None:
    addresses = {NetworkName(name): address for name, address in chosen.addresses.items()}
    coordinators = [
        (_own_address(addresses, host), host, port) for host, port in chosen.coordinators
    ]
    beat_log = None if chosen.beat_log is None else chosen.beat_log / f"{chosen.node}.log"
    disks = None
    if chosen.portals:  # a node without a SAN starts faster
        from agent.io.disks.choice import chosen_disks

        disks = chosen_disks(chosen, state.path, addresses)
    driver = Driver(
        state,
        warm,
        tracker,
        addresses,
        coordinators,
        source=source,
        beat_log=beat_log,
        disks=disks,
        kept_bytes=chosen.kept_bytes,
    )
    beats, migrations = await driver.listen(chosen.heartbeat_port, chosen.migration_port)
    csv_port = 0 if disks is None else await disks.open(chosen.csv_port)
    config = AgentConfig(
        node=NodeName(chosen.node),
        endpoint=Endpoint(tuple(addresses.items()), beats, migrations, csv_port),
        memory_bytes=chosen.memory_bytes,
        tracker=tracker,
        policies=policies,
        prevents_quorum=chosen.prevent_quorum,
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    words: dict[str, object] = {
        "node": chosen.node,
        "pid": os.getpid(),
        "heartbeat_port": beats,
        "migration_port": migrations,
        "csv_port": csv_port,
        "tracker": tracker,
    }
    _ready(chosen.ready_fd, words)
    try:
        await driver.run(config, stop)
    finally:
        if disks is not None:
            await disks.close()


def _own_address(addresses: dict[NetworkName, str], host: str) -> str:
    """This node's address on the coordinator's network: the one that shares the longest prefix."""
    there = int(ipaddress.ip_address(host))
    return min(addresses.values(), key=lambda own: int(ipaddress.ip_address(own)) ^ there)
