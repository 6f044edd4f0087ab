"""`hvlab vm`: VMs from their creation to their end."""

from typing import Annotated

import typer

from protocol.names import Fill
from protocol.workload import parse_size, parse_workload
from shell import tables
from shell.commands import vm_storage
from shell.errors import DONE, BadWords, Declined
from shell.paths import path
from shell.session import ApiUrl, Call, Data, Json, Lab, NoWait, Session, desk_of, examples
from shell.waiting import until_vm

Name = Annotated[str, typer.Argument(metavar="NAME", help="The VM.")]

vm = typer.Typer(no_args_is_help=True, help="Create, list, start, stop and delete VMs.")


def wanted(
    name: str,
    memory: str,
    *,
    node: str | None = None,
    workload: str = "idle",
    fill: str = "random",
    seed: int | None = None,
    start: bool = True,
    volume: str | None = None,
    disks: list[str] | None = None,
    local: bool = False,
    disk_resource: str | None = None,
) -> Data:
    """The body that asks for a VM; BadWords where a word of it cannot be meant."""
    try:
        memory_bytes = parse_size(memory)
        parse_workload(workload)
        sizes = [parse_size(size) for size in disks or ()]
    except ValueError as exc:
        raise BadWords(str(exc)) from exc
    if local and (sizes or volume is not None):
        raise BadWords("--local keeps it off shared storage: leave out --volume and --disk")
    if disk_resource is not None and (local or volume is not None):
        raise BadWords("--disk-resource is where its files go: leave out --volume and --local")
    body = {
        "name": name,
        "volume": volume,
        "disk_resource": disk_resource,
        "disks": sizes or None,
        "local": local or None,
        "memory": memory_bytes,
        "node": node,
        "workload": workload,
        "fill": fill,
        "seed": seed,
        "start": start,
    }
    return {key: value for key, value in body.items() if value is not None}


async def answer(session: Session, name: str, state: str | None, done: str) -> int:
    """Wait for `state`, if any, and tell how the VM is now."""
    row = await (until_vm(session, name, state) if state else session.api.get(path("vms", name)))
    where = f" on {row['node']}" if row.get("node") else ""
    files = f", its files on {row['home']}" if row.get("home") else ""
    session.show(row, lambda: [f"{name} {done}: {row['state']}{where}{files}."])
    return DONE


@vm.command(
    epilog=examples(
        "hvlab vm create web01 --memory 512MiB",
        "hvlab vm create sql01 --memory 1GiB --node node1 --fill files "
        "--workload hotspot:rate=50MB/s,set=64MiB",
        "hvlab vm create books --memory 64MiB --volume Volume1 --disk 256MiB",
        "hvlab vm create sql02 --memory 64MiB --disk-resource 'Cluster Disk 2' --disk 64MiB",
        "hvlab vm create scratch --memory 64MiB --local",
    )
)
def create(
    ctx: typer.Context,
    name: Name,
    memory: Annotated[str, typer.Option(help="How much, such as 1GiB.")],
    node: Annotated[str | None, typer.Option(help="Where; left out: the best node.")] = None,
    workload: Annotated[
        str, typer.Option(help="What the guest does: NAME:rate=RATE,set=SIZE.")
    ] = "idle",
    fill: Annotated[Fill, typer.Option(help="What its memory holds at first.")] = Fill.RANDOM,
    seed: Annotated[
        int | None, typer.Option(help="Determines what the memory holds and the guest writes.")
    ] = None,
    volume: Annotated[
        str | None,
        typer.Option(
            help="The shared volume for its files, such as Volume1; left out: the one with most "
            "room, if there is any."
        ),
    ] = None,
    disk: Annotated[
        list[str] | None,
        typer.Option(metavar="SIZE", help="A virtual disk on that volume; may be repeated."),
    ] = None,
    disk_resource: Annotated[
        str | None,
        typer.Option(help="Instead of a volume a disk of Available Storage, which moves with it."),
    ] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Keep it off shared storage: it stays on its node.")
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="Do not start it.")] = False,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Create a VM, start it and wait until it is Online.

    Where there are shared volumes its files go to one of them: what is not on shared storage is not
    highly available.
    """
    body = wanted(
        *(name, memory),
        node=node,
        workload=workload,
        fill=fill.value,
        seed=seed,
        start=not off,
        volume=volume,
        disks=disk,
        local=local,
        disk_resource=disk_resource,
    )

    async def command(session: Session) -> int:
        await session.api.post("/vms", body)
        return await answer(session, name, None if off or no_wait else "Online", "was created")

    desk_of(ctx).run(Call(as_json, lab, api), command)


@vm.command("list", epilog=examples("hvlab vm list", "hvlab vm list --json"))
def list_all(
    ctx: typer.Context, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """List all VMs."""

    async def command(session: Session) -> int:
        rows = await session.api.get("/vms")
        session.show(rows, lambda: [tables.vms(rows)] if rows else ["There are no VMs."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


@vm.command(epilog=examples("hvlab vm show sql01", "hvlab vm show sql01 --json"))
def show(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Show one VM and what its guest has done."""

    async def command(session: Session) -> int:
        row = await session.api.get(path("vms", name))
        session.show(row, lambda: [tables.vm(row)])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


async def turn(session: Session, name: str, word: str, already: str, state: str | None) -> int:
    """Start or stop a VM; one that is in that state `already` is as was wished."""
    try:
        await session.api.post(path("vms", name, word))
    except Declined as exc:
        if exc.code != already:
            raise
        return await answer(session, name, state, f"is {already.removeprefix('vm-')} already")
    return await answer(session, name, state, "was started" if word == "start" else "was stopped")


@vm.command(epilog=examples("hvlab vm start sql01"))
def start(
    ctx: typer.Context,
    name: Name,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Start a VM and wait until it is Online; one that runs already is left alone."""

    async def command(session: Session) -> int:
        return await turn(session, name, "start", "vm-on", None if no_wait else "Online")

    desk_of(ctx).run(Call(as_json, lab, api), command)


@vm.command(epilog=examples("hvlab vm stop sql01"))
def stop(
    ctx: typer.Context,
    name: Name,
    no_wait: NoWait = False,
    as_json: Json = False,
    lab: Lab = None,
    api: ApiUrl = None,
) -> None:
    """Turn a VM off and wait until it is Offline; its memory is lost."""

    async def command(session: Session) -> int:
        return await turn(session, name, "stop", "vm-off", None if no_wait else "Offline")

    desk_of(ctx).run(Call(as_json, lab, api), command)


@vm.command(epilog=examples("hvlab vm delete sql01"))
def delete(
    ctx: typer.Context, name: Name, as_json: Json = False, lab: Lab = None, api: ApiUrl = None
) -> None:
    """Delete a VM that is off."""

    async def command(session: Session) -> int:
        await session.api.delete(path("vms", name))
        session.show({"name": name, "deleted": True}, lambda: [f"{name} was deleted."])
        return DONE

    desk_of(ctx).run(Call(as_json, lab, api), command)


def add_to(app: typer.Typer) -> None:
    vm_storage.add_to(vm)
    app.add_typer(vm, name="vm")
