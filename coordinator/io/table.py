"""The table of routes, from which both the server and the documentation are made."""

from http import HTTPStatus

from coordinator.io import api_answers as answers
from coordinator.io import api_models as models
from coordinator.io.operations import Operations
from coordinator.io.routes import Route

CREATED, ACCEPTED = HTTPStatus.CREATED, HTTPStatus.ACCEPTED
ABSENT, REFUSED = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT


def routes(do: Operations) -> tuple[Route, ...]:
    return (*_of_the_cluster(do), *_of_vms(do), *_of_migrations(do))


def _of_the_cluster(do: Operations) -> tuple[Route, ...]:
    return (
        Route("GET", "/status", "status", "The cluster at a glance", answers.Status, do.status),
        Route("GET", "/nodes", "nodes", "All nodes", list[answers.Node], do.nodes),
        Route("GET", "/networks", "networks", "All networks", list[answers.Network], do.networks),
        Route("GET", "/groups", "groups", "All groups", list[answers.Group], do.groups),
        Route(
            *("GET", "/log", "log", "Events, oldest first: the newest, or those behind `after`"),
            *(list[answers.LogEvent], do.log),
            query=models.LogQuery,
        ),
        Route(
            *("POST", "/cluster", "formCluster", "Form a cluster; answered when its view holds"),
            *(answers.Status, do.form, CREATED),
            body=models.FormBody,
            refusals=(REFUSED,),
        ),
        Route(
            *("POST", "/nodes", "joinNode", "Let a node join; answered when its view holds"),
            *(answers.Status, do.join, CREATED),
            body=models.JoinBody,
            refusals=(REFUSED,),
        ),
        Route(
            *("POST", "/nodes/{node}/pause", "pauseNode", "Pause a node; `drain` moves its VMs"),
            *(answers.NodeNamed, do.pause, ACCEPTED),
            body=models.PauseBody,
            refusals=(ABSENT, REFUSED),
        ),
        Route(
            *("POST", "/nodes/{node}/resume", "resumeNode", "Let a paused node accept groups"),
            *(answers.NodeNamed, do.resume, ACCEPTED),
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
            *(list[answers.Attempt], do.attempts),
            query=models.AttemptsQuery,
        ),
        Route(
            *("GET", "/attempts/{attempt}", "attempt", "One attempt", answers.Attempt, do.attempt),
            refusals=(ABSENT,),
        ),
        Route(
            *("POST", "/attempts/{attempt}/cancel", "cancelAttempt", "Cancel it if not decided"),
            *(answers.Asked, do.cancel, ACCEPTED),
            refusals=(ABSENT, REFUSED),
        ),
    )
