"""The command as people call it, in this process or in one of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvloop

from lab.__main__ import program
from lab.commands import find_api
from lab.errors import LabError
from lab.home import Home
from shell.errors import DONE, ShellError
from shell.io.desk import LiveDesk, invoke

ROOT = Path(__file__).parent.parent.parent
WITHIN_S = 120.0
KNOWN = (ShellError, LabError)
# The first loop of a process opens a pipe for all of them, which is no leak of any test.
uvloop.new_event_loop().close()


class Cli:
    """`hvlab` with a home of its own."""

    def __init__(self, folder: Path, topology: str) -> None:
        self.home = Home(folder / "home")
        self.topology = folder / "lab.yaml"
        self.topology.write_text(topology)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HVLAB_")}
        self.env = {**kept, "HVLAB_HOME": str(self.home.root)}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "lab", *words]

    def run(self, *words: str) -> tuple[int, str, str]:
        """In a process of its own: what starts programs shall not be this one."""
        done = subprocess.run(
            self.argv(*words),
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def call(self, *words: str) -> tuple[int, str, str]:
        """In this process, which saves the start of another one."""
        out, err = io.StringIO(), io.StringIO()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.env)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = invoke(program(), words, LiveDesk(find_api, patience_s=0.2), KNOWN)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return code, out.getvalue(), err.getvalue()

    def data(self, *words: str, code: int = DONE, apart: bool = False) -> Any:
        """What a command prints for scripts; it must end with `code`."""
        ended, out, err = (self.run if apart else self.call)(*words, "--json")
        assert ended == code, (words, out, err)
        return json.loads(out)
