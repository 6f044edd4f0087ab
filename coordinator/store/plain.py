"""Values of the protocol as the plain data that rows keep, and back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from protocol.messages import RoundRecord
from protocol.names import (
    Endpoint,
    Fill,
    Member,
    QuorumMode,
    View,
    ViewNumber,
    VmDisk,
    VmSpec,
    VolumeName,
    VoteConfig,
    Witness,
    WitnessKind,
    Workload,
)
from protocol.travel import AS_USUAL, Compress, Marking, Travel

Data = Mapping[str, Any]


def known(kind: type, data: Data) -> dict[str, Any]:
    """What `data` says of the fields of the dataclass `kind`; what it leaves out has defaults."""
    return {field.name: data[field.name] for field in fields(kind) if field.name in data}


def round_data(record: RoundRecord) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(RoundRecord)}


def travel_data(travel: Travel) -> dict[str, Any]:
    data = {field.name: getattr(travel, field.name) for field in fields(Travel)}
    return {**data, "compress": travel.compress.value, "marking": travel.marking.value}


def read_travel(data: Data | None) -> Travel:
    """None: it is from before there was a choice."""
    if data is None:
        return AS_USUAL
    read = known(Travel, data)
    return Travel(
        **{**read, "compress": Compress(read["compress"]), "marking": Marking(read["marking"])}
    )


def view_data(view: View) -> dict[str, Any]:
    return {
        "number": view.number,
        "members": [_member_data(member) for member in view.members],
        "votes": votes_data(view.votes),
    }


def read_view(data: Data) -> View:
    return View(
        ViewNumber(data["number"]),
        tuple(_read_member(member) for member in data["members"]),
        read_votes(data["votes"]),
    )


def votes_data(votes: VoteConfig) -> dict[str, Any]:
    witness = votes.witness
    return {
        "index": votes.index,
        "votes": [list(pair) for pair in votes.votes],
        "mode": votes.mode.value,
        "witness": witness and [witness.name, witness.kind.value, witness.path],
        "witness_votes": votes.witness_votes,
        "forced": votes.forced,
    }


def read_votes(data: Data) -> VoteConfig:
    witness = data.get("witness")
    return VoteConfig(
        data["index"],
        tuple((node, count) for node, count in data["votes"]),
        QuorumMode(data["mode"]),
        witness and Witness(witness[0], WitnessKind(witness[1]), witness[2]),
        data.get("witness_votes", 0),
        data.get("forced", False),
    )


def _member_data(member: Member) -> dict[str, Any]:
    at = member.endpoint
    return {
        "node": member.node,
        "incarnation": member.incarnation,
        "addresses": [list(pair) for pair in at.addresses],
        "heartbeat_port": at.heartbeat_port,
        "migration_port": at.migration_port,
        "csv_port": at.csv_port,
    }


def _read_member(data: Data) -> Member:
    addresses = tuple((network, address) for network, address in data["addresses"])
    ports = data["heartbeat_port"], data["migration_port"], data.get("csv_port", 0)
    endpoint = Endpoint(addresses, *ports)
    return Member(data["node"], data["incarnation"], endpoint)


def spec_data(spec: VmSpec) -> dict[str, Any]:
    return {
        "memory_bytes": spec.memory_bytes,
        "fill": spec.fill.value,
        "seed": spec.seed,
        "workload": {
            "name": spec.workload.name,
            "rate_bytes_per_s": spec.workload.rate_bytes_per_s,
            "set_bytes": spec.workload.set_bytes,
            "block_bytes": spec.workload.block_bytes,
        },
        "disks": [[disk.volume, disk.path, disk.size_bytes] for disk in spec.disks],
        "home": spec.home,
    }


def read_spec(data: Data) -> VmSpec:
    workload = Workload(**data["workload"])
    disks = tuple(VmDisk(volume, path, size) for volume, path, size in data.get("disks", ()))
    fill, home = Fill(data["fill"]), VolumeName(data.get("home", ""))
    return VmSpec(data["memory_bytes"], workload, fill, data["seed"], disks, home)
