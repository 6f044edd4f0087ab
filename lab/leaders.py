"""Which of a lab's coordinators leads: each is asked, since every one of them may have gone."""

import asyncio
import contextlib

from lab.errors import LabError
from lab.home import CoordinatorRecord, LabRecord
from lab.procfs import runs
from shell.errors import ShellError
from shell.io.client import Client

ASK_S = 1.0
LED_WITHIN_S = 10.0
FOLLOWED_AFTER_S = 2.0
LOOK_EVERY_S = 0.1


async def leader(record: LabRecord) -> CoordinatorRecord | None:
    """The coordinator that says of itself that it leads; None while none does."""
    if len(record.coordinators) == 1:
        return record.coordinators[0]
    living = [one for one in record.coordinators if runs(one.process) and one.ready]
    asking = [asyncio.ensure_future(_says_it_leads(one)) for one in living]
    try:
        for answer in asyncio.as_completed(asking):  # one that is frozen keeps nobody waiting
            if (found := await answer) is not None:
                return found
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    return None


async def _says_it_leads(coordinator: CoordinatorRecord) -> CoordinatorRecord | None:
    try:
        async with asyncio.timeout(ASK_S), Client(coordinator.ready["api"]) as api:
            status = await api.get("/status")
    except (ShellError, TimeoutError):
        return None
    return coordinator if status["leader"] == coordinator.name else None


async def led_by(record: LabRecord, within_s: float = LED_WITHIN_S) -> CoordinatorRecord:
    """The coordinator that leads, once one does."""
    give_up_at = asyncio.get_running_loop().time() + within_s
    while (found := await leader(record)) is None:
        if asyncio.get_running_loop().time() >= give_up_at:
            names = ", ".join(one.name for one in record.coordinators)
            raise LabError(f"none of {names} leads after {within_s:g} s: see hvlab logs")
        await asyncio.sleep(LOOK_EVERY_S)
    return found


async def leading_api(record: LabRecord) -> str:
    """The URL of the API to ask: that of the leader, where there are several coordinators."""
    if len(record.coordinators) <= 1:
        return record.api
    return str((await led_by(record)).ready["api"])


async def any_api(record: LabRecord) -> str:
    """The leader's, or that of one that follows: it still shows what there is."""
    with contextlib.suppress(LabError):
        return str((await led_by(record, FOLLOWED_AFTER_S)).ready["api"])
    living = [one for one in record.coordinators if runs(one.process) and one.ready]
    return str(living[0].ready["api"]) if living else record.api
