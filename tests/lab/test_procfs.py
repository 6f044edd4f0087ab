import os
import signal
from dataclasses import replace

from lab.procfs import Process, boot_id, family, machine_memory_bytes, runs, send, stat


def me() -> Process:
    now = stat(os.getpid())
    assert now is not None
    return now.process


def test_a_process_is_known_by_pid_and_start_time() -> None:
    assert runs(me())
    assert not runs(replace(me(), start_time=me().start_time - 1))


def test_a_signal_never_reaches_a_later_process_of_the_same_pid() -> None:
    earlier = replace(me(), start_time=me().start_time - 1)
    assert not send(earlier, signal.SIGKILL)


def test_a_dead_process_and_a_pid_that_nobody_has_are_gone() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    zombie = stat(pid)
    assert zombie is not None
    assert not runs(zombie.process)
    assert not send(zombie.process, signal.SIGTERM)

    os.waitpid(pid, 0)
    assert stat(pid) is None
    assert not send(zombie.process, signal.SIGTERM)


def test_nobody_is_the_family_of_a_process_whose_pid_is_somebody_elses_now() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        assert [process.pid for process in family(me())] == [pid]
        assert family(replace(me(), start_time=me().start_time - 1)) == ()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_machine_says_its_boot_and_its_memory() -> None:
    assert boot_id() == boot_id() != ""
    assert machine_memory_bytes() > 2**20
