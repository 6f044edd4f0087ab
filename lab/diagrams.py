"""The pictures of docs/architecture.md, printed from the code: `python -m lab.diagrams [FILE]`.

Without a file it prints them all. With one it renews, in that file, what stands between a line
`<!-- printed: NAME -->` and the line `<!-- end -->`.
"""

import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from agent import source_states, target_states
from agent.moves import Move, mermaid
from agent.views import Verdict
from coordinator.config import CoordinatorConfig
from coordinator.events import LinkId
from coordinator.leadership.leading import Phase
from coordinator.migration import migrations
from coordinator.migration.migrations import (
    CommitRefused,
    Deciding,
    DecisionWritten,
    EndEnded,
    EndGaveUp,
    EndLeft,
    EndReturned,
    Reconciling,
    Reserving,
    Settled,
    SourceConsented,
    SourceProgressed,
    TargetReserved,
    TimePassed,
    Travelling,
    Word,
)
from coordinator.scene import Scene
from coordinator.store.rows import VIEW, NodeRow, ViewRow, node_key
from protocol.messages import AttemptReport, Consented, Hello
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Endpoint,
    Epoch,
    Incarnation,
    Member,
    NodeName,
    Step,
    Term,
    View,
    ViewNumber,
    VmName,
    VoteConfig,
)

BLOCK = re.compile(r"(<!-- printed: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

CLUSTER = ClusterId("c")
CONSENT = Consented(
    *(CLUSTER, Term(1), Incarnation("a-1"), AttemptId(1), VmName("vm"), Epoch(1), None),
    *(0.0, (), (), ""),
)


def in_mermaid(diagram: str) -> str:
    return f"```mermaid\n{diagram}```\n"


def drawn(moves: Iterable[Move], first: str, last: str) -> str:
    """A state diagram; a second colon in a line would end its label, so conditions get brackets."""
    shown = (Move(move.was, _bracketed(move.on), move.now) for move in moves)
    return in_mermaid(mermaid(shown, first, last))


def _bracketed(label: str) -> str:
    event, colon, condition = label.partition(": ")
    return f"{event} ({condition})" if colon else event


# ---- The coordinator's side of an attempt, by feeding every event to every state


def _words() -> tuple[Word, ...]:
    return (
        Word(),
        Word(heard=True),
        *(
            Word(True, AttemptReport(AttemptId(1), VmName("vm"), Epoch(1), True, step, consented))
            for step in (Step.ROUND, Step.COMMIT)
            for consented in (False, True)
        ),
    )


def attempt_states() -> tuple[migrations.State, ...]:
    return (
        Reserving(until=1.0),
        *(Travelling(heard) for heard in (False, True)),
        *(
            Reconciling(1.0, source, target, consent)
            for source, target in itertools.product(_words(), repeat=2)
            for consent in (None, CONSENT)
        ),
        *(Deciding(commit) for commit in (True, False)),
        *(
            Settled(decision, *ended)
            for decision in (Decision.COMMITTED, Decision.ABORTED)
            for ended in itertools.product((False, True), repeat=2)
        ),
    )


def attempt_events() -> tuple[migrations.Event, ...]:
    ends = (True, False)
    return (
        TargetReserved(),
        SourceProgressed(),
        SourceConsented(CONSENT),
        *(EndGaveUp(is_source, reason="") for is_source in ends),
        *(EndLeft(is_source, "") for is_source in ends),
        *(EndReturned(is_source, word.report) for is_source in ends for word in _words()),
        *(TimePassed(now) for now in (0.0, 2.0)),
        *(DecisionWritten(decision) for decision in (Decision.COMMITTED, Decision.ABORTED)),
        CommitRefused(""),
        *(EndEnded(is_source) for is_source in ends),
    )


def attempt_moves() -> Iterator[Move]:
    """Every move to another state that `migrations.step` makes, with what it orders."""
    seen = set[Move]()
    for state, event in itertools.product(attempt_states(), attempt_events()):
        after, orders = migrations.step(state, event)
        was, now = type(state).__name__, type(after).__name__
        done = " + ".join(type(order).__name__ for order in orders)
        move = Move(was, f"{type(event).__name__} / {done}" if done else type(event).__name__, now)
        if was != now and move not in seen:
            seen.add(move)
            yield move


def attempt() -> str:
    lines = drawn(attempt_moves(), "Reserving", "Settled")
    ends = "    Settled --> [*] : both ends have ended / WriteClosed\n"
    return lines.replace("    Settled --> [*]\n", f"    [*] --> Reconciling : a new leader\n{ends}")


# ---- The states of a node, by asking the coordinator's own rule


def _member(name: str) -> Member:
    return Member(NodeName(name), Incarnation(f"{name}-1"), Endpoint((), 3343, 6600))


def _scene(is_member: bool, is_linked: bool, is_heard: bool, is_paused: bool) -> Scene:
    """A cluster of two nodes; what is asked about is `a`."""
    scene = Scene(CoordinatorConfig(lab="lab", leader="coordinator"), now=0.0)
    votes = VoteConfig(1, ((NodeName("a"), 1), (NodeName("b"), 1)))
    members = (_member("a"), _member("b")) if is_member else (_member("b"),)
    view = View(ViewNumber(1), members, votes)
    scene.book.learn(VIEW, 1, ViewRow(view, view, Term(1)).data())
    node = NodeRow(NodeName("a"), memory_bytes=0, paused=is_paused)
    scene.book.learn(node_key(node.name), 1, node.data())
    for number, member in enumerate((_member("a"), _member("b")), start=1):
        if member.node == "b" or is_linked:
            hello = Hello(
                *(member.node, member.incarnation, CLUSTER, Term(1), ViewNumber(1), None),
                *(member.endpoint, 0, "map"),
            )
            scene.agents.greet(LinkId(number), hello, 0.0)
    for agent in scene.agents:
        agent.welcomed = True
        agent.hears = frozenset({NodeName("a")} if is_heard else ())
    return scene


def node() -> str:
    """A row for each of all cases."""
    lines = [
        "| in the view that holds | its control link stands | another member hears it"
        " | state | state if paused |",
        "|---|---|---|---|---|",
    ]
    for member, linked, heard in itertools.product((True, False), repeat=3):
        known = (member, linked, heard)
        scenes = (_scene(*known, is_paused) for is_paused in (False, True))
        states = [scene.node_state(NodeName("a")).value for scene in scenes]
        cells = ["yes" if yes else "no" for yes in known] + states
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# ---- What enumerations say of themselves


def sentences(kind: type[Phase] | type[Verdict], title: str) -> str:
    rows = [f"| {member.name} | {member.value} |" for member in kind]
    return "\n".join([f"| {title} | what it means |", "|---|---|", *rows]) + "\n"


PICTURES: Mapping[str, Callable[[], str]] = {
    "source": lambda: drawn(source_states.MOVES, "Connecting", "Done"),
    "target": lambda: drawn(target_states.MOVES, "Reserving", "Done"),
    "attempt": attempt,
    "node": node,
    "leading": lambda: sentences(Phase, "phase"),
    "verdicts": lambda: sentences(Verdict, "verdict"),
}


def renewed(text: str) -> str:
    """`text` with every printed block as the code has it now; KeyError names an unknown one."""
    return BLOCK.sub(lambda block: f"{block[1]}{PICTURES[block[2]]()}{block[4]}", text)


def main() -> None:
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    for name, picture in PICTURES.items():
        sys.stdout.write(f"<!-- printed: {name} -->\n{picture()}<!-- end -->\n\n")


if __name__ == "__main__":
    main()
