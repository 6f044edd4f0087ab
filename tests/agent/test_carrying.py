"""Agents that share a witness: whole cores, heartbeats delivered at once, the witness in memory."""

from agent.actions import Action, ReadWitness, SendBeat, SetLease, Tell, WriteWitness
from agent.core import AgentCore
from agent.events import (
    BeatReceived,
    LinkUp,
    Tick,
    Told,
    WitnessFailed,
    WitnessRead,
    WitnessWritten,
)
from agent.witness_record import WitnessRecord
from protocol.messages import (
    Arbitrate,
    FromAgent,
    HeartbeatAnswer,
    Hello,
    Ping,
    Pong,
    ProposeView,
    ToAgent,
    ViewAcked,
    Welcome,
    WitnessChanged,
)
from protocol.names import (
    NodeName,
    Timing,
    View,
    ViewNumber,
    VoteConfig,
    Witness,
    WitnessKind,
    WitnessState,
)
from tests.agent.ground import CLUSTER, TERM, TIMING, L, agent, member
from tests.agent.leader import beat

DISK = Witness("Cluster Disk 1", WitnessKind.DISK, "/d")
H = TIMING.witness_hold_s


class Lab:
    """`groups` says who hears whom; `reaches` who reaches the witness."""

    def __init__(self, names: str, weight: int = 1) -> None:
        self.now = self.ping_s = 0.0
        self.votes = VoteConfig(
            1, tuple((NodeName(name), weight) for name in names), witness=DISK, witness_votes=1
        )
        self.cores = {name: agent(name) for name in names}
        self.groups = [set(names)]
        self.cut_s = 0.0
        self.reaches = set(names)
        self.version = 0
        self.record: WitnessRecord | None = None
        self.lease: dict[str, float] = dict.fromkeys(names, 0.0)
        self.said: list[tuple[str, FromAgent]] = []
        for name, core in self.cores.items():
            self.do(name, core.handle(LinkUp(), 0.0))
            self.tell(name, Welcome(CLUSTER, TERM, core.incarnation, TIMING))
        self.lives_by(View(ViewNumber(1), tuple(member(name) for name in names), self.votes))
        self.ask(names[-1])

    def ask(self, name: str) -> None:
        self.tell(name, Arbitrate(CLUSTER, TERM, self.cores[name].incarnation, self.votes))

    def lives_by(self, view: View, only: str = "abcd") -> None:
        for name in self.cores:
            if name in only:
                self.tell(name, ProposeView(CLUSTER, TERM, view))

    def tell(self, name: str, message: ToAgent) -> None:
        self.do(name, self.cores[name].handle(Told(message), self.now))

    def do(self, name: str, actions: list[Action]) -> None:
        core = self.cores[name]
        for action in actions:
            match action:
                case SetLease(end_s):
                    self.lease[name] = end_s
                case Tell(message):
                    self.said.append((name, message))
                case SendBeat(network, _, _, message):
                    to = message.to
                    if to in self.cores and any({name, to} <= group for group in self.groups):
                        heard = BeatReceived(network, message)
                        self.do(to, self.cores[to].handle(heard, self.now))
                case ReadWitness() | WriteWitness() if name not in self.reaches:
                    failed = WitnessFailed("away", action.begun_at)
                    self.do(name, core.handle(failed, self.now))
                case ReadWitness():
                    read = WitnessRead(self.version, self.record, action.begun_at)
                    self.do(name, core.handle(read, self.now))
                case WriteWitness(_, version, record):
                    done = version == self.version
                    if done:
                        self.version, self.record = version + 1, record
                    written = WitnessWritten(version, done, action.begun_at)
                    self.do(name, core.handle(written, self.now))
                case _:
                    pass

    def run(self, until_s: float) -> None:
        """Until then, with a leader that pings everybody once a second."""
        while self.cores:
            name, core = min(self.cores.items(), key=lambda pair: pair[1].wake_at())
            if min(core.wake_at(), self.ping_s) > until_s:
                break
            if self.ping_s <= core.wake_at():
                self.now = max(self.now, self.ping_s)
                self.ping_s += 1.0
                for known in list(self.cores):
                    self.tell(known, Ping(CLUSTER, TERM, 1))
                continue
            self.now = max(self.now, core.wake_at())
            self.do(name, core.handle(Tick(), self.now))
            if self.now > self.cut_s + L:  # until then leases of before last on either side
                assert self.one_side_only(), f"two sides have a lease at {self.now}"
        self.now = until_s

    def one_side_only(self) -> bool:
        with_lease = {name for name, end in self.lease.items() if end > self.now}
        return any(with_lease <= group for group in self.groups)

    def cut(self, *groups: set[str]) -> None:
        self.groups, self.cut_s = list(groups), self.now

    def kill(self, name: str) -> None:
        del self.cores[name]

    def has_lease(self, name: str) -> bool:
        return self.lease[name] > self.now

    def told_by(self, name: str, kind: type) -> list[FromAgent]:
        return [message for who, message in self.said if who == name and isinstance(message, kind)]

    @property
    def holder(self) -> str:
        return "" if self.record is None else self.record.holder[:1]


def test_one_of_two_nodes_lives_on_with_the_witness_when_the_other_is_dead() -> None:
    for dies in "ab":
        lab = Lab("ab")
        lab.run(20.0)
        lab.kill(dies)
        lab.run(20.0 + 3 * H)

        (other,) = lab.cores
        assert lab.holder == other
        assert lab.has_lease(other)


def test_a_holder_whose_peer_dies_keeps_its_lease_without_a_break() -> None:
    lab = Lab("ab")
    lab.run(20.0)
    holder = lab.holder
    assert holder in ("a", "b")
    lab.kill("b" if holder == "a" else "a")

    for second in range(21, 60):
        lab.run(float(second))
        assert lab.has_lease(holder)


def test_of_two_halves_that_both_see_the_witness_one_lives_on() -> None:
    lab = Lab("abcd")
    lab.run(20.0)
    lab.cut({"a", "b"}, {"c", "d"})
    lab.run(60.0)

    alive = {name for name in lab.cores if lab.has_lease(name)}
    assert alive in ({"a", "b"}, {"c", "d"})
    assert lab.holder in alive


def test_the_half_that_sees_the_witness_lives_on_even_if_the_other_half_held_it() -> None:
    lab = Lab("abcd")
    lab.run(20.0)
    lab.cut({"a", "b"}, {"c", "d"})
    lab.run(50.0)
    first = next(group for group in lab.groups if lab.holder in group)
    lab.reaches = set("abcd") - first
    lab.run(50.0 + 4 * H)

    alive = {name for name in lab.cores if lab.has_lease(name)}
    assert alive == set("abcd") - first


def test_where_only_the_disk_counts_one_node_with_it_is_enough_and_none_without() -> None:
    lab = Lab("abc", weight=0)
    lab.run(20.0)
    assert all(lab.has_lease(name) for name in "abc"), "its holder promises the vote to the others"
    assert {message.witness.state for message in last_changes(lab)} <= {
        WitnessState.HELD,
        WitnessState.OTHER,
    }

    for name in set("abc") - {lab.holder}:
        lab.kill(name)
    lab.run(40.0)
    assert lab.has_lease(lab.holder)

    lab.reaches = set()
    lab.run(60.0)
    assert not any(lab.has_lease(name) for name in lab.cores)


def last_changes(lab: Lab) -> list[WitnessChanged]:
    last: dict[str, WitnessChanged] = {}
    for name, message in lab.said:
        if isinstance(message, WitnessChanged):
            last[name] = message
    return list(last.values())


def test_shorter_clocks_do_not_shorten_what_the_holder_made_of_the_witness_before() -> None:
    lab = Lab("ab", weight=0)
    slow, fast = Timing(delay_s=2.0, threshold=10), Timing(delay_s=0.5)
    for timing, until_s in ((slow, 60.0), (fast, 62.0)):
        for name, core in lab.cores.items():
            lab.tell(name, Welcome(CLUSTER, TERM, core.incarnation, timing))
        lab.run(until_s)
    first = lab.holder
    lab.cut({"a"}, {"b"})
    lab.cut_s = 60.0 + slow.support_s  # until then both may live on what they had
    (other,) = lab.reaches = {"a", "b"} - {first}
    lab.ask(other)
    while lab.holder == first:
        assert lab.now < lab.cut_s + 2 * H
        lab.run(lab.now + 0.5)

    assert not lab.has_lease(first)
    lab.run(lab.now + 1.0)
    assert lab.has_lease(other)


def test_without_the_witness_half_of_the_votes_are_no_quorum() -> None:
    lab = Lab("ab")
    lab.reaches = set()
    lab.run(20.0)
    assert lab.has_lease("a")

    lab.kill("b")
    lab.run(20.0 + L + 1.0)

    assert not lab.has_lease("a")
    assert last_changes(lab)[0].witness.state is WitnessState.UNREACHABLE


def test_a_view_is_acknowledged_and_then_again_with_the_witness() -> None:
    lab = Lab("ab")
    lab.run(20.0)
    holder = lab.holder
    lab.said.clear()

    lab.lives_by(View(ViewNumber(2), (member("a"), member("b")), lab.votes))
    lab.run(20.1)

    acks = lab.told_by(holder, ViewAcked)
    assert [(ack.view, ack.with_witness) for ack in acks if isinstance(ack, ViewAcked)] == [
        (2, False),
        (2, True),
    ]
    other = "b" if holder == "a" else "a"
    assert [ack.with_witness for ack in acked(lab, other)] == [False]
    lab.lives_by(View(ViewNumber(2), (member("a"), member("b")), lab.votes))
    assert acked(lab, holder)[-1].with_witness, "and it says so when it is asked again"


def acked(lab: Lab, name: str) -> list[ViewAcked]:
    return [message for who, message in lab.said if who == name and isinstance(message, ViewAcked)]


def test_the_witness_is_promised_only_with_support_and_never_for_longer_than_it_is_held() -> None:
    lab = Lab("ab")
    lab.run(20.0)
    holder = lab.cores[lab.holder]
    end = holder.carrier.usable_until_s

    lab.reaches = set()
    lab.now = end - 1.0
    answers = hears(lab, holder)
    assert [round(answer.witness_s, 6) for answer in answers] == [1.0]
    assert answers[0].support_s == L

    lab.now = end
    assert [answer.witness_s for answer in hears(lab, holder)] == [0.0]


def hears(lab: Lab, core: AgentCore) -> list[HeartbeatAnswer]:
    sender = "b" if core.config.node == "a" else "a"
    heard = core.handle(beat(sender, core.config.node, 99), lab.now)
    return [
        action.message
        for action in heard
        if isinstance(action, SendBeat) and isinstance(action.message, HeartbeatAnswer)
    ]


def test_hello_pong_and_each_change_tell_how_the_witness_is_found() -> None:
    lab = Lab("ab")
    lab.run(5.0)
    holder = lab.cores[lab.holder]
    lab.said.clear()

    lab.tell(lab.holder, Ping(CLUSTER, TERM, 1))
    lab.do(lab.holder, holder.handle(LinkUp(), 5.0))

    pong, hello = (message for _, message in lab.said)
    assert isinstance(pong, Pong)
    assert isinstance(hello, Hello)
    for told in (pong.witness, hello.witness):
        assert told is not None
        assert (told.index, told.state, told.newest_view) == (1, WitnessState.HELD, 1)


def test_a_restarted_node_looks_at_the_witness_of_the_votes_that_it_remembers() -> None:
    lab = Lab("ab")
    lab.run(20.0)
    again = agent("a", 2, lab.cores["a"].record)
    lab.cores["a"] = again
    lab.now = 20.0
    lab.said.clear()

    lab.do("a", again.handle(LinkUp(), 20.0))
    lab.do("a", again.handle(Tick(), 20.0))

    hello, changed = (message for _, message in lab.said)
    assert isinstance(hello, Hello)
    assert hello.witness is not None
    assert hello.witness.state is WitnessState.UNKNOWN
    assert isinstance(changed, WitnessChanged)
    assert changed.witness.newest_view == 1
