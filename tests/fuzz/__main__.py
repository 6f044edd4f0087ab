"""Looks for bytes that a receiver of pages does not survive: `python -m tests.fuzz`.

Guided by what they reach in the agent, where atheris is installed; its words are libFuzzer's, like
`-max_total_time=60`, or a file with bytes to repeat. Elsewhere bytes are drawn blindly, as many as
the first word says.
"""

import importlib
import importlib.util
import os
import sys


def main(words: list[str]) -> None:
    if importlib.util.find_spec("atheris") is None:
        pages = importlib.import_module("tests.fuzz.pages")
        count = int(words[0]) if words and words[0].isdecimal() else 10_000
        for _ in range(count):
            pages.try_one(os.urandom(512))
        print(f"fuzz: {count} inputs, drawn blindly since atheris is not installed; none was fatal")
        return
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["agent"]):
        pages = importlib.import_module("tests.fuzz.pages")
    atheris.Setup([sys.argv[0], *words], pages.try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
