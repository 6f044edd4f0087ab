"""The lab of the tests of bad input, and what it must not change in."""

import contextlib
import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from lab.home import LabRecord
from lab.procfs import machine_memory_bytes, runs
from protocol.names import PAGE_BYTES
from tests.live.cli import Cli

MACHINE_BYTES = machine_memory_bytes() // PAGE_BYTES * PAGE_BYTES
TOPOLOGY = f"""\
name: bad
timing: {{delay: 250ms, threshold: 5}}
networks:
  management: {{subnet: 10.0.1.0/24, gateway: true}}
  migration: {{subnet: 10.0.2.0/24}}
nodes:
  node1: {{memory: 1GiB}}
  node2: {{memory: 1GiB}}
  node3: {{memory: 1GiB}}
  node4: {{memory: {MACHINE_BYTES}}}
vms:
  sql01: {{memory: 16MiB, node: node1, fill: zero, workload: "hotspot:rate=1MB/s"}}
"""
ANSWERED_WITHIN_S = 10.0
SETTLED_WITHIN_S = 5.0


class Bad(Cli):
    """The lab of all tests here."""

    @property
    def record(self) -> LabRecord:
        return self.home.lab("bad")

    def address(self, node: str, network: str = "migration") -> str:
        return self.record.node(node).addresses[network]

    def control(self) -> tuple[str, int]:
        host, _, port = self.record.coordinators[0].control[0].rpartition(":")
        return host, int(port)

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """One request as it stands, with nobody between who would correct it."""
        where = urlsplit(self.record.api)
        assert where.hostname is not None
        link = http.client.HTTPConnection(where.hostname, where.port, timeout=ANSWERED_WITHIN_S)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            named = {"Content-Type": "application/json", **named}
        with contextlib.closing(link):
            link.request(method, f"/api/v1{path}", content, named)
            answer = link.getresponse()
            data: dict[str, Any] = json.loads(answer.read())
            return answer.status, data

    def get(self, path: str) -> Any:
        return self.ask("GET", path)[1]

    def picture(self) -> dict[str, Any]:
        """All that bad input must leave as it was."""
        status = {**self.get("/status"), "waiting": None}
        steady = ("name", "state", "node", "epoch", "memory_bytes", "workload", "wish", "attempt")
        vms = [{key: vm[key] for key in steady} for vm in self.get("/vms")]
        record = self.record
        return {
            "status": status,
            "vms": vms,
            "pids": sorted(process.pid for process in record.processes if runs(process)),
            "labs": sorted(child.name for child in (self.home.root / "labs").iterdir()),
            "octets": sorted(mark.name for mark in (self.home.root / "octets").iterdir()),
            "memory": sorted(path.name for path in record.state_dir.glob("nodes/*/vms/*")),
        }

    def steady(self) -> dict[str, Any]:
        """The picture, once every network is Up, as it is after the first few heartbeats."""
        while True:
            now = self.picture()
            if all(network["state"] == "Up" for network in now["status"]["networks"]):
                return now

    def settled(self, before: dict[str, Any]) -> dict[str, Any]:
        """The picture, once it is as it was, or as it still is when that takes too long.

        A heartbeat that is late on a busy machine shows in a network's state until the next one;
        what bad input had done would stay: views, terms and epochs never go back.
        """
        give_up_at = time.monotonic() + SETTLED_WITHIN_S
        while (now := self.picture()) != before and time.monotonic() < give_up_at:
            continue
        return now

    def until_node(self, node: str, state: str) -> None:
        """Follow the event stream until it says so."""
        where = urlsplit(self.record.api)
        assert where.hostname is not None
        link = http.client.HTTPConnection(where.hostname, where.port, timeout=ANSWERED_WITHIN_S)
        with contextlib.closing(link):
            link.request("GET", "/api/v1/events")
            for line in link.getresponse():
                if not line.startswith(b"data:"):
                    continue
                rows = json.loads(line[5:]).get("nodes", ())
                if (node, state) in [(row["name"], row["state"]) for row in rows]:
                    return
        raise AssertionError(f"{node} did not become {state}")

    def tracebacks(self) -> list[str]:
        logs = sorted((self.record.state_dir / "logs").glob("*.log"))
        return [log.name for log in logs if "Traceback" in log.read_text(errors="replace")]


def short(value: object) -> str:
    """The name of a case, not all of its bytes."""
    return str(value)[:40]


def one_sentence(said: str) -> str:
    assert said.startswith("hvlab: "), said
    assert said.count("\n") == 1, said
    assert said.endswith("\n")
    assert "Traceback" not in said
    return said
