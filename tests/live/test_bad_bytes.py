"""Bad requests, frames and datagrams, and programs that are there twice: nothing is disturbed."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from protocol.codec import FRAME_BYTES_MAX, LENGTH, encode, encode_frame
from protocol.messages import Ping
from protocol.names import ClusterId, Term
from shell.errors import FAILED
from tests.live.bad_lab import ANSWERED_WITHIN_S, Bad, short
from tests.live.cli import ROOT, WITHIN_S

GROWN_BYTES_MAX = 32 * 2**20
"""What a program may grow by while it is shouted at; a frame that was believed takes far more."""

# ---- HTTP

VM = {"name": "a", "memory": "1MiB"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("POST", "/vms", b"{not json", 422, "The body is not JSON"),
        ("POST", "/vms", b"\xff\xfe", 422, "The body is not JSON"),
        ("POST", "/vms", b"[" * 60_000, 422, "The body is not JSON: recursion limit"),
        ("POST", "/vms", b"", 422, "The body is not JSON"),
        ("POST", "/vms", [VM], 422, "must be a JSON object with name, memory, node"),
        ("POST", "/vms", b" " * 70_000, 413, "larger than 65536 bytes: send less"),
        ("POST", "/vms", {**VM, "colour": "red"}, 422, "There is no field 'colour' here: there is"),
        ("POST", "/vms", {**VM, "name": 7}, 422, "'name' is wrong (input should be a valid string"),
        ("POST", "/vms", {**VM, "memory": True}, 422, "'memory' is wrong"),
        ("POST", "/vms", {**VM, "memory": 2**70}, 422, "No node has"),
        ("POST", "/vms", {**VM, "memory": 0}, 422, "cannot have 0 bytes"),
        ("POST", "/vms", {**VM, "memory": -4096}, 422, "cannot have -4096 bytes"),
        ("POST", "/vms", {**VM, "memory": 4097}, 422, "4096 or 8192 would be"),
        ("POST", "/vms", {**VM, "memory": "12 parsecs"}, 422, "'12 parsecs' is no size"),
        ("POST", "/vms", {**VM, "memory": "1" * 5000}, 422, "longer than 100 characters"),
        ("POST", "/vms", {**VM, "workload": "dance"}, 422, "no workload 'dance'"),
        ("POST", "/vms", {**VM, "workload": "wave:set=2MiB"}, 422, "does not fit a VM of"),
        ("POST", "/vms", {**VM, "start": "yes"}, 422, "'start' is wrong"),
        ("POST", "/vms", {**VM, "name": "."}, 422, "is no name for a VM"),
        ("POST", "/vms", {**VM, "name": "a\n"}, 422, "is no name for a VM"),
        ("POST", "/vms", {**VM, "name": "sql01"}, 409, "exists already: choose another name"),
        ("POST", "/vms", {**VM, "node": "node9"}, 404, "no node 'node9'"),
        ("POST", "/vms", {"name": "a"}, 422, "'memory' is missing"),
        ("POST", "/vms/sql01/migrate", {"to": "node1"}, 409, "choose another node"),
        ("POST", "/vms/sql01/migrate", {"to": "node3"}, 409, "node3 is Paused"),
        ("POST", "/vms/sql01/migrate", {"to": "node9"}, 404, "no node 'node9'"),
        ("POST", "/vms/sql01/migrate", {"to": 7}, 422, "'to' is wrong"),
        ("POST", "/vms/sql01/migrate", {"policy": "magic"}, 422, "choose one of 2008r2"),
        ("POST", "/vms/off01/migrate", {"to": "node1"}, 409, "off01 is off: start it"),
        ("POST", "/vms/nope/migrate", {}, 404, "There is no VM 'nope'"),
        ("POST", f"/vms/{'n' * 4000}/migrate", {}, 404, "names have 1 to 64 characters"),
        ("POST", "/vms/%00/migrate", {}, 404, "all of them printable"),
        ("GET", "/attempts/99999", None, 404, "no migration attempt '99999': name one"),
        ("GET", "/attempts/last", None, 404, "no migration attempt 'last': name one"),
        ("POST", "/attempts/99999/cancel", None, 404, "no migration attempt 99999: name one"),
        ("GET", "/attempts?limit=0", None, 422, "'limit' is wrong"),
        ("GET", "/log?after=-1", None, 422, "'after' is wrong"),
        ("GET", "/events?after=soon", None, 422, "'after' is wrong"),
        ("GET", "/status?verbose=1", None, 422, "takes no parameters: leave out"),
        ("GET", "/nothing", None, 404, "There is nothing at /api/v1/nothing: /api/docs shows"),
        ("PUT", "/vms", VM, 405, "PUT does not go here: /api/v1/vms knows GET, POST"),
        ("POST", "/cluster", {"name": "b", "nodes": ["node1"]}, 409, "leads the cluster bad"),
        ("POST", "/cluster", {"name": "b", "nodes": []}, 422, "'nodes' is wrong"),
        ("POST", "/nodes", {"node": "node9"}, 409, "node9 is not connected: start its agent"),
        ("POST", "/nodes", {"node": "node1"}, 409, "node1 belongs to this cluster already: join"),
        ("POST", "/nodes/node9/pause", {}, 404, "no node 'node9'"),
        ("POST", "/nodes/node1/pause", {"drain": "yes"}, 422, "'drain' is wrong"),
    ],
    ids=short,
)
def test_a_request_that_is_off_is_a_4xx_with_a_sentence(
    unhurt: Bad, method: str, path: str, body: Any, status: int, says: str
) -> None:
    answered, data = unhurt.ask(method, path, body)

    sentence = data["error"]["message"]
    assert answered == status, sentence
    assert says in sentence
    assert len(sentence) < 400
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("headers", "status", "says"),
    [
        ({"Host": "evil.example"}, 403, "not called 'evil.example': address it by its IP"),
        ({"Origin": "http://evil.example"}, 403, "another origin may not use this API"),
        ({"Origin": "null"}, 403, "call it from a program"),
        ({"Content_Type": "text/plain"}, 415, "The body is text/plain: send application/json"),
    ],
    ids=short,
)
def test_a_foreign_page_gets_nothing_done(
    unhurt: Bad, headers: dict[str, str], status: int, says: str
) -> None:
    answered, data = unhurt.ask("POST", "/vms", VM, **headers)

    assert answered == status
    assert says in data["error"]["message"]


def test_bytes_that_are_no_http_cost_a_line_in_the_log(unhurt: Bad) -> None:
    where = urlsplit(unhurt.record.api)
    for noise in (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\r\n\r\n"):
        with socket.create_connection((where.hostname, where.port), ANSWERED_WITHIN_S) as link:
            link.sendall(noise)
            assert link.recv(4096).startswith(b"HTTP/1.0 400 ") or link.recv(1) == b""


# ---- frames and datagrams


PING = Ping(ClusterId("none"), Term(7), 1)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hung_up(where: tuple[str, int], *pieces: bytes) -> bool:
    """Whether the other side ends the connection while, or soon after, it is told all this."""
    with socket.create_connection(where, ANSWERED_WITHIN_S) as link:
        try:
            for piece in pieces:
                link.sendall(piece)
            while link.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            return True
        return True  # a socket that stays open raises TimeoutError instead


@pytest.mark.parametrize("size", [2**32 - 1, FRAME_BYTES_MAX + 1])
def test_a_frame_of_4_gib_ends_its_connection_and_nothing_else(unhurt: Bad, size: int) -> None:
    record = unhurt.record
    programs = {"coordinator": record.coordinators[0].pid, "node1": record.node("node1").pid}
    before = {name: resident_bytes(pid) for name, pid in programs.items()}
    body = b"\xee" * 2**20

    for where in (unhurt.control(), (unhurt.address("node1"), 6600)):
        assert hung_up(where, LENGTH.pack(size), *([body] * 16))

    for name, pid in programs.items():
        assert resident_bytes(pid) - before[name] < GROWN_BYTES_MAX


@pytest.mark.parametrize(
    "noise",
    [
        LENGTH.pack(3) + b"\xff\xff\xff",
        LENGTH.pack(1) + b"\x01",
        encode_frame(PING)[:-1] + b"\xc1",
        b"\xa5" * 4096,
        LENGTH.pack(0),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["version", "short", "msgpack", "noise", "empty", "http"],
)
def test_garbage_ends_its_connection_and_nothing_else(unhurt: Bad, noise: bytes) -> None:
    for where in (unhurt.control(), (unhurt.address("node1"), 6600)):
        assert hung_up(where, noise)


def test_garbage_at_the_heartbeat_port_is_not_heard(unhurt: Bad) -> None:
    pid = unhurt.record.node("node1").pid
    before = resident_bytes(pid)
    newest = unhurt.get("/log")[-1]["index"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
        for size in (0, 1, 2, 5, 100, 1472, 9000, 60_000):
            for _ in range(50):
                noise.sendto(os.urandom(size), (unhurt.address("node1"), 3343))
        noise.sendto(encode(PING), (unhurt.address("node1"), 3343))

    assert resident_bytes(pid) - before < GROWN_BYTES_MAX
    assert [row["text"] for row in unhurt.get(f"/log?after={newest}")] == []


# ---- seconds of what may be there once


def refused(argv: list[str]) -> str:
    """What a program says that must not start, on one line."""
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert (done.returncode, done.stdout) == (FAILED, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def with_options(argv: tuple[str, ...], **options: str) -> list[str]:
    """`argv` with the options of those names set anew."""
    words = list(argv)
    for name, value in options.items():
        words[words.index(f"--{name.replace('_', '-')}") + 1] = value
    return words


def test_a_second_coordinator_on_the_same_store_is_refused(unhurt: Bad) -> None:
    first = unhurt.record.coordinators[0]

    said = refused(list(first.argv))

    assert said.startswith("coordinator: the store ")
    assert f"is held by the coordinator with pid {first.pid}: stop that one" in said


def test_a_coordinator_whose_ports_are_in_use_is_refused(unhurt: Bad, tmp_path: Path) -> None:
    first = unhurt.record.coordinators[0]
    host, port = unhurt.control()

    said = refused(with_options(first.argv, state_dir=str(tmp_path / "new")))
    assert f"{host} port {port}" in said or f"{host}:{port}" in said
    assert "in use" in said

    free = [sys.executable, "-m", "coordinator", "--listen", "127.0.0.1:0"]
    api = urlsplit(unhurt.record.api).netloc
    said = refused([*free, "--state-dir", str(tmp_path / "other"), "--api", api])
    assert "port 8480 for the API" in said
    assert "in use" in said


def test_a_second_agent_of_the_same_node_is_refused(unhurt: Bad, tmp_path: Path) -> None:
    first = unhurt.record.node("node2")

    said = refused(list(first.argv))
    assert (
        f"is in use by the agent with pid {first.pid}; give each node a folder of its own" in said
    )

    said = refused(with_options(first.argv, state_dir=str(tmp_path / "new")))
    assert "UDP port 3343: Address already in use; end what uses it or choose another" in said

    said = refused(with_options(first.argv, state_dir=str(tmp_path / "other"), heartbeat_port="0"))
    assert "TCP port 6600: Address already in use; end what uses it or choose another" in said
