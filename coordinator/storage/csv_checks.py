"""Checks of volumes that operators wait for: asked of the owner, answered when it has looked."""

from dataclasses import dataclass

from coordinator.desk import Desk
from coordinator.events import RequestId
from coordinator.membership.agents import Agent
from coordinator.pen import Draft
from coordinator.requests import Accepted, Declined, Unknown
from coordinator.scene import Scene
from coordinator.storage import disks
from coordinator.store.disk_rows import DiskRow, DiskState
from protocol.disks import DiskId
from protocol.messages import CheckVolume, VolumeChecked
from protocol.names import Epoch, Incarnation

CHECK_MAX_S = 25.0


@dataclass(frozen=True, slots=True)
class _Asked:
    request: RequestId
    volume: str
    disk: DiskId
    owner: Incarnation
    epoch: Epoch
    until: float


@dataclass(frozen=True, slots=True)
class AskCheck:
    """Writes nothing; that the store takes it shows that this coordinator leads still."""

    request: RequestId
    volume: str

    def draft(self, scene: Scene) -> Draft | Declined:
        row = disks.by_name(scene, self.volume)
        if row is None or not disks.is_csv(row):
            return disks.unknown_volume(self.volume)
        if _checker(scene, row) is None:
            sentence = f"Nobody serves {row.volume}, who could check it: wait until it is Online."
            return Declined(409, "volume-offline", sentence)
        return Draft()


def _checker(scene: Scene, row: DiskRow) -> Agent | None:
    if row.state is not DiskState.ONLINE:
        return None
    return scene.agents.living(row.owner, row.owner_incarnation)


class Checks:
    """Nothing is written: who asked is answered, or told to ask again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: dict[int, _Asked] = {}
        self._last = 0

    def begin(self, request: RequestId, volume: str) -> None:
        """The check was let through: its owner is asked."""
        scene = self._desk.scene
        row = disks.by_name(scene, volume)
        agent = None if row is None else _checker(scene, row)
        if row is None or agent is None:
            self._desk.answer(request, Unknown(f"Nobody serves {volume} any more: ask again."))
            return
        self._last += 1
        until = scene.now + CHECK_MAX_S
        self._asked[self._last] = _Asked(
            *(request, row.volume, row.id, agent.incarnation, row.epoch, until)
        )
        head = self._desk.cluster, scene.term, agent.incarnation
        self._desk.send(agent, CheckVolume(*head, row.id, row.epoch, self._last))

    def checked(self, said: VolumeChecked) -> None:
        asked = self._asked.get(said.check)
        about = said.incarnation, said.disk, said.epoch
        if asked is None or (asked.owner, asked.disk, asked.epoch) != about:
            return
        del self._asked[said.check]
        if said.reason:
            refusal = Declined(409, "not-checked", f"{asked.volume} was not checked: {said.reason}")
            self._desk.answer(asked.request, refusal)
            return
        body = {
            "volume": asked.volume,
            "epoch": said.epoch,
            "files": said.files,
            "sound": not said.findings,
            "findings": list(said.findings),
        }
        self._desk.answer(asked.request, Accepted(body))

    def tick(self) -> None:
        now = self._desk.scene.now
        for check, asked in list(self._asked.items()):
            if now >= asked.until:
                del self._asked[check]
                sentence = f"The owner of {asked.volume} has not answered: ask again."
                self._desk.answer(asked.request, Unknown(sentence))

    def give_up(self) -> None:
        for asked in self._asked.values():
            self._desk.answer(asked.request, Unknown("The coordinator stopped leading: ask again."))
        self._asked.clear()
