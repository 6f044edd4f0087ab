"""A cluster as one moment: rows and agents set as a test wants them, for plans to be drafted on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coordinator.events import LinkId, WorkId
from coordinator.membership.agents import Agent
from coordinator.pen import Draft, Pen, Plan
from coordinator.requests import Declined
from coordinator.scene import Scene
from coordinator.store.interface import Txn
from coordinator.store.rows import (
    CLUSTER,
    VIEW,
    AttemptRow,
    ClusterRow,
    NodeRow,
    ViewRow,
    VmRow,
    attempt_key,
    node_key,
    vm_key,
)
from protocol.messages import Hello, RouteReport, VmReport
from protocol.names import (
    AttemptId,
    ClusterId,
    Decision,
    Epoch,
    Hold,
    Incarnation,
    Member,
    NodeName,
    Outcome,
    Term,
    Verify,
    View,
    ViewNumber,
    VmName,
    VoteConfig,
)
from tests.coordinator.ground import MIB, NETWORKS, TIMING, config, endpoint, spec

A, B, C, D = map(NodeName, "abcd")
SQL, WEB = VmName("sql01"), VmName("web01")
LAB = ClusterId("lab-1")
NODE_BYTES = 1024 * MIB


def life(node: str, number: int = 1) -> Incarnation:
    return Incarnation(f"{node}-{number}")


def member(node: str, number: int = 1) -> Member:
    return Member(NodeName(node), life(node, number), endpoint(node))


class Stage:
    """All of `names` are connected members of a view that holds, and hear one another."""

    def __init__(self, names: str = "abc", memory_bytes: int = NODE_BYTES) -> None:
        self.scene = Scene(config(), now=100.0, term=Term(3), led_at=90.0)
        self.names = names
        self._revision = 0
        self._links = 0
        self.put(CLUSTER, ClusterRow(LAB, "test", TIMING).data())
        for name in names:
            self.node(name, memory_bytes)
            self.connect(name, memory_bytes=memory_bytes)
        self.view(names)

    def put(self, key: str, value: Mapping[str, Any] | None) -> None:
        """The store holds this now."""
        self._revision += 1
        self.scene.book.learn(key, self._revision, value)

    # ---- nodes

    def node(self, name: str, memory_bytes: int = NODE_BYTES, **fields: Any) -> None:
        row = NodeRow(NodeName(name), memory_bytes, **fields)
        self.put(node_key(row.name), row.data())

    def connect(self, name: str, number: int = 1, memory_bytes: int = NODE_BYTES) -> Agent:
        self._links += 1
        at = endpoint(name)
        hello = Hello(
            NodeName(name),
            life(name, number),
            LAB,
            Term(0),
            ViewNumber(0),
            None,
            at,
            memory_bytes,
            "software",
            (),
            (),
        )
        self.scene.agents.greet(LinkId(self._links), hello, self.scene.now)
        agent = self.agent(name)
        agent.welcomed = agent.ponged = True
        agent.lease_s = 5.0
        self.hears(name, self.names)
        return agent

    def agent(self, name: str) -> Agent:
        agent = self.scene.agents.at(NodeName(name))
        assert agent is not None
        return agent

    def hears(self, name: str, others: str) -> None:
        agent = self.agent(name)
        agent.routes = tuple(
            RouteReport(NodeName(other), network.name, True)
            for other in others
            if other != name
            for network in NETWORKS
        )
        agent.hears = frozenset(route.node for route in agent.routes)

    def cut(self, name: str) -> None:
        """Its link is gone; the others may hear it still."""
        self.scene.agents.forget(self.agent(name).link)

    def die(self, name: str) -> None:
        self.cut(name)
        for agent in self.scene.agents:
            self.hears(agent.node, "".join(n for n in self.names if n != name))

    # ---- views

    def view(self, *members: str, number: int = 1, held: View | None = None) -> View:
        """A view of these; it holds unless `held` is another one. 'a2' is node a in life 2."""
        lives = members[0] if len(members) == 1 else members
        found = tuple(member(name[0], int(name[1:] or 1)) for name in lives)
        votes = VoteConfig(1, tuple((NodeName(n), 1) for n in self.names))
        view = View(ViewNumber(number), found, votes)
        self.put(VIEW, ViewRow(view, held or view, self.scene.term).data())
        for agent in self.scene.agents:
            agent.acked = view.number if held is None else held.number
        return view

    # ---- VMs and attempts

    def vm(self, name: VmName = SQL, owner: str = "a", number: int = 1, **fields: Any) -> VmRow:
        """A VM that runs on `owner`, and is reported from there, unless `fields` say otherwise."""
        memory_bytes = fields.pop("memory_bytes", 64 * MIB)
        at = life(owner, number)
        facts: dict[str, Any] = {"owner_incarnation": at, "epoch": 1, "on": True, "live": True}
        row = VmRow(name, spec(memory_bytes), NodeName(owner), **{**facts, **fields})
        self.put(vm_key(name), row.data())
        if row.live and row.on and self.scene.agents.at(row.owner) is not None:
            self.report(owner, name, int(row.epoch))
        return row

    def report(self, node: str, vm: VmName = SQL, epoch: int = 1) -> VmReport:
        report = VmReport(vm, Epoch(epoch), True, Hold.NONE, steps=7)
        self.agent(node).vms[vm] = report
        return report

    def attempt(
        self, number: int = 1, vm: VmName = SQL, source: str = "a", target: str = "b", **fields: Any
    ) -> AttemptRow:
        """An open attempt of epoch 1; its VM's row names it."""
        row = AttemptRow(
            id=AttemptId(number),
            vm=vm,
            source=NodeName(source),
            source_incarnation=life(source),
            target=NodeName(target),
            target_incarnation=life(target),
            epoch=Epoch(fields.pop("epoch", 1)),
            policy="2008r2",
            verify=Verify.FULL,
            asked_at=99.0,
            **fields,
        )
        self.put(attempt_key(row.id), row.data())
        known = self.scene.book.vms.get(vm)
        if known is not None and not row.closed:
            self.put(vm_key(vm), replace(known, attempt=row.id).data())
        return row

    def aborted(self, **fields: Any) -> AttemptRow:
        return self.attempt(decision=Decision.ABORTED, outcome=Outcome.FAILED, **fields)

    # ---- what plans make of it

    def draft(self, plan: Plan) -> Draft:
        draft = plan.draft(self.scene)
        assert isinstance(draft, Draft), draft
        return draft

    def declined(self, plan: Plan) -> Declined:
        refusal = plan.draft(self.scene)
        assert isinstance(refusal, Declined), refusal
        return refusal

    def transaction(self, plan: Plan) -> Txn:
        pen = Pen()
        pen.put(plan)
        _, action = pen.take(self.scene, WorkId(1))
        assert action is not None
        return action.txn

    def compared(self, plan: Plan) -> set[str]:
        """The rows whose revisions the transaction compares, each with the one that was read."""
        compares = self.transaction(plan).compares
        for compare in compares:
            assert compare.revision == self.scene.book.revision(compare.key)
        return {compare.key for compare in compares}

    def write(self, plan: Plan) -> Draft:
        """The store takes it."""
        draft = self.draft(plan)
        for put in self.transaction(plan).puts:
            self.put(put.key, put.value)
        for key in draft.deletes:
            self.put(key, None)
        return draft

    def row(self, name: VmName = SQL) -> VmRow:
        return self.scene.book.vms[name]


def rows_of(draft: Draft) -> dict[str, dict[str, Any]]:
    return dict(draft.puts)


def ids_of(draft: Draft) -> list[int]:
    return [note.id for note in draft.notes]
