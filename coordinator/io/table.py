"""The table of routes, from which both the server and the documentation are made."""

from http import HTTPStatus

from coordinator.io import api_answers as answers
from coordinator.io import api_models as models
from coordinator.io import api_settings as settings
from coordinator.io import attempt_answers
from coordinator.io.cluster_table import cluster_routes
from coordinator.io.forecast_operations import forecast_routes
from coordinator.io.group_operations import GroupOperations
from coordinator.io.operations import Operations
from coordinator.io.routes import Route
from coordinator.io.storage_table import storage_routes

CREATED, ACCEPTED = HTTPStatus.CREATED, HTTPStatus.ACCEPTED
ABSENT, REFUSED = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT


def routes(do: Operations) -> tuple[Route, ...]:
    return (
        *cluster_routes(do.cluster),
        *_of_vms(do),
        *_of_files(do),
        *_of_groups(do.groups),
        *_of_migrations(do),
        *forecast_routes(do.forecasts),
        *storage_routes(do.storage),
        _of_the_log(do),
    )


def _of_the_log(do: Operations) -> Route:
    return Route(
        *("GET", "/log", "log", "Events, oldest first: the newest, or those behind `after`"),
        *(list[answers.LogEvent], do.log),
        query=models.LogQuery,
    )


def _of_groups(do: GroupOperations) -> tuple[Route, ...]:
    return (
        Route("GET", "/groups", "groups", "All groups", list[answers.Group], do.groups),
        Route(
            *("GET", "/groups/{group}", "group", "One group", answers.Group, do.group),
            refusals=(ABSENT,),
        ),
        Route(
            *("PATCH", "/groups/{group}", "setGroup", "Change settings: all or none"),
            *(answers.Group, do.set_group),
            body=settings.SettingsBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/groups/{group}/move", "moveGroup", "Take it offline, and online elsewhere"),
            *(answers.Moved, do.move, ACCEPTED),
            body=settings.MoveBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/groups/{group}/start", "startGroup", "Bring it online"),
            *(answers.Group, do.start, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/groups/{group}/stop", "stopGroup", "Take it offline"),
            *(answers.Group, do.stop, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("GET", "/resources", "resources", "All resources"),
            *(list[answers.Resource], do.resources),
        ),
        Route(
            *("GET", "/resources/{resource}", "resource", "One resource"),
            *(answers.Resource, do.resource),
            refusals=(ABSENT,),
        ),
        Route(
            *("PATCH", "/resources/{resource}", "setResource", "Change settings: all or none"),
            *(answers.Resource, do.set_resource),
            body=settings.SettingsBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/resources/{resource}/fail", "failResource", "Let it fail once, as a test"),
            *(answers.Resource, do.fail, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
    )


def _of_vms(do: Operations) -> tuple[Route, ...]:
    return (
        Route("GET", "/vms", "vms", "All VMs", list[answers.Vm], do.vms),
        Route(
            *("POST", "/vms", "createVm", "Create a VM and, unless told otherwise, start it"),
            *(answers.Vm, do.create, CREATED),
            body=models.CreateBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("GET", "/vms/{vm}", "vm", "One VM", answers.Vm, do.vm),
            refusals=(ABSENT,),
        ),
        Route(
            *("DELETE", "/vms/{vm}", "deleteVm", "Delete a VM that is off"),
            *(answers.VmNamed, do.delete),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/vms/{vm}/start", "startVm", "Start a VM; answered when it is decided"),
            *(answers.Vm, do.start, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/vms/{vm}/stop", "stopVm", "Stop a VM; answered when it is decided"),
            *(answers.Vm, do.stop, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
    )


def _of_files(do: Operations) -> tuple[Route, ...]:
    return (
        Route(
            *("POST", "/vms/{vm}/move-storage", "moveStorage", "Move its files to another volume"),
            *(answers.StorageMoveAsked, do.move_storage, ACCEPTED),
            body=models.MoveStorageBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/vms/{vm}/cancel-storage-move", "cancelStorageMove", "Cancel that move"),
            *(answers.StorageMoveAsked, do.cancel_storage_move, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
    )


def _of_migrations(do: Operations) -> tuple[Route, ...]:
    return (
        Route(
            *("POST", "/vms/{vm}/migrate", "migrateVm", "Begin a live migration of a running VM"),
            *(answers.Asked, do.migrate, ACCEPTED),
            body=models.MigrateBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("GET", "/attempts", "attempts", "Attempts with their records, the newest first"),
            *(list[attempt_answers.Attempt], do.attempts),
            query=models.AttemptsQuery,
        ),
        Route(
            *("GET", "/attempts/{attempt}", "attempt", "One attempt"),
            *(attempt_answers.Attempt, do.attempt),
            refusals=(ABSENT,),
        ),
        Route(
            *("POST", "/attempts/{attempt}/cancel", "cancelAttempt", "Cancel it if not decided"),
            *(answers.Asked, do.cancel, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
    )
