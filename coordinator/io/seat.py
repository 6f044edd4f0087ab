"""The place that a coordinator's API and links talk to, whoever sits there: leader or follower."""

import asyncio
from collections.abc import Callable

import structlog

from coordinator.config import CoordinatorConfig
from coordinator.core import CoordinatorCore
from coordinator.io.driver import Driver, Occupant, Onlooker
from coordinator.io.election import Election
from coordinator.io.etcd import EtcdStore
from coordinator.io.follower import Follower
from coordinator.leadership.candidacy import Decides, Deposed, Rival
from coordinator.leadership.following import Following
from coordinator.requests import Request, Response
from coordinator.shown.picture import Picture
from protocol.io.link import Link
from protocol.names import AttemptId


class Seat:
    """One coordinator of several. Elected, it leads with a fresh core; else it follows.

    It listens to the driver (`Onlooker`) for what the election must know, and passes it on.
    """

    def __init__(
        self,
        store: EtcdStore,
        config: Callable[[], CoordinatorConfig],
        clock: Callable[[], float],
    ) -> None:
        self._store, self._config, self._clock = store, config, clock
        self._log = structlog.get_logger(part="seat")
        self._onlooker: Onlooker | None = None
        self._to_lead = asyncio.Event()
        self._stopped = asyncio.Event()
        self._decides = False
        self._driver: Driver | None = None
        self._follower = Follower(Following(config()), store, self, clock)
        self._occupant: Occupant = self._follower
        self._election: Election | None = None

    def watched_by(self, onlooker: Onlooker) -> None:
        self._onlooker = onlooker

    async def run(self, api: str) -> None:
        """Follow, and lead whenever elected, until `stop`; `api` is where others send people."""
        self._election = Election(
            self._store,
            Rival(self._config().leader, api),
            self._clock,
            begin=self._begin,
            end=self._end,
            seen=self._follower.seen,
        )
        async with asyncio.TaskGroup() as group:
            lasting = [
                group.create_task(self._follower.run()),
                group.create_task(self._election.run()),
                group.create_task(self._lead_when_elected()),
            ]
            await self._stopped.wait()
            if self._driver is not None:
                self._driver.stop()
            for task in lasting:
                task.cancel()

    def stop(self) -> None:
        self._stopped.set()

    async def _lead_when_elected(self) -> None:
        while True:
            await self._to_lead.wait()
            core = CoordinatorCore(self._config(), self._clock())
            driver = Driver(core, self._store, self._config().leader, self._clock)
            driver.watched_by(self)
            self._driver = self._occupant = driver
            self._decides = False
            try:
                await driver.run()
            finally:
                self._step_back(driver)

    def _begin(self) -> None:
        self._to_lead.set()

    def _end(self, reason: str) -> None:
        """From this moment on nothing is decided here, whatever the driver still waits for."""
        self._to_lead.clear()
        if self._driver is not None:
            self._step_back(self._driver)

    def _step_back(self, driver: Driver) -> None:
        driver.stop()
        if self._driver is driver:
            self._driver = None
            self._occupant = self._follower
            self.changed()

    # ---- what the API and the links ask

    def picture(self) -> Picture:
        return self._occupant.picture()

    async def ask(self, request: Request) -> Response:
        return await self._occupant.ask(request)

    async def serve(self, link: Link) -> None:
        await self._occupant.serve(link)

    # ---- what the driver tells

    def changed(self) -> None:
        if self._driver is not None:
            self._tell_election(self._driver.core)
        if self._onlooker is not None:
            self._onlooker.changed()

    def _tell_election(self, core: CoordinatorCore) -> None:
        assert self._election is not None, "nobody leads who was not elected"
        if core.deposed:
            self._election.feed(Deposed())
        elif core.leads is not self._decides:
            self._decides = core.leads
            self._election.feed(Decides(core.leads))

    def written(self) -> None:
        if self._onlooker is not None:
            self._onlooker.written()

    def progressed(self, attempt: AttemptId) -> None:
        if self._onlooker is not None:
            self._onlooker.progressed(attempt)
