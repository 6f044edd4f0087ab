"""`iperf3` as a yardstick for the wire: what a sender that keeps nothing gets through loopback."""

import json
import shutil
import subprocess
from contextlib import suppress

from agent.io.stream import CONGESTION_CONTROL
from lab.errors import LabError

SECONDS = 2
PIECE = "1M"
READY_S = 10.0


def iperf_bytes_per_s(streams: int = 1) -> float:
    """One short run; LabError says what to install."""
    program = shutil.which("iperf3")
    if program is None:
        raise LabError("There is no iperf3 here: install Debian's package iperf3.")
    server, port = _serving(program)
    try:
        words = [program, "-c", "127.0.0.1", "-p", str(port), "-J", "-l", PIECE]
        words += ["-t", str(SECONDS), "-P", str(streams), "-C", CONGESTION_CONTROL.decode()]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS + READY_S)
        return received_bytes_per_s(done.stdout)
    finally:
        server.kill()
        server.communicate()


def received_bytes_per_s(told: str) -> float:
    """Of what `iperf3 -J` prints."""
    try:
        data = json.loads(told)
        if "error" in data:
            raise LabError(f"iperf3 says: {data['error']}.")
        return float(data["end"]["sum_received"]["bits_per_second"]) / 8
    except (ValueError, KeyError) as error:
        raise LabError(f"iperf3 did not say how fast it was: {told[:80]!r}") from error


def _serving(program: str) -> tuple["subprocess.Popen[str]", int]:
    """A server on a port that was free a moment ago: iperf3 cannot tell which one it was given."""
    from lab.tgtd import free_ports

    (port,) = free_ports(1)
    words = [program, "-s", "-1", "-p", str(port), "--forceflush"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    with suppress(StopIteration):
        while "listening" not in next(server.stdout):
            pass
    return server, port
