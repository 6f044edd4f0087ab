import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from agent.io import policy_files
from agent.io.policy_files import policies_in, with_plug_ins
from agent.policies import BUILT_IN
from protocol.errors import Refused

GOOD = """
from dataclasses import dataclass
from agent.policies import Another, Policy, Stop

@dataclass(frozen=True)
class TwoRounds(Policy):
    name = "lab.two-rounds"
    rounds: int = 2

    def decide(self, seen):
        if len(seen.rounds) >= self.rounds:
            return Stop("Enough rounds.")
        return Another("Not enough rounds.")
"""
BAD = {
    "class (": "cannot be used: line 1: ",
    "import no_such_thing": "cannot be used: line 1: ModuleNotFoundError: No module named",
    "raise SystemExit(3)": "cannot be used: line 1: SystemExit: 3",
    "x = 1": "defines no policy: a class that derives from agent.policies.Policy",
    "from agent.policies import Policy": "defines no policy",
    GOOD.replace("lab.two-rounds", "two"): "the name of TwoRounds is 'two'; it must have a dot",
    GOOD.replace("lab.two-rounds", "a.b:c"): "the name of TwoRounds is 'a.b:c'; it must have",
    GOOD.replace('    name = "lab.two-rounds"', ""): "the name of TwoRounds is None",
    GOOD.replace(" = 2", ""): "TwoRounds cannot be made without numbers: TypeError",
}


def written(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_brings_policies_that_can_be_asked_for_by_name(tmp_path: Path) -> None:
    shelf = with_plug_ins([written(tmp_path, GOOD)])

    assert shelf.find("lab.two-rounds:rounds=5").__dict__ == {"rounds": 5}
    assert set(BUILT_IN.known) < set(shelf.known)


@pytest.mark.parametrize(("text", "sentence"), BAD.items(), ids=lambda words: words[:40])
def test_a_bad_file_is_refused_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        with_plug_ins([written(tmp_path, text)])

    said = str(refused.value)
    assert sentence in said
    assert said.startswith(f"Policy file {tmp_path / 'mine.py'}")
    assert "\n" not in said


def test_a_file_that_is_not_there_and_a_name_that_is_taken_are_refused(tmp_path: Path) -> None:
    twice = [written(tmp_path, GOOD, "one.py"), written(tmp_path, GOOD, "two.py")]

    with pytest.raises(Refused, match=r"there is a policy 'lab\.two-rounds' already"):
        with_plug_ins(twice)
    with pytest.raises(Refused, match=r"cannot be read: No such file"):
        policies_in(tmp_path / "none.py")


def test_a_package_that_cannot_be_used_costs_no_more_than_its_own_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, GOOD, "package_of_policies.py")
    monkeypatch.syspath_prepend(tmp_path)
    told = tmp_path / "package_of_policies-1.dist-info"
    told.mkdir()
    written(told, "Name: package-of-policies\nVersion: 1\n", "METADATA")
    offers = {
        "lab.two-rounds": "package_of_policies:TwoRounds",
        "lab.gone": "package_of_policies:Gone",
        "lab.none": "package_of_policies:Stop",
    }
    lines = "\n".join(f"{name} = {place}" for name, place in offers.items())
    written(told, f"[{policy_files.ENTRY_POINTS}]\n{lines}\n", "entry_points.txt")
    assert len(metadata.entry_points(group=policy_files.ENTRY_POINTS)) == 3

    shelf = with_plug_ins([])

    assert shelf.why_not("lab.two-rounds") is None
    assert "cannot be used: package_of_policies:Gone cannot be loaded: " in str(
        shelf.why_not("lab.gone")
    )
    assert "is no class that derives from" in str(shelf.why_not("lab.none"))


def test_a_node_that_is_told_of_a_bad_file_says_so_and_shows_no_traceback(tmp_path: Path) -> None:
    path = written(tmp_path, "def decide(:")
    words = [
        *("--node", "node1", "--state-dir", str(tmp_path / "state")),
        *("--network", "lan=127.0.0.1", "--coordinator", "127.0.0.1:1"),
        *("--memory-bytes", "65536", "--policy-file", str(path)),
    ]

    ended = subprocess.run(
        [sys.executable, "-m", "agent", *words], capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"agent node1: Policy file {path} cannot be used: line 1: ")
    assert "Traceback" not in ended.stderr
