"""The part of a topology that says what shared storage its cluster has: one SAN, its LUNs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from lab.marked_yaml import Place, did_you_mean
from lab.topology_parts import Part
from protocol.disks import WITNESS_BYTES_MIN
from protocol.workload import format_size, parse_size

if TYPE_CHECKING:
    from lab.topology import Topology

SAN = "san"
"""What it is called in commands, and the name of its program."""

LUNS_MAX = 64
LUN_BLOCK_BYTES = 4096
LUN_BYTES_MIN = 2**20
SECRET_CHARS = range(12, 257)
"""RFC 7143 wants secrets of CHAP to have at least 96 bits."""

LUN_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB)?$"},
        {"type": "integer", "minimum": LUN_BYTES_MIN},
    ],
    "examples": ["1GiB", "64MiB"],
}


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{value!r} is no size: write it like 1GiB, 512MiB or 4194304 (bytes)")
    size_bytes = parse_size(str(value))
    if size_bytes < LUN_BYTES_MIN or size_bytes % LUN_BLOCK_BYTES:
        raise ValueError(
            f"{size_bytes} bytes is no size of a LUN: choose a multiple of {LUN_BLOCK_BYTES} "
            f"of at least {format_size(LUN_BYTES_MIN)}, such as 1GiB"
        )
    return size_bytes


class Lun(Part):
    """A disk that all nodes see."""

    name: str = Field(description="What its file is called in the san's state folder.")
    size: Annotated[int, BeforeValidator(_size), WithJsonSchema(LUN_SIZE_SCHEMA)]
    use: Literal["available", "disk", "volume"] = Field(
        default="available",
        description="Left to itself, added to Available Storage, or made a volume of the cluster.",
    )


class Chap(Part):
    """How initiators prove who they are."""

    name: str = Field(min_length=1, max_length=128)
    secret: str = Field(repr=False)


class San(Part):
    """A program that serves LUNs over iSCSI: one portal on each of its networks."""

    networks: tuple[str, ...] | None = Field(
        default=None,
        description="Left out: all whose role is None, or all there are if none is.",
    )
    luns: tuple[Lun, ...] = Field(description="In the order of their numbers, from 0.")
    chap: Chap | None = Field(default=None, description="Left out: anybody may log in.")


def networks_of_san(topology: "Topology") -> tuple[str, ...]:
    """The networks on which the san has a portal, in the file's order; empty without a san."""
    if topology.san is None:
        return ()
    wanted = topology.san.networks
    if wanted is None:
        apart = tuple(name for name in topology.networks if topology.role(name) == "None")
        wanted = apart or tuple(topology.networks)
    return tuple(name for name in topology.networks if name in wanted)


def witness_lun(topology: "Topology") -> Lun | None:
    """The LUN that is the disk witness; None where a folder of the lab is, or there is none."""
    witness, san = topology.quorum.witness, topology.san
    if witness is None or witness.disk is None or san is None:
        return None
    return next((lun for lun in san.luns if lun.name == witness.disk), None)


def check_san(topology: "Topology") -> Iterator[tuple[Place, str]]:
    san = topology.san
    if san is None:
        return
    yield from _check_networks(topology, san)
    if not 1 <= len(san.luns) <= LUNS_MAX:
        yield ("san", "luns"), f"there are {len(san.luns)} LUNs: a san has 1 to {LUNS_MAX}"
    for index, lun in enumerate(san.luns):
        place: Place = ("san", "luns", index)
        if why := _why_no_name(lun.name):
            yield (*place, "name"), why
        if any(lun.name == other.name for other in san.luns[:index]):
            yield place, f"LUN {lun.name!r} stands here for the second time: choose another name"
    yield from _check_witness(topology)
    if san.chap is not None and len(san.chap.secret.encode()) not in SECRET_CHARS:
        least, most = SECRET_CHARS[0], SECRET_CHARS[-1]
        yield ("san", "chap", "secret"), f"a secret of CHAP has {least} to {most} bytes"


def _check_witness(topology: "Topology") -> Iterator[tuple[Place, str]]:
    lun, place = witness_lun(topology), ("quorum", "witness", "disk")
    if lun is None:
        return
    if lun.use != "available":
        yield place, f"LUN {lun.name!r} is to be a {lun.use}: the witness has a LUN of its own"
    elif lun.size < WITNESS_BYTES_MIN:
        least = format_size(WITNESS_BYTES_MIN)
        yield place, f"LUN {lun.name!r} is too small for a witness, which needs {least}"


def _why_no_name(name: str) -> str:
    plain = name.replace("-", "")
    fine = plain.isascii() and plain.isalnum() and plain == plain.lower() and len(name) <= 32
    if fine and not name.startswith("-") and not name.endswith("-"):
        return ""
    return f"{name!r} is no name of a LUN: use 1 to 32 of a-z, 0-9 and -, with no - at either end"


def _check_networks(topology: "Topology", san: San) -> Iterator[tuple[Place, str]]:
    for index, name in enumerate(san.networks or ()):
        if name not in topology.networks:
            hint = did_you_mean(name, topology.networks)
            yield ("san", "networks", index), f"the san names the unknown network {name!r}: {hint}"
            return
    if san.networks is not None and not san.networks:
        yield (
            ("san", "networks"),
            "the san has no portal: name at least one network, or leave the key out",
        )
