"""Looking until something is so: a VM is online, an attempt has ended."""

from collections.abc import Callable, Mapping
from typing import Any

from shell.errors import Declined, Inconclusive, Interrupted, NoApi, ShellError
from shell.paths import path
from shell.progress import Bars, ended
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
            why = f" ({now['reason'].rstrip('.')})" if now.get("reason") else ""
            raise VmFailed(f"{vm} is Failed, not {state}{why}: hvlab events tells the story")
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
    give_up_at = session.now() + within_s
    while True:
        now: Data = await session.api.get(path("groups", group))
        if now["state"] == state and also(now):
            return now
        why = f" ({now['reason'].rstrip('.')})" if now.get("reason") else ""
        if now["state"] == "Failed" != state:
            raise GroupFailed(f"{group} is Failed, not {state}{why}: hvlab events tells the story")
        if session.now() >= give_up_at:
            raise Inconclusive(
                f"{group} is still {now['state']} on {now['owner']} after {within_s:g} s{why}: "
                "look again later"
            )
        await session.rest()


async def until_row(
    session: Session,
    where: str,
    is_so: Callable[[Data], bool],
    what: str,
    within_s: float = WAIT_S,
) -> Data:
    """What is at `where` once it is so; Inconclusive if that takes long."""
    give_up_at = session.now() + within_s
    while True:
        now: Data = await session.api.get(where)
        if is_so(now):
            return now
        if session.now() >= give_up_at:
            why = f" ({now['reason'].rstrip('.')})" if now.get("reason") else ""
            raise Inconclusive(
                f"after {within_s:g} s it is not so that {what}{why}: look again later"
            )
        await session.rest()


async def until_node(
    session: Session, node: str, states: tuple[str, ...], within_s: float = WAIT_S
) -> Data:
    """The node once it is in one of these states."""
    give_up_at = session.now() + within_s
    while True:
        now: Data = await session.api.get(path("nodes", node))
        if now["state"] in states:
            return now
        if session.now() >= give_up_at:
            raise Inconclusive(
                f"{node} is still {now['state']} after {within_s:g} s: look again later"
            )
        await session.rest()


async def patiently(session: Session, where: str, since: float) -> Any:
    """What the API says, or None while nobody answers; a coordinator may be away for a while."""
    try:
        return await session.api.get(where)
    except NoApi:
        if session.now() >= since + LONELY_S:
            raise
        return None


async def follow(
    session: Session,
    attempt: int,
    bars: Bars,
    seen: Callable[[Mapping[str, Any]], None] = lambda attempt: None,
) -> Data:
    """Show an attempt until its record is complete. Ctrl-C cancels it, a second one lets it be."""
    cancelling = False
    heard_at = session.now()
    with session.interrupts() as presses:
        while True:
            row: Data | None = await patiently(session, f"/attempts/{attempt}", heard_at)
            if row is not None:
                heard_at = session.now()
                bars.update([row])
                seen(row)
                if ended(row):
                    return row
            if presses.count > 1:
                raise Interrupted(f"migration {attempt} goes on without being watched")
            if presses.count and not cancelling:
                cancelling = True
                await cancel(session, attempt)
            await session.rest()


async def cancel(session: Session, attempt: int) -> None:
    """Ask for the end of an attempt; too late is fine, since its record says how it ended."""
    session.aloud.print("Cancelling; Ctrl-C again stops watching.", markup=False)
    try:
        await session.api.post(f"/attempts/{attempt}/cancel")
    except (Declined, Inconclusive) as exc:
        session.aloud.print(str(exc), markup=False, highlight=False, soft_wrap=True)
