"""What a coordinator is told when it starts."""

import hashlib
import hmac
from dataclasses import dataclass

from protocol.names import AttemptId, ClusterId, NetworkName, Term


@dataclass(frozen=True, slots=True)
class Network:
    """One IP subnet joined by one NIC of each node.

    `role` is 0 (not for the cluster), 1 (for the cluster) or 3 (for the cluster and clients).
    """

    name: NetworkName
    subnet: str
    role: int
    metric: int
    gateway: bool = False
    auto_metric: bool = False
    """The cluster gives the metric, by its rule; `metric` is only what it was at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorConfig:
    """Read once, in __main__, then handed down."""

    lab: str
    """The lab's name, for people."""

    leader: str
    """This coordinator's own name, as status shows it."""

    networks: tuple[Network, ...] = ()

    migration_order: tuple[NetworkName, ...] = ()
    """Networks for live migration, the first to try first; empty leaves it to role and metric."""

    migration_exclude: tuple[NetworkName, ...] = ()
    """Networks that live migration must not use."""

    wall_offset_s: float = 0.0
    """Wall-clock time minus `now`, taken once at the start, for records and events."""

    secret: bytes = b"hvlab"
    """Makes the tokens that a source shows to its target; choose it at random for every cluster."""

    policy: str = "2008r2"
    """How migrations of a drain decide when to stop their rounds."""

    forecasts: bool = False
    """Have the source of every migration watch its guest while the target makes room, so that the
    record says beside what was measured what was to be expected.
    """

    reserve_deadline_s: float = 120.0
    """How long a target may take to reserve (S3) before its attempt is aborted."""

    local_offset_s: float = 0.0
    """Local time of the cluster minus UTC, for what an operator says in hours of the day."""

    node_folders: tuple[str, ...] = ()
    """Folders that belong to one node each: a witness in one of them would be lost with it."""

    drain_tries: int = 2
    """How often a drain tries to move one VM."""

    def __post_init__(self) -> None:
        names = [network.name for network in self.networks]
        if len(set(names)) != len(names):
            raise ValueError("two networks have the same name: give each its own")
        unknown = {*self.migration_order, *self.migration_exclude} - set(names)
        if unknown:
            raise ValueError(f"no such networks: {', '.join(sorted(unknown))}")
        if not self.secret:
            raise ValueError("the secret is empty: tokens made from it could be guessed")

    def token(self, cluster: ClusterId, attempt: AttemptId) -> str:
        """What the source of `attempt` shows to the target, the same for every leader."""
        words = f"attempt {cluster} {attempt}".encode()
        return hmac.new(self.secret, words, hashlib.sha256).hexdigest()

    def cluster_id(self, name: str, term: Term) -> ClusterId:
        """An id of its own: terms are used once in a store, secrets once in a lab."""
        words = f"cluster {name} {term}".encode()
        return ClusterId(hmac.new(self.secret, words, hashlib.sha256).hexdigest()[:16])
