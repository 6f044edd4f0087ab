import os
import random
import select
import signal
import stat
from pathlib import Path

import pytest

from agent.actions import NodeRecord
from agent.io.record import StateFolder
from protocol.errors import Refused
from protocol.names import ClusterId, NodeName, Term, Timing, ViewNumber, VoteConfig


def record(number: int) -> NodeRecord:
    votes = tuple((NodeName(f"node{node}"), 1) for node in range(1, 60))
    return NodeRecord(
        cluster=ClusterId("c"),
        highest_term=Term(number),
        view=ViewNumber(number),
        votes=VoteConfig(number, votes),
        timing=Timing(0.25, 5),
        outlast_s=9.5,
    )


def test_a_new_folder_is_private_and_knows_nothing(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "deep" / "node1")
    assert folder.load() == NodeRecord()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.close()


@pytest.mark.parametrize("kept", [NodeRecord(), record(7)])
def test_what_was_kept_is_there_in_the_next_life(tmp_path: Path, kept: NodeRecord) -> None:
    folder = StateFolder(tmp_path)
    folder.keep(record(3))
    folder.keep(kept)
    folder.close()

    again = StateFolder(tmp_path)
    assert again.load() == kept
    assert {path.name for path in tmp_path.iterdir()} == {"agent.lock", "node.msgpack"}
    assert stat.S_IMODE((tmp_path / "node.msgpack").stat().st_mode) == 0o600
    again.close()


def test_a_second_agent_on_the_folder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with pytest.raises(Refused, match=f"in use by the agent with pid {os.getpid()}; give each"):
        StateFolder(tmp_path)
    folder.close()
    StateFolder(tmp_path).close()


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", b"\x81\xa6format\x63"])
def test_a_record_that_cannot_be_read_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes
) -> None:
    folder = StateFolder(tmp_path)
    (tmp_path / "node.msgpack").write_bytes(content)
    with pytest.raises(Refused, match=r"node\.msgpack cannot be read .* put it back"):
        folder.load()
    folder.close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be used"):
        StateFolder(tmp_path / "file")


def test_a_kill_at_any_moment_leaves_one_whole_record_and_a_free_folder(tmp_path: Path) -> None:
    chance = random.Random(1)
    last = 0
    for _ in range(10):
        told, tells = os.pipe()
        pid = os.fork()
        if pid == 0:
            keep_for_ever(tmp_path, tells, last)
        os.close(tells)
        os.read(told, 8)
        select.select([], [], [], chance.uniform(0.0, 0.01))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(told)

        folder = StateFolder(tmp_path)
        kept = folder.load()
        folder.close()
        assert kept == record(kept.highest_term)
        assert kept.highest_term > last
        last = kept.highest_term


def keep_for_ever(path: Path, tells: int, number: int) -> None:
    """In a process of its own, until it is killed."""
    try:
        folder = StateFolder(path)
        while True:
            number += 1
            folder.keep(record(number))
            if tells >= 0:
                os.write(tells, b"kept")
                os.close(tells)
                tells = -1
    finally:
        os._exit(1)
