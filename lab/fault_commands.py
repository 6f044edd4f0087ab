"""`hvlab fault`: programs of a lab are killed, frozen, woken and started again."""

from typing import Annotated, Any

import typer

from lab.commands import LabName, home, print_data
from lab.home import LabRecord
from lab.procfs import Process
from shell.io.desk import run
from shell.session import Json, examples

Target = Annotated[str, typer.Argument(metavar="NODE|coordinator|san", help="Whom it shall hit.")]
San = Annotated[str, typer.Argument(metavar="san", help="The san: what is cut are paths to it.")]
OfNode = Annotated[
    str | None, typer.Option("--node", help="Only this node's paths; left out: everybody's.")
]
OnNetwork = Annotated[
    str | None, typer.Option("--network", help="Only the paths on this storage network.")
]
AgentOnly = Annotated[
    bool, typer.Option("--agent-only", help="The agent alone, not its warm parent and workers.")
]

fault = typer.Typer(no_args_is_help=True, help="Hurt a lab: kill, pause, resume, restart.")


DONE_WORDS = {
    "kill": "was killed",
    "pause": "is frozen",
    "resume": "runs on",
    "restart": "was started again",
}


def do(word: str, target: str, name: str | None, as_json: bool, agent_only: bool = False) -> None:
    record = home().lab(name)
    from lab.deeds import DEEDS, named  # loads all that starts labs, which others need not

    async def hit() -> tuple[str, tuple[Process, ...]]:
        one = await named(record, target)
        return one, await DEEDS[word](record, one, agent_only)

    target, reached = run(hit())
    pids = [process.pid for process in reached]
    data: dict[str, Any] = {"fault": word, "target": target, "lab": record.name, "pids": pids}
    if as_json:
        print_data(data)
    else:
        typer.echo(f"{target} {DONE_WORDS[word]} (pid {', '.join(map(str, pids))}).")


@fault.command("kill", epilog=examples("hvlab fault kill node2", "hvlab fault kill coordinator"))
def kill_command(
    target: Target, agent_only: AgentOnly = False, name: LabName = None, as_json: Json = False
) -> None:
    """SIGKILL a node (agent, warm parent, workers) or the coordinator; waits until it is gone."""
    do("kill", target, name, as_json, agent_only)


@fault.command("pause", epilog=examples("hvlab fault pause node2 --agent-only"))
def pause_command(
    target: Target, agent_only: AgentOnly = False, name: LabName = None, as_json: Json = False
) -> None:
    """SIGSTOP a node or the coordinator: it is there, and says nothing."""
    do("pause", target, name, as_json, agent_only)


@fault.command("resume", epilog=examples("hvlab fault resume node2"))
def resume_command(target: Target, name: LabName = None, as_json: Json = False) -> None:
    """SIGCONT what was paused."""
    do("resume", target, name, as_json)


@fault.command("restart", epilog=examples("hvlab fault restart node2"))
def restart_command(target: Target, name: LabName = None, as_json: Json = False) -> None:
    """Start a killed program again, with its old state."""
    do("restart", target, name, as_json)


@fault.command("cut", epilog=examples("hvlab fault cut san --node node2"))
def cut_command(
    target: San,
    node: OfNode = None,
    network: OnNetwork = None,
    name: LabName = None,
    as_json: Json = False,
) -> None:
    """The san resets the connections of these paths and takes no new ones until `heal`."""
    paths(target, "cut", node, network, name, as_json)


@fault.command("heal", epilog=examples("hvlab fault heal san --node node2"))
def heal_command(
    target: San,
    node: OfNode = None,
    network: OnNetwork = None,
    name: LabName = None,
    as_json: Json = False,
) -> None:
    """Paths that were cut may be used again."""
    paths(target, "heal", node, network, name, as_json)


@fault.command("slow", epilog=examples("hvlab fault slow san --delay 0.05"))
def slow_command(
    target: San,
    delay_s: Annotated[
        float, typer.Option("--delay", min=0.0, help="Seconds more for each command; 0 ends it.")
    ],
    name: LabName = None,
    as_json: Json = False,
) -> None:
    """Every command of the san's disks takes longer."""
    from lab import san_admin  # loads asyncio, which others need not

    record = _with_san(target, name)
    run(san_admin.slow(record, delay_s))
    data = {"fault": "slow", "target": target, "lab": record.name, "delay_s": delay_s}
    if as_json:
        print_data(data)
    else:
        typer.echo(f"Each command of the san takes {delay_s:g} s longer.")


def paths(
    target: str,
    word: str,
    node: str | None,
    network: str | None,
    name: str | None,
    as_json: bool,
) -> None:
    from lab import san_admin

    record = _with_san(target, name)
    whose = san_admin.sources(record, node, network)
    closed = 0
    if word == "cut":
        closed = run(san_admin.cut(record, node, network))
    else:
        run(san_admin.heal(record, node, network))
    data = {"fault": word, "target": target, "lab": record.name, "from": whose}
    if as_json:
        print_data({**data, "closed": closed} if word == "cut" else data)
    elif word == "cut":
        typer.echo(f"{len(whose)} paths to the san are cut; {closed} connections were reset.")
    else:
        typer.echo(f"{len(whose)} paths to the san are whole again.")


def _with_san(target: str, name: str | None) -> LabRecord:
    record = home().lab(name)
    if target != "san":
        raise typer.BadParameter(f"only paths to the san can be cut, not to {target!r}: say san")
    _ = record.san  # says that there is none
    return record


def add_to(app: typer.Typer) -> None:
    app.add_typer(fault, name="fault")
