"""Which witness a cluster may have: of the kind of its mode, and in a place that outlives nodes."""

from collections.abc import Collection

from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.storage import quorum_disk
from coordinator.votes.dealing import WITNESS_OF
from protocol.disks import witness_disk
from protocol.names import NodeName, QuorumMode, Witness, WitnessKind

CSV_FOLDER = "clusterstorage"
"""Every volume of the cluster is a folder in the one of this name."""

WORDS = {WitnessKind.DISK: "a disk witness", WitnessKind.SHARE: "a file share witness"}


def why_mode_unfit(mode: QuorumMode, witness: Witness | None) -> Declined | None:
    """Why `mode` cannot go with `witness`."""
    wanted = WITNESS_OF[mode]
    if wanted is None and witness is not None:
        sentence = (
            f"{mode.value} goes without a witness: leave {witness.name} out, or choose a mode"
            " that counts it."
        )
    elif wanted is not None and witness is None:
        sentence = f"{mode.value} counts {WORDS[wanted]}: name it and its folder."
    elif wanted is not None and witness is not None and witness.kind is not wanted:
        sentence = (
            f"{mode.value} counts {WORDS[wanted]}, and {witness.name} is {WORDS[witness.kind]}:"
            " give one of the right kind, or choose the mode that fits."
        )
    else:
        return None
    return Declined(422, "bad-witness", sentence)


def why_place_unfit(scene: Scene, witness: Witness, nodes: Collection[NodeName]) -> Declined | None:
    """Why the witness cannot lie where it is: on a volume of the cluster, or on one of `nodes`."""
    if witness.name and witness_disk(witness.path) is not None:
        return quorum_disk.why_unfit(scene, witness)
    parts = _parts(witness.path)
    if not witness.name or not parts or not witness.path.startswith(("/", "\\\\")):
        sentence = (
            "A witness has a name and the full path of a folder that every node reaches:"
            " /share/witness, or \\\\server\\share; or it is a disk of the SAN, by its name."
        )
    elif ".." in parts:
        sentence = f"The path {witness.path} of the witness leads upwards: give it without '..'."
    elif CSV_FOLDER in parts:
        sentence = (
            f"{witness.path} lies on a cluster shared volume, which needs the quorum itself:"
            " a witness must lie on a disk of its own (5928)."
        )
    elif node := _node_of(scene, witness.path, nodes):
        sentence = (
            f"{witness.path} lies on node {node} of this cluster, and its vote would be lost with"
            " that node: use a server that is none of its nodes (5938)."
        )
    elif any(parts[: len(own)] == own for own in map(_parts, scene.config.node_folders) if own):
        sentence = (
            f"{witness.path} lies in a folder that belongs to one node of this cluster, and its"
            " vote would be lost with that node: use a place apart (5938)."
        )
    else:
        return None
    return Declined(422, "bad-witness", sentence)


def _parts(path: str) -> list[str]:
    return [part.lower() for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _node_of(scene: Scene, path: str, nodes: Collection[NodeName]) -> NodeName | None:
    """The node whose share it is: named by its name, with a domain or without, or by an address."""
    if not path.replace("\\", "/").startswith("//"):
        return None
    host = _parts(path)[0]
    for node in nodes:
        agent = scene.agents.at(node)
        addresses = () if agent is None else agent.hello.endpoint.addresses
        if host.split(".")[0] == node.lower() or host in {address for _, address in addresses}:
            return node
    return None
