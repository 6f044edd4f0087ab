"""What a running san is told on its admin socket: which paths are lost, how slow its disks are."""

import asyncio
import json
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.home import LabRecord
from shell.errors import Inconclusive

ANSWER_WITHIN_S = 5.0
LOOK_EVERY_S = 0.02


async def tell(record: LabRecord, **words: Any) -> dict[str, Any]:
    """The san's answer; LabError if it refuses, or does not run."""
    return await tell_at(record.san_dir / "admin.sock", **words)


async def tell_at(path: Path, **words: Any) -> dict[str, Any]:
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(json.dumps(words).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except TimeoutError:
        raise Inconclusive(f"the san did not answer within {ANSWER_WITHIN_S:g} s") from None
    except OSError as exc:
        raise LabError(f"the san does not listen ({exc.strerror or exc}): restart it") from exc
    if not line:
        raise LabError("the san closed the connection without an answer: see its log")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise LabError(f"the san refuses: {answer['error']}")
    return answer


def sources(record: LabRecord, node: str | None, network: str | None) -> list[str]:
    """The addresses from which `node`, or every node, reaches the san on `network`, or on all."""
    portals = record.san.addresses
    if network is not None and network not in portals:
        known = ", ".join(portals)
        raise LabError(f"the san has no portal on {network!r}: it has one on {known}")
    nodes = record.nodes if node is None else (record.node(node),)
    wanted = portals if network is None else (network,)
    found = [one.addresses[net] for one in nodes for net in wanted if net in one.addresses]
    if not found:
        raise LabError(f"{node or 'no node'} has no path to the san there: nothing can be cut")
    return found


async def cut(record: LabRecord, node: str | None = None, network: str | None = None) -> int:
    """The san ends the connections of these paths with a reset and takes no new ones; how many
    ended. Seen in the san's own list before this returns.
    """
    addresses = sources(record, node, network)
    closed = 0
    for address in addresses:
        answer = await tell(record, **{"do": "cut", "from": address})
        closed += int(answer.get("closed", 0))
    await _until_none_from(record, addresses)
    return closed


async def heal(record: LabRecord, node: str | None = None, network: str | None = None) -> None:
    for address in sources(record, node, network):
        await tell(record, **{"do": "heal", "from": address})


async def slow(record: LabRecord, delay_s: float) -> None:
    """Every piece of work of the san's disks takes so much longer; 0 ends that."""
    await tell(record, do="slow", delay_s=delay_s)


async def _until_none_from(record: LabRecord, addresses: list[str]) -> None:
    give_up_at = asyncio.get_running_loop().time() + ANSWER_WITHIN_S
    while True:
        shown = await tell(record, do="show")
        left = [one for one in shown["connections"] if one["from"] in addresses]
        if not left:
            return
        if asyncio.get_running_loop().time() >= give_up_at:
            raise Inconclusive(f"the paths were cut, but {len(left)} connections remain")
        await asyncio.sleep(LOOK_EVERY_S)
