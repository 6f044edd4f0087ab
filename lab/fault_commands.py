"""`hvlab fault`: programs of a lab are killed, frozen, woken and started again."""

from typing import Annotated, Any

import typer

from lab.commands import LabName, home, print_data
from lab.procfs import Process
from shell.io.desk import run
from shell.session import Json, examples

Target = Annotated[str, typer.Argument(metavar="NODE|coordinator", help="Whom it shall hit.")]
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


def add_to(app: typer.Typer) -> None:
    app.add_typer(fault, name="fault")
