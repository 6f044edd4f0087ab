"""Looking until something is so: a VM is online, an attempt has ended."""

from collections.abc import Callable
from typing import Any

from shell.errors import Declined, Inconclusive, Interrupted, NoApi, ShellError
from shell.paths import path
from shell.session import Data, Session

LONELY_S = 60.0
"""So long a coordinator may be away before nobody waits for it any more."""

WAIT_S = 120.0


class VmFailed(ShellError):
    """The VM will not get into the state that was waited for."""

    code = "vm-failed"


class GroupFailed(ShellError):
    """The group will not get into the state that was waited for."""

    code = "group-failed"


async def until_vm(session: Session, vm: str, state: str, within_s: float = WAIT_S) -> Data:
    """The VM once it is in `state`; VmFailed if it never will be, Inconclusive if it takes long."""
    give_up_at = session.now() + within_s
    said = ""
    while True:
        now: Data = await session.api.get(path("vms", vm))
        if now["state"] == state:
            return now
        if now["state"] == "Failed":
            raise VmFailed(f"{vm} is Failed, not {state}{why(now)}: hvlab events tells the story")
        if session.now() >= give_up_at:
            raise Inconclusive(
                f"{vm} is still {now['state']} after {within_s:g} s: look again later"
            )
        line = now.get("reason") or f"{now['state']} on {now.get('node') or 'no node'}"
        if line != said and not session.call.as_json:
            said = line
            session.aloud.print(f"{vm}: {line}", markup=False, highlight=False)
        await session.rest()


async def until_group(
    session: Session,
    group: str,
    state: str,
    also: Callable[[Data], bool] = lambda row: True,
    within_s: float = WAIT_S,
) -> Data:
    """The group once it is in `state` and `also` holds of it."""

    def is_so(now: Data) -> bool:
        if now["state"] == state and also(now):
            return True
        if now["state"] == "Failed" != state:
            raise GroupFailed(
                f"{group} is Failed, not {state}{why(now)}: hvlab events tells the story"
            )
        return False

    def what(now: Data) -> str:
        return f"{group} is still {now['state']} on {now['owner']}"

    return await until_row(session, path("groups", group), is_so, what, within_s)


async def until_row(
    session: Session,
    where: str,
    is_so: Callable[[Data], bool],
    what: Callable[[Data], str],
    within_s: float = WAIT_S,
) -> Data:
    """The row at `where` once it is so; if that takes long Inconclusive, with what it is still."""
    give_up_at = session.now() + within_s
    while True:
        now: Data = await session.api.get(where)
        if is_so(now):
            return now
        if session.now() >= give_up_at:
            raise Inconclusive(f"{what(now)} after {within_s:g} s{why(now)}: look again later")
        await session.rest()


def why(row: Data) -> str:
    """The reason that the row gives, in brackets; nothing if it gives none."""
    return f" ({row['reason'].rstrip('.')})" if row.get("reason") else ""


async def until_node(
    session: Session, node: str, states: tuple[str, ...], within_s: float = WAIT_S
) -> Data:
    """The node once it is in one of these states."""

    def what(now: Data) -> str:
        return f"{node} is still {now['state']}"

    where = path("nodes", node)
    return await until_row(session, where, lambda now: now["state"] in states, what, within_s)


async def patiently(session: Session, where: str, since: float) -> Any:
    """What the API says, or None while nobody answers; a coordinator may be away for a while."""
    try:
        return await session.api.get(where)
    except NoApi:
        if session.now() >= since + LONELY_S:
            raise
        return None


async def follow(
    session: Session, where: str, is_over: Callable[[Data], bool], stop: str, what: str
) -> Data:
    """The row at `where` once it `is_over`, which is asked of each one and may show it.

    Ctrl-C posts to `stop`, a second one lets `what` go on unseen (Interrupted).
    """
    cancelling = False
    heard_at = session.now()
    with session.interrupts() as presses:
        while True:
            row: Data | None = await patiently(session, where, heard_at)
            if row is not None:
                heard_at = session.now()
                if is_over(row):
                    return row
            if presses.count > 1:
                raise Interrupted(f"{what} goes on without being watched")
            if presses.count and not cancelling:
                cancelling = True
                await cancel(session, stop)
            await session.rest()


async def cancel(session: Session, stop: str) -> None:
    """Ask for the end of it; too late is fine, since its row says how it ended."""
    session.aloud.print("Cancelling; Ctrl-C again stops watching.", markup=False)
    try:
        await session.api.post(stop)
    except (Declined, Inconclusive) as exc:
        session.aloud.print(str(exc), markup=False, highlight=False, soft_wrap=True)
