"""Scripts of scenarios: the words of `tests/scenarios/*/script`, and what two players compare.

`lab.simulation.story` plays a script in simulated time, `lab.live_story` on real processes.

Each line of a script is `WHEN COMMAND`. WHEN is seconds since the lab was formed, or a step of a
migration: the first time that one reaches it. `#` begins a comment; the first one says what the
scenario promises.

    vm NAME on NODE             create a VM and start it
    start|stop NAME
    migrate NAME to NODE
    cancel                      the newest attempt
    add NODE                    one joins the cluster: a spare node, or one that was evicted
    drain|resume NODE
    kill|revive NODE
    freeze|freeze-node|thaw NODE
    kill|revive coordinator
    cut|heal NAME NAME          all networks between two of them, both ways
    cut-off|join NODE           everything between it and all others
    storage-fails NODE          once
    kill-guest NAME             its process
    split NODES NODES           groups of hosts (a,b,c1) that lose each other; `heal` the same words
    blind NODE                  it does not reach the witness; `heal blind NODE`
    witness down|up
    quorum MODE
    weight NODE VOTES
    set NAME=NUMBER             a property of the cluster
    stop-node|start-node|evict NODE
    force NODE                  run on it without a quorum, under an oath
    freeze|thaw|rival coordinator

A line `with nodes 4 mode DiskOnly home node1 grace 6` says what the lab is made of.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from agent.policies import DEFAULT_POLICY
from coordinator.requests import (
    CancelAttempt,
    CreateVm,
    EvictNode,
    ForceQuorum,
    JoinNode,
    MigrateVm,
    PauseNode,
    Request,
    ResumeNode,
    SetProperties,
    SetQuorum,
    SetWeight,
    StartNode,
    StartVm,
    StopNode,
    StopVm,
)
from protocol.names import (
    AttemptId,
    NodeName,
    QuorumMode,
    Step,
    Verify,
    VmName,
    VmSpec,
    Witness,
)

END = -1
"""Stands for the number of a line behind the last one."""

STEPS = {step.value: step for step in Step}
MADE_OF = ("nodes", "mode", "home", "grace", "personality")


@dataclass(frozen=True, slots=True)
class Line:
    """One command, and when: so many seconds after the lab was formed, or at a step."""

    when: float | Step
    words: str


@dataclass(frozen=True, slots=True)
class Script:
    """What a script says, line by line."""

    made_of: Mapping[str, str]
    lines: tuple[Line, ...]
    tells_more: bool
    """It says what the lab is made of, and wants to be told of views and witnesses, too."""

    @property
    def timed(self) -> list[tuple[float, str]]:
        return [(line.when, line.words) for line in self.lines if not isinstance(line.when, Step)]

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(f"node{number}" for number in range(1, int(self.made_of["nodes"]) + 1))

    @property
    def spares(self) -> tuple[str, ...]:
        """Who joins, and was not there from the beginning."""
        added = [line.words.removeprefix("add ") for line in self.lines if _adds(line)]
        return tuple(node for node in dict.fromkeys(added) if node not in self.nodes)


def _adds(line: Line) -> bool:
    return line.words.startswith("add ")


def parse(text: str) -> Script:
    """Read a script; ValueError names what it cannot be made of."""
    made_of, tells_more = {"nodes": "3"}, False
    lines: list[Line] = []
    for raw in text.splitlines():
        words = raw.partition("#")[0].split(maxsplit=1)
        if len(words) != 2:
            continue
        when, rest = words[0], words[1].strip()
        if when == "with":
            pairs = rest.split()
            made_of.update(zip(pairs[::2], pairs[1::2], strict=True))
            tells_more = True
        else:
            lines.append(Line(STEPS[when] if when in STEPS else float(when), rest))
    if unknown := sorted(made_of.keys() - set(MADE_OF)):
        raise ValueError(f"a lab is not made of {', '.join(unknown)}")
    return Script(made_of, tuple(lines), tells_more)


@dataclass(frozen=True, slots=True)
class Stage:
    """What orders need that scripts leave to the player."""

    spec: VmSpec
    """Of every VM."""

    witness_of: Callable[[QuorumMode], Witness | None]
    newest_attempt: Callable[[], AttemptId]


def order_of(words: Sequence[str], stage: Stage) -> Request | None:
    """What an operator asks for with these words; None if they are no order to the cluster."""
    match words:
        case ["vm", vm, "on", node]:
            return CreateVm(VmName(vm), stage.spec, NodeName(node), start=True)
        case ["start", vm]:
            return StartVm(VmName(vm))
        case ["stop", vm]:
            return StopVm(VmName(vm))
        case ["migrate", vm, "to", node]:
            return MigrateVm(VmName(vm), NodeName(node), DEFAULT_POLICY, Verify.FULL)
        case ["cancel"]:
            return CancelAttempt(stage.newest_attempt())
        case ["add", node]:
            return JoinNode(NodeName(node))
        case ["drain", node]:
            return PauseNode(NodeName(node), drain=True)
        case ["resume", node]:
            return ResumeNode(NodeName(node))
    return _vote_order(words, stage)


def _vote_order(words: Sequence[str], stage: Stage) -> Request | None:
    match words:
        case ["quorum", mode]:
            chosen = QuorumMode(mode)
            return SetQuorum(chosen, stage.witness_of(chosen))
        case ["weight", node, votes]:
            return SetWeight(NodeName(node), int(votes))
        case ["set", setting]:
            name, _, value = setting.partition("=")
            return SetProperties(((name, int(value)),))
        case ["stop-node", node]:
            return StopNode(NodeName(node))
        case ["start-node", node]:
            return StartNode(NodeName(node))
        case ["evict", node]:
            return EvictNode(NodeName(node))
        case ["force", node]:
            return ForceQuorum((NodeName(node),), oath=True)
    return None


Places = Mapping[str, tuple[str, ...]]
"""Of each VM that is anywhere, the nodes, in order."""


def places(found: Iterable[tuple[str, str]]) -> Places:
    """Of pairs of a VM and a node."""
    where: dict[str, list[str]] = {}
    for vm, node in sorted(found):
        where.setdefault(vm, []).append(node)
    return {vm: tuple(nodes) for vm, nodes in where.items()}


@dataclass(frozen=True, slots=True)
class Rows:
    """What the cluster has written of itself."""

    owners: Mapping[str, str] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    """Of the newest view, if it holds."""

    nodes: tuple[str, ...] = ()
    mode: str = ""
    decisions: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand at one moment. It has no times and no epochs, which differ."""

    runs: Places
    """Where guests make steps."""

    copies: Places
    """Where guests are, running or not."""

    holder: str = ""
    """The node that the witness names, if one votes."""

    rows: Rows | None = None
    """None while nobody can be asked."""

    def without_places(self, vms: Set[str]) -> "Standing":
        """As if nobody knew on which node each of these VMs runs, only that its owner runs it."""

        def blurred(places: Places) -> Places:
            return {vm: ("?",) * len(at) if vm in vms else at for vm, at in places.items()}

        rows = self.rows
        if rows is not None:
            runs = {vm for vm in vms if rows.owners.get(vm) in self.runs.get(vm, ())}
            rows = replace(rows, owners={**rows.owners, **dict.fromkeys(runs, "?")})
        return replace(self, runs=blurred(self.runs), copies=blurred(self.copies), rows=rows)

    def is_like(self, other: "Standing") -> bool:
        """The same, as far as both are known and it matters.

        Who holds the witness is a question of who was quicker. And where nothing may run, a view
        may be on its way that will never hold.
        """
        seen = (self.runs, self.copies, bool(self.holder))
        if seen != (other.runs, other.copies, bool(other.holder)):
            return False
        mine, theirs = self.rows, other.rows
        if mine is None or theirs is None:
            return True
        if not self.runs:
            mine, theirs = replace(mine, members=()), replace(theirs, members=())
        return mine == theirs
