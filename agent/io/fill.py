"""What a new VM's memory holds before its guest's first step."""

import itertools
import os
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from agent.guests import advanced, mixed
from agent.io.memory import VmMemory
from protocol.names import Fill

_CHUNK_BYTES = 8 << 20
_MIXED_AT_ONCE_WORDS = 1 << 15
_FILE_SUFFIXES = (".py", ".so")


def filled(memory: VmMemory, fill: Fill, seed: int) -> Iterator[int]:
    """Fill the memory by what `fill` names; after each chunk the bytes there are so far.

    The same seed fills memory of the same size alike (of files: on the same machine).
    """
    match fill:
        case Fill.RANDOM:
            return _random(memory, seed)
        case Fill.FILES:
            return _files(memory, seed, python_files())
        case Fill.ZERO:
            return iter(())


def _random(memory: VmMemory, seed: int) -> Iterator[int]:
    words = memory.array.reshape(-1)
    state = advanced(0, seed << 32)
    per_chunk = _CHUNK_BYTES // 8
    for start in range(0, len(words), _MIXED_AT_ONCE_WORDS):
        part = words[start : start + _MIXED_AT_ONCE_WORDS]
        part[:] = mixed(advanced(state, start), len(part))
        done = start + len(part)
        if done % per_chunk == 0 or done == len(words):
            yield done * 8


def python_files() -> list[str]:
    """The Python installation's files: real code and data, and on every machine that runs this."""
    roots = {sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")}
    names = {
        os.path.join(folder, name)  # noqa: PTH118 - ten thousands of names: plain text is faster
        for root in roots
        for folder, _, names in os.walk(root or "")
        for name in names
        if name.endswith(_FILE_SUFFIXES)
    }
    return sorted(names)


def _files(memory: VmMemory, seed: int, paths: list[str]) -> Iterator[int]:
    """The files one after the other, from one that the seed chooses; again from the first when all
    were used."""
    start = random.Random(seed).randrange(len(paths))
    position = reported = 0
    for path in itertools.cycle(paths[start:] + paths[:start]):
        with Path(path).open("rb", buffering=0) as file:
            while position < memory.memory_bytes:
                count = file.readinto(memory.view[position : position + _CHUNK_BYTES])
                if not count:
                    break
                position += count
        if position - reported >= _CHUNK_BYTES or position == memory.memory_bytes:
            reported = position
            yield position
        if position == memory.memory_bytes:
            return
