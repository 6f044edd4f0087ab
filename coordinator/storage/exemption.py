"""An operator's oath in place of a fence: the one way by which anything moves without it.

Keys of lives that left are removed by a member with a path to the disk. If there is none, or the
target does not do it, all that is on the disk waits, for nobody can say what the dead nodes still
write. Somebody who has looked can: then these lives are registrants no more, and it is told aloud.
"""

from dataclasses import dataclass, replace

from coordinator.events import RequestId
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle_storage as chronicle
from coordinator.storage import disks, fences
from coordinator.store.disk_rows import DiskRow, disk_key
from coordinator.store.rows import VIEW
from protocol.names import Incarnation


@dataclass(frozen=True, slots=True)
class Exempt:
    """Take those off the registrants that no view has any more, unfenced. Who lives is fenced."""

    request: RequestId
    disk: str
    oath: bool

    def draft(self, scene: Scene) -> Draft | Declined:
        row = disks.by_name(scene, self.disk)
        if row is None:
            return disks.unknown_disk(self.disk)
        dead = _dead(scene, row)
        if not dead:
            return _nothing_to_force(scene, row)
        if not self.oath:
            sentence = (
                f"The keys of {', '.join(dead)} have not been removed from {row.name}. Swear that"
                " their nodes are off, and stay so until they join again (oath); otherwise what"
                " they still write destroys what others write."
            )
            return Declined(409, "oath-missing", sentence)
        kept = tuple(r for r in row.registrants if r.incarnation not in dead)
        freed = replace(row, registrants=kept)
        note = chronicle.forced(row.name, row.volume, dead)
        return Draft(relies=(VIEW,), puts=((disk_key(row.id), freed.data()),), notes=(note,))

    def answer(self, scene: Scene) -> dict[str, object]:
        return {"disk": self.disk, "forced": True}


def _dead(scene: Scene, row: DiskRow) -> tuple[Incarnation, ...]:
    """Those who are to be fenced and are in no held view."""
    inside = fences.members(scene)
    lives = [life.incarnation for life in fences.departed(scene, row)]
    return tuple(sorted(life for life in lives if life not in inside))


def _nothing_to_force(scene: Scene, row: DiskRow) -> Declined:
    if lives := [life.incarnation for life in fences.departed(scene, row)]:
        sentence = (
            f"{', '.join(lives)}, whose keys are to be removed from {row.name}, is in the"
            " membership and lives: stop its node first, nobody can swear that it is off."
        )
        return Declined(409, "node-lives", sentence)
    sentence = f"Nobody who left can still write to {row.name}: there is nothing to force."
    return Declined(409, "nothing-to-force", sentence)
