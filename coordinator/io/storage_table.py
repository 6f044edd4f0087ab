"""The routes of disks and shared volumes."""

from http import HTTPStatus

from coordinator.io import api_answers as answers
from coordinator.io import api_settings as settings
from coordinator.io.routes import Route
from coordinator.io.storage_operations import StorageOperations

CREATED, ACCEPTED = HTTPStatus.CREATED, HTTPStatus.ACCEPTED
ABSENT, REFUSED = HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT
BOTH = (ABSENT, REFUSED)


def storage_routes(do: StorageOperations) -> tuple[Route, ...]:
    return (*_of_disks(do), *_of_volumes(do))


def _of_disks(do: StorageOperations) -> tuple[Route, ...]:
    return (
        Route(
            *("GET", "/disks", "disks", "Clustered disks, and those that could be added"),
            *(list[answers.Disk], do.disks),
        ),
        Route(
            *("POST", "/disks", "addDisk", "Add a disk that all nodes see to Available Storage"),
            *(answers.Disk, do.add_disk, CREATED),
            body=settings.AddDiskBody,
            refusals=BOTH,
        ),
        Route(
            *("GET", "/disks/{disk}", "disk", "One disk, by its name or its id"),
            *(answers.Disk, do.disk),
            refusals=(ABSENT,),
        ),
        Route(
            *("DELETE", "/disks/{disk}", "removeDisk", "Take it out of the cluster"),
            *(answers.Named, do.remove_disk, ACCEPTED),
            refusals=BOTH,
        ),
        Route(
            *("POST", "/disks/{disk}/owner", "moveDisk", "Give it another owner"),
            *(answers.Disk, do.move_disk, ACCEPTED),
            body=settings.OwnerBody,
            refusals=BOTH,
        ),
        Route(
            *("POST", "/disks/{disk}/maintenance", "maintainDisk", "Maintenance mode on or off"),
            *(answers.Disk, do.maintain_disk),
            body=settings.SwitchBody,
            refusals=BOTH,
        ),
        Route(
            *("POST", "/disks/{disk}/force", "forceDisk", "Go on without a fence, on oath"),
            *(answers.Disk, do.force_disk),
            body=settings.OathBody,
            refusals=BOTH,
        ),
    )


def _of_volumes(do: StorageOperations) -> tuple[Route, ...]:
    return (
        Route(
            *("GET", "/volumes", "volumes", "All shared volumes"),
            *(list[answers.Volume], do.volumes),
        ),
        Route(
            *("POST", "/volumes", "addVolume", "Make a disk of Available Storage a shared volume"),
            *(answers.Volume, do.add_volume, CREATED),
            body=settings.AddVolumeBody,
            refusals=BOTH,
        ),
        Route(
            *("GET", "/volumes/{volume}", "volume", "One volume, and how each node reaches it"),
            *(answers.Volume, do.volume),
            refusals=(ABSENT,),
        ),
        Route(
            *("DELETE", "/volumes/{volume}", "removeVolume", "Back to Available Storage"),
            *(answers.Named, do.remove_volume, ACCEPTED),
            refusals=BOTH,
        ),
        Route(
            *("POST", "/volumes/{volume}/move", "moveVolume", "Move it to another node"),
            *(answers.Volume, do.move_volume, ACCEPTED),
            body=settings.OwnerBody,
            refusals=BOTH,
        ),
        Route(
            *(
                "POST",
                "/volumes/{volume}/redirect",
                "redirectVolume",
                "Redirected access on or off",
            ),
            *(answers.Volume, do.redirect_volume),
            body=settings.SwitchBody,
            refusals=BOTH,
        ),
        Route(
            *("POST", "/volumes/{volume}/maintenance", "maintainVolume", "Maintenance on or off"),
            *(answers.Volume, do.maintain_volume),
            body=settings.SwitchBody,
            refusals=BOTH,
        ),
        Route(
            *("POST", "/volumes/{volume}/rename", "renameVolume", "Another name for its folder"),
            *(answers.Volume, do.rename_volume),
            body=settings.RenameBody,
            refusals=BOTH,
        ),
        Route(
            *("POST", "/volumes/{volume}/check", "checkVolume", "Have its owner check it"),
            *(answers.Checked, do.check_volume),
            refusals=BOTH,
        ),
    )
