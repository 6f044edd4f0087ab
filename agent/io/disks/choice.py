"""From an agent's options to its way to the disks of a SAN."""

import argparse
import json
from pathlib import Path

from agent.io.disks.connection import Portal
from agent.io.disks.disk_door import DiskDoor
from agent.io.disks.targets import Account, IscsiLuns
from agent.io.disks.witness_disks import WitnessDisks
from agent.io.vms import boottime
from protocol.errors import Refused
from protocol.iscsi.chap import Credentials
from protocol.names import NetworkName


def chosen_disks(
    chosen: argparse.Namespace, state: Path, addresses: dict[NetworkName, str]
) -> DiskDoor:
    """`Refused` if the file of the CHAP secret is off."""
    credentials = None if chosen.chap_file is None else _credentials(chosen.chap_file)
    account = Account(chosen.initiator, chosen.target, credentials)
    portals = [Portal(host, port, local) for local, host, port in chosen.portals]
    return DiskDoor(
        state,
        addresses,
        lambda: IscsiLuns(portals, account),
        boottime,
        lambda thread: WitnessDisks(thread, portals, account),
    )


def _credentials(path: Path) -> Credentials:
    try:
        words = json.loads(path.read_text())
        return Credentials(str(words["name"]), str(words["secret"]).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{path} cannot be used ({error!r}); it must be JSON with a name and a secret"
        ) from error
