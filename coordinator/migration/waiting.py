"""Lets those migrations begin that have waited, whenever there is a place for them."""

from collections import Counter
from dataclasses import dataclass, replace

from coordinator.desk import Desk
from coordinator.migration import admission, queue
from coordinator.migration.attempts import begun, refused
from coordinator.pen import Draft
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.shown import chronicle
from coordinator.store.queue_rows import queued_key
from coordinator.store.rows import attempt_key
from protocol.names import AttemptId, NodeName


@dataclass(frozen=True, slots=True)
class Begin:
    """S2 of one that has waited: its attempt, or the record of why there will be none."""

    attempt: AttemptId

    def draft(self, scene: Scene) -> Draft | None:
        row = scene.book.queued.get(self.attempt)
        if row is None:
            return None
        checked = admission.check_policy(row.policy) or admission.migration_target(
            scene, row.vm, row.target
        )
        new = queue.as_attempt(scene, row, "")
        if isinstance(checked, Declined):
            if checked.code in queue.WAITS:
                return None
            ended = refused(scene, new, checked)
            note = chronicle.migration_refused(row.vm, row.id, checked.sentence)
            return Draft(
                puts=((attempt_key(row.id), ended.data()),),
                deletes=(queued_key(row.id),),
                notes=(note,),
            )
        return replace(begun(scene, new, *checked), deletes=(queued_key(row.id),))


class Waiting:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def tick(self) -> None:
        scene = self._desk.scene
        if not scene.book.queued:
            return
        kept: Counter[NodeName] = Counter()
        for row, checked in queue.looked_at(scene, queue.in_order(scene.book), kept):
            if not isinstance(checked, Declined) or checked.code not in queue.WAITS:
                self._desk.pen.put(Begin(row.id))
