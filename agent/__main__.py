"""One node of the cluster: `python -m agent --node NAME --state-dir DIR --network NET=ADDR ...`."""

import argparse
import ipaddress
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from protocol.errors import ClusterError

if TYPE_CHECKING:
    from agent.io.outgoing import Source


def options() -> argparse.Namespace:
    parser = _parser()
    _add_storage(parser)
    chosen = parser.parse_args()
    try:
        chosen.addresses = dict(_pair(text, "=") for text in chosen.network)
        coordinators = [_pair(text, ":") for text in chosen.coordinator]
        chosen.coordinators = [(host, _port(port)) for host, port in coordinators]
        chosen.heartbeat_port, chosen.migration_port = map(
            _port, (chosen.heartbeat_port, chosen.migration_port)
        )
        chosen.csv_port = _port(chosen.csv_port)
        chosen.portals = [_portal(text, chosen.addresses) for text in chosen.portal]
        if chosen.kept_bytes < 0:
            raise ValueError(f"{chosen.kept_bytes} bytes cannot be kept: 0 or more can")
        if chosen.portals and not (chosen.target and chosen.initiator):
            raise ValueError("--portal wants --target and --initiator beside it")
        for address in (*chosen.addresses.values(), *(host for host, _ in chosen.coordinators)):
            ipaddress.ip_address(address)
    except ValueError as error:
        parser.error(str(error))
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent",
        description="Be one node: keep VMs, beat, and obey a coordinator that a quorum follows.",
        epilog="example: python -m agent --node node1 --state-dir /tmp/node1 "
        "--network management=127.20.1.1 --coordinator 127.20.1.250:3343 --memory-bytes 4294967296",
    )
    parser.add_argument("--node", required=True, help="name of this node")
    parser.add_argument("--state-dir", required=True, type=Path, help="folder of this node alone")
    parser.add_argument(
        "--network", action="append", required=True, metavar="NAME=ADDR", help="one for each NIC"
    )
    parser.add_argument(
        "--coordinator",
        action="append",
        required=True,
        metavar="ADDR:PORT",
        help="where a coordinator listens, in the order to try; repeat for each network",
    )
    parser.add_argument("--heartbeat-port", default="3343", help="UDP (3343; 0: any)")
    parser.add_argument("--migration-port", default="6600", help="TCP (6600; 0: any)")
    parser.add_argument("--memory-bytes", type=int, required=True, help="what VMs may use together")
    parser.add_argument(
        "--kept-bytes",
        type=int,
        default=0,
        help="beside that, what may be kept of VMs that left, for when they come back (0: nothing)",
    )
    parser.add_argument(
        "--tracker", choices=("auto", "kernel", "map"), default="auto", help="of dirty pages"
    )
    parser.add_argument(
        "--prevent-quorum",
        action="store_true",
        help="join a cluster that runs, and never help to form one",
    )
    parser.add_argument(
        "--policy-file",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="Python with migration policies of your own; may be repeated",
    )
    parser.add_argument("--beat-log", type=Path, help="folder for a log of arrivals")
    parser.add_argument("--ready-fd", type=int, help="where to say that the node is ready")
    return parser


def _add_storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--portal",
        action="append",
        default=[],
        metavar="NAME=ADDR:PORT",
        help="where a SAN is reached on this network; repeat for each",
    )
    parser.add_argument("--target", metavar="IQN", help="whose disks are used, with --portal")
    parser.add_argument("--initiator", metavar="IQN", help="this node's name there, with --portal")
    parser.add_argument("--chap-file", type=Path, help="JSON: name and secret for the target")
    parser.add_argument("--csv-port", default="3344", help="TCP, shared volumes (3344; 0: any)")


def _pair(text: str, mark: str) -> tuple[str, str]:
    left, found, right = text.rpartition(mark) if mark == ":" else text.partition(mark)
    if not (left and found and right):
        raise ValueError(f"{text!r} lacks its {mark!r}: NAME=ADDR and ADDR:PORT are wanted")
    return left, right


def _portal(text: str, addresses: dict[str, str]) -> tuple[str, str, int]:
    """This node's address on the network, the SAN's there, and its port."""
    network, there = _pair(text, "=")
    host, port = _pair(there, ":")
    if network not in addresses:
        raise ValueError(f"portal {text!r} is on a network that --network does not name")
    ipaddress.ip_address(host)
    return addresses[network], host, _port(port)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ValueError(f"{text!r} is no port: 0 to 65535 are")
    return int(text)


def main(source: "type[Source] | None" = None) -> int:
    """`source` is how pages are sent, where a measurement wants another way than the agent's."""
    chosen = options()
    structlog.configure(
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    os.umask(0o077)
    # Read by numpy when it is imported: an agent hashes and copies, it multiplies no matrices, and
    # idle threads of a linear algebra library cost memory in each of a lab's nodes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from agent.io.program import run

    try:
        run(chosen, source)
    except (ClusterError, ValueError) as error:
        sys.stderr.write(f"agent {chosen.node}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
