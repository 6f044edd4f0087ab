"""Any sequence of operations, compared with a dict, and mounted anew after each."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent.volumes.errors import FileInUse, StaleEpoch, VolumeError, VolumeFull
from agent.volumes.extents import BLOCK_BYTES, Extent
from agent.volumes.grants import Opened
from tests.agent.volumes.ground import assert_sound, carry_out, content, formatted, mounted, owned

NAMES = st.sampled_from(["a", "B", "file", "Ä"])
SIZES = st.sampled_from([0, 1, 4096, 5000, 3 * 4096, 20 * 4096])


class Volume(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.image = formatted()
        self.epoch = 1
        self.filesystem = owned(self.image, self.epoch)
        self.files: dict[str, bytearray] = {}
        """By folded path; what a reader must see."""

        self.folders = {""}
        self.opened: dict[int, tuple[str, Opened]] = {}

    def done(self) -> None:
        carry_out(self.image, self.filesystem.commit())

    def path(self, folder: str, name: str) -> tuple[str, str]:
        """As it is asked and as the dict has it."""
        return f"{folder}/{name}", f"{folder}/{name}".upper()

    def is_open(self, key: str) -> bool:
        return any(path == key for path, _ in self.opened.values())

    @rule(name=NAMES)
    def make_folder(self, name: str) -> None:
        path, key = self.path("", name)
        if key in self.files or key in self.folders:
            with pytest.raises(VolumeError, match="already"):
                self.filesystem.make_folder(path)
        else:
            self.filesystem.make_folder(path)
            self.folders.add(key)
        self.done()

    @rule(data=st.data(), name=NAMES, size=SIZES)
    def create(self, data: st.DataObject, name: str, size: int) -> None:
        path, key = self.path(data.draw(st.sampled_from(sorted(self.folders))), name)
        if key in self.files or key in self.folders:
            with pytest.raises(VolumeError, match="already"):
                self.filesystem.create(path, size)
        else:
            try:
                self.filesystem.create(path, size)
            except VolumeFull:
                assert self.filesystem.free_bytes < size
            else:
                self.files[key] = bytearray(size)
        self.done()

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.files)))
        if self.is_open(key):
            with pytest.raises(FileInUse):
                self.filesystem.delete(key.lower())
        self.filesystem.delete(key.lower(), even_open=True)
        del self.files[key]
        self.opened = {
            grant: ("" if path == key else path, opened)
            for grant, (path, opened) in self.opened.items()
        }
        self.done()

    @precondition(lambda self: self.files)
    @rule(data=st.data(), name=NAMES, replace=st.booleans())
    def rename(self, data: st.DataObject, name: str, replace: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.files)))
        path, to = self.path(data.draw(st.sampled_from(sorted(self.folders))), name)
        taken = to != key and (to in self.folders or to in self.files)
        if taken and (not replace or to in self.folders or self.is_open(to)):
            with pytest.raises(VolumeError):
                self.filesystem.rename(key, path, replace)
        else:
            self.filesystem.rename(key, path, replace)
            self.files[to] = self.files.pop(key)
            self.opened = {
                grant: (to if where == key else where, opened)
                for grant, (where, opened) in self.opened.items()
            }
        self.done()

    @precondition(lambda self: self.files)
    @rule(data=st.data(), size=SIZES)
    def resize(self, data: st.DataObject, size: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.files)))
        now = self.files[key]
        try:
            if size >= len(now):
                self.filesystem.grow(key, size)
                now.extend(bytes(size - len(now)))
            else:
                size -= size % BLOCK_BYTES
                self.filesystem.truncate(key, size)
                del now[size:]
        except VolumeFull:
            assert self.filesystem.free_bytes < size
        self.done()

    @precondition(lambda self: self.files)
    @rule(data=st.data(), holder=st.sampled_from(["n1", "n2"]))
    def open(self, data: st.DataObject, holder: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.files)))
        opened = self.filesystem.open(key, holder, True, "vm", self.epoch)
        self.opened[opened.grant] = (key, opened)
        self.done()

    @precondition(lambda self: self.opened)
    @rule(data=st.data(), letter=st.sampled_from(b"xyz"), prepared=st.booleans())
    def write(self, data: st.DataObject, letter: int, prepared: bool) -> None:
        grant = data.draw(st.sampled_from(sorted(self.opened)))
        key, _ = self.opened[grant]
        if not key or not self.files[key]:
            return
        size = len(self.files[key])
        try:
            self.filesystem.look(grant)
        except StaleEpoch:
            newer = [other for other, (same, _) in self.opened.items() if same == key]
            assert max(newer) > grant, "the VM has opened it since, under a newer owner"
            return
        if prepared:
            extents = self.filesystem.convert(grant, 0, size)
            self.done()
            self.scribble(extents, size, letter)
        else:
            self.scribble(self.filesystem.look(grant).extents, size, letter)
            self.filesystem.mark_written(grant, 0, size)
            self.done()
        self.files[key][:] = bytes([letter]) * size

    def scribble(self, extents: tuple[Extent, ...], size: int, letter: int) -> None:
        left = size
        for extent in extents:
            start = extent.start * BLOCK_BYTES
            length = min(left, extent.blocks * BLOCK_BYTES)
            padded = bytes([letter]) * length
            padded += bytes(-len(padded) % BLOCK_BYTES)
            self.image[start : start + len(padded)] = padded
            left -= length

    @precondition(lambda self: self.opened)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        grant = data.draw(st.sampled_from(sorted(self.opened)))
        self.filesystem.close(grant)
        del self.opened[grant]
        self.done()

    @rule(holder=st.sampled_from(["n1", "n2"]))
    def fence(self, holder: str) -> None:
        self.filesystem.fence(holder)
        left = {grant.id for grant in self.filesystem.metadata.grants.values()}
        self.opened = {grant: kept for grant, kept in self.opened.items() if grant in left}
        self.done()

    @rule()
    def change_the_owner(self) -> None:
        self.epoch += 1
        self.filesystem = owned(self.image, self.epoch)

    @invariant()
    def every_mount_shows_what_the_dict_has(self) -> None:
        found: Any = mounted(self.image, self.epoch).filesystem
        assert found.read_only_because is None
        assert_sound(found)
        assert_sound(self.filesystem)
        seen = {}
        folders = {""}
        for folder in sorted(self.folders):
            for entry in found.list(folder or "/"):
                key = f"{folder}/{entry.name}".upper()
                if entry.is_folder:
                    folders.add(key)
                else:
                    seen[key] = content(self.image, found, entry.file)
        assert folders == self.folders
        assert seen == {key: bytes(held) for key, held in self.files.items()}
        assert found.metadata.grants.keys() == self.opened.keys()


TestVolume = pytest.mark.slow(Volume.TestCase)
TestVolume.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
