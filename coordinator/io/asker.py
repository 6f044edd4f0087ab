"""How handlers reach the core: they ask it and wait, or look at its newest picture."""

import asyncio
from http import HTTPStatus

from coordinator.io.driver import Occupant
from coordinator.io.routes import Reply, error, reply_to
from coordinator.requests import Request, Unknown
from coordinator.shown.picture import Picture

ASK_S = 60.0
"""So long an operator waits for the store, and for a view to hold, before the outcome is open."""

NOT_YET = Unknown("There is no answer yet, and it may still be done: look before you ask again.")


class Asker:
    def __init__(self, driver: Occupant, ask_s: float = ASK_S) -> None:
        self._driver = driver
        self._ask_s = ask_s

    @property
    def picture(self) -> Picture:
        return self._driver.picture()

    async def ask(self, request: Request, status: int) -> Reply:
        try:
            async with asyncio.timeout(self._ask_s):
                return reply_to(await self._driver.ask(request), status)
        except TimeoutError:
            return reply_to(NOT_YET, status)

    def missing(self, code: str, sentence: str) -> Reply:
        """A coordinator that does not lead may not know it yet, and must not deny it."""
        if waiting := self.picture.waiting:
            return error(HTTPStatus.SERVICE_UNAVAILABLE, "no-quorum", waiting)
        return error(HTTPStatus.NOT_FOUND, code, sentence)


def done(reply: Reply) -> bool:
    return reply.status < HTTPStatus.BAD_REQUEST
