"""A san as a process, for tests that speak to it as others do."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = "iqn.2012-09.lab.hvlab:san"


@dataclass
class Serving:
    process: asyncio.subprocess.Process
    ready: dict[str, Any]
    state: Path

    @property
    def portal(self) -> str:
        return f"iscsi://{self.ready['portals'][0]}"

    @property
    def url(self) -> str:
        return f"{self.portal}/{TARGET}/0"

    async def stop(self) -> int:
        self.process.terminate()
        return await self.process.wait()


@contextlib.asynccontextmanager
async def serving(state: Path, *more: str, size: str = "64MiB") -> AsyncIterator[Serving]:
    """On a free port, ended with the context."""
    words = ("--state-dir", str(state), "--portal", "127.0.0.1:0", "--lun", f"data={size}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "san", *words, *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert line.startswith("ready "), line
        yield Serving(process, json.loads(line.removeprefix("ready ")), state)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(*words: str, patience_s: float = 60.0) -> tuple[int, str]:
    """How a tool ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(patience_s):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")
