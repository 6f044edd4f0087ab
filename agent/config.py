"""All that an agent can be told. Read once, in __main__, then handed down."""

from dataclasses import dataclass

from agent.policies import BUILT_IN, Shelf
from protocol.names import PAGE_BYTES, Endpoint, NodeName


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a migration may try, and how long its guest may wait."""

    rounds_max: int = 10
    """2008 R2 makes at most ten passes over a guest's memory and then stops it anyway."""

    blackout_max_s: float = 0.05
    """Pre-copy ends early when what is left travels in this time: shorter copies more, longer
    pauses longer.
    """

    switch_max_s: float = 30.0
    """From the pause to the consent. After it the source gives up and its guest runs on, so allow
    for a full verification of the largest VM.
    """

    drain_max_s: float = 5.0
    """How long the disk may take at S8 to answer what the guest had asked of it before the pause.
    """

    listen_max_s: float = 60.0
    """How long a target that has reserved memory waits for its source to connect."""

    bound_rounds: int = 200
    """After so many rounds the guest is stopped, whatever the policy says: 2008 R2 never comes
    here.
    """

    bound_s: float = 3600.0
    """So long the rounds after the first may take together before the guest is stopped anyway."""

    pull_grace_s: float = 30.0
    """How long a guest whose pages are not all here waits for a source that cannot be reached."""

    def __post_init__(self) -> None:
        for name in ("rounds_max", "bound_rounds"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; a migration makes at least one round."
                )
        for name in (
            *("blackout_max_s", "switch_max_s", "drain_max_s", "listen_max_s", "bound_s"),
            "pull_grace_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it must be more than 0 seconds."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What makes this agent the node that it is; the cluster's own clocks come with `Welcome`."""

    node: NodeName
    endpoint: Endpoint
    """Where peers and sources reach this node; its networks are those that heartbeats use."""

    memory_bytes: int
    """What VMs of this node may use together."""

    tracker: str = "software"
    """How this machine finds dirty pages, for reports."""

    limits: Limits = Limits()

    policies: Shelf = BUILT_IN
    """How migrations from here may decide about their rounds."""

    prevents_quorum: bool = False
    """It joins a cluster that runs, and its votes never help to form one."""

    def __post_init__(self) -> None:
        if not self.node:
            raise ValueError("An agent needs the name of its node.")
        if not self.endpoint.addresses:
            raise ValueError(f"Node {self.node} has no address on any network.")
        if self.memory_bytes < PAGE_BYTES:
            raise ValueError(
                f"Node {self.node} has {self.memory_bytes} bytes for VMs; "
                f"it needs at least a page, {PAGE_BYTES}."
            )
