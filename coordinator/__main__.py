"""`python -m coordinator`: reads its options, and says in one sentence why it cannot start."""

import argparse
import ipaddress
import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import structlog
import uvloop

from coordinator.config import Network
from coordinator.io import backup
from coordinator.io.etcd import check_prefix
from coordinator.io.etcd_gateway import check_endpoint
from coordinator.io.program import Settings, run
from protocol.errors import ClusterError
from protocol.names import NetworkName, Timing

LEVELS = ("debug", "info", "warning", "error")
ROLES = (0, 1, 3)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"coordinator: {message}\n")


def parser() -> argparse.ArgumentParser:
    words = _Parser(
        prog="python -m coordinator",
        description="Decides for one cluster: members, owners, migrations. Serves the HTTP API.",
        epilog="Example: python -m coordinator --state-dir state --listen 127.0.0.1:3343"
        " --api 127.0.0.1:8080. `backup --help` and `restore --help` tell of the store's backups.",
        allow_abbrev=False,
    )
    add = words.add_argument
    add("--state-dir", type=Path, required=True, help="folder of its own; made with mode 0700")
    add("--name", default="lab", metavar="LAB", help="the lab's name, for people")
    add("--leader-name", default="coordinator", help="its own name, as status shows it")
    add(
        "--listen",
        type=_address,
        action="append",
        required=True,
        metavar="ADDR:PORT",
        help="where agents connect; repeat it for each network; port 0 takes a free one",
    )
    add("--api", type=_address, required=True, metavar="ADDR:PORT", help="where HTTP is served")
    add(
        "--api-name",
        action="append",
        default=[],
        metavar="HOST",
        help="a host name under which the API may be addressed, besides addresses and localhost",
    )
    add(
        "--network",
        type=_network,
        action="append",
        default=[],
        metavar="NAME=JSON",
        help='such as csv={"subnet": "10.0.3.0/24", "role": 1, "metric": 900}; roles: 0, 1, 3',
    )
    add("--delay-s", type=float, default=1.0, help="between heartbeats (SameSubnetDelay)")
    add("--threshold", type=int, default=5, help="missed heartbeats until a route is down")
    add(
        "--store",
        choices=("sqlite", "etcd"),
        default="sqlite",
        help="sqlite: a file, for one coordinator; etcd: for several, of which one leads",
    )
    add("--etcd", action="append", default=[], metavar="URL", help="an endpoint; repeat for each")
    add("--cluster-prefix", default="", metavar="TEXT", help="of its keys in etcd (hvlab/LAB)")
    add(
        "--node-folder",
        action="append",
        default=[],
        metavar="DIR",
        help="state folder of a node, where no witness may lie; repeat it for each",
    )
    add("--log-level", choices=LEVELS, default="info")
    add("--log-format", choices=("text", "json"), default="text", help="key=value, or JSON lines")
    add("--ready-fd", type=_open_fd, metavar="N", help="where to write the line that it is ready")
    return words


def settings(words: argparse.Namespace) -> Settings:
    if not (math.isfinite(words.delay_s) and 0 < words.delay_s <= 60):
        raise ValueError(f"--delay-s is {words.delay_s}: it is above 0 and at most 60 seconds")
    if not 1 <= words.threshold <= 120:
        raise ValueError(f"--threshold is {words.threshold}: it is 1 to 120")
    names = [network.name for network in words.network]
    if len(set(names)) != len(names):
        raise ValueError("--network names a network twice: say each once")
    if (words.store == "etcd") != bool(words.etcd):
        wrong = "lacks" if words.store == "etcd" else "has no use for"
        raise ValueError(f"--store {words.store} {wrong} --etcd URL: both, or none of them")
    if words.cluster_prefix:
        check_prefix(words.cluster_prefix)
    return Settings(
        state_dir=words.state_dir,
        lab=words.name,
        leader=words.leader_name,
        listen=tuple(words.listen),
        api=words.api,
        api_names=tuple(name.lower() for name in words.api_name),
        networks=tuple(words.network),
        timing=Timing(words.delay_s, words.threshold),
        ready_fd=words.ready_fd,
        etcd=tuple(check_endpoint(url) for url in words.etcd),
        cluster_prefix=words.cluster_prefix,
        node_folders=tuple(words.node_folder),
    )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    right = "write an address and a port, like 127.0.0.1:3343"
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} names no IP address: {right}") from None
    if not (colon and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} names no port of 0 to 65535: {right}")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if (mapped or address).is_unspecified:
        raise argparse.ArgumentTypeError(f"{text!r} is every address: name one of a network")
    return str(address), int(port)


def _network(text: str) -> Network:
    name, _, given = text.partition("=")
    try:
        match json.loads(given):
            case {"subnet": str(subnet), "role": int(role), "metric": int(metric), **rest}:
                ipaddress.ip_network(subnet)
                flags = [rest.pop(flag, False) for flag in ("gateway", "auto_metric")]
                ours = not rest and all(isinstance(flag, bool) for flag in flags)
                if name and role in ROLES and metric >= 0 and ours:
                    return Network(NetworkName(name), subnet, role, metric, *map(bool, flags))
    except ValueError:
        pass  # said below: the same sentence is right for JSON and for the subnet
    raise argparse.ArgumentTypeError(
        f'{text!r} is no network: write NAME={{"subnet": "10.0.3.0/24", "role": 0, 1 or 3,'
        ' "metric": 900}, with "gateway": true and "auto_metric": true where they are'
    )


def _open_fd(text: str) -> int:
    try:
        fd = int(text)
        os.fstat(fd)
    except (ValueError, OSError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no open file descriptor") from None
    return fd


def _log_to_stderr(level: str, form: str) -> None:
    render: structlog.typing.Processor
    if form == "json":
        render = structlog.processors.JSONRenderer()
    else:
        render = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def main(args: Sequence[str] | None = None) -> int:
    os.umask(0o077)
    given = sys.argv[1:] if args is None else list(args)
    if given[:1] and given[0] in backup.WORDS:
        return backup.main(given)
    asked = parser()
    words = asked.parse_args(given)
    try:
        chosen = settings(words)
    except ValueError as exc:
        asked.error(str(exc))
    _log_to_stderr(words.log_level, words.log_format)
    try:
        uvloop.run(run(chosen))
    except ClusterError as exc:
        sys.stderr.write(f"coordinator: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
