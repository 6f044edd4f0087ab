"""What can be asked over HTTP before anything is moved."""

from http import HTTPStatus

from coordinator.forecast_requests import EstimateDrain, EstimateVm
from coordinator.io import forecast_answers as answers
from coordinator.io.asker import Asker
from coordinator.io.choices import choices
from coordinator.io.forecast_models import EstimateBody
from coordinator.io.routes import Call, Reply, Route
from protocol.names import NodeName, VmName


class ForecastOperations:
    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def vm(self, call: Call) -> Reply:
        body: EstimateBody = call.body
        target = None if body.to is None else NodeName(body.to)
        travel = tuple(choices(body))
        asked = EstimateVm(
            *(VmName(call.names["vm"]), target, body.policy or "", travel, body.window)
        )
        return await self._asker.ask(asked, HTTPStatus.OK)

    async def drain(self, call: Call) -> Reply:
        return await self._asker.ask(EstimateDrain(NodeName(call.names["node"])), HTTPStatus.OK)


def forecast_routes(do: ForecastOperations) -> tuple[Route, ...]:
    refusals = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
    return (
        Route(
            *("POST", "/vms/{vm}/estimate", "estimateVm", "Foretell a migration of a running VM"),
            *(answers.Estimate, do.vm),
            body=EstimateBody,
            refusals=refusals,
        ),
        Route(
            *("POST", "/nodes/{node}/estimate", "estimateDrain", "Foretell a drain of a node"),
            *(answers.DrainEstimate, do.drain),
            refusals=refusals,
        ),
    )
