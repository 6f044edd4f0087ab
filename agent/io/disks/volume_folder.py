"""`ClusterStorage/VolumeN` on this node: a folder for each shared volume, which says what it is."""

import json
from pathlib import Path

from protocol.disks import FolderTrouble, VolumeStatus
from protocol.names import VolumeName

LABEL = "volume.json"
MARK = ".hvlab"


class VolumeFolders:
    """Under the node's state folder. Only names and labels lie there; the files are on the
    volumes, and reached through the agent.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self.root = ""
        self.trouble = FolderTrouble.NONE
        self.trouble_text = ""
        self._shown: dict[VolumeName, str] = {}

    def name_root(self, root: str) -> None:
        """A root that is renamed takes its folders along; a stranger of its name is moved away."""
        if not root or root == self.root:
            return
        self.trouble, self.trouble_text = FolderTrouble.NONE, ""
        path = self._base / root
        try:
            if self.root and (self._base / self.root).is_dir() and not path.exists():
                (self._base / self.root).rename(path)
            elif path.exists() and not (path / MARK).exists():
                aside = self._free_name(path)
                path.rename(aside)
                self.trouble = FolderTrouble.RENAMED
                self.trouble_text = f"{path.name} was there already and is now {aside.name}."
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            (path / MARK).touch()
        except OSError as error:
            self.trouble = FolderTrouble.FAILED
            self.trouble_text = f"{path} could not be made: {error.strerror}."
            return
        self.root = root

    def _free_name(self, path: Path) -> Path:
        number = 1
        while (aside := path.with_name(f"{path.name}.old{number}")).exists():
            number += 1
        return aside

    def show(self, status: VolumeStatus, owner: str) -> None:
        label = json.dumps(
            {
                "volume": status.volume,
                "disk": status.disk,
                "owner": owner,
                "epoch": int(status.epoch),
                "state": status.access.value,
                "reason": status.reason,
            },
            indent=1,
        )
        if not self.root or self._shown.get(status.volume) == label:
            return
        folder = self._base / self.root / status.volume
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            fresh = folder / f".{LABEL}"
            fresh.write_text(label)
            fresh.replace(folder / LABEL)
        except OSError as error:
            self.trouble = FolderTrouble.FAILED
            self.trouble_text = f"{folder} could not be made: {error.strerror}."
            return
        self._shown[status.volume] = label

    def hide(self, volume: VolumeName) -> None:
        """Only what lies there of ours goes."""
        self._shown.pop(volume, None)
        folder = self._base / self.root / volume
        if not self.root or not folder.is_dir():
            return
        try:
            (folder / LABEL).unlink(missing_ok=True)
            folder.rmdir()
        except OSError as error:
            self.trouble = FolderTrouble.FAILED
            self.trouble_text = f"{folder} could not be removed: {error.strerror}."
