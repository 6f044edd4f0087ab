"""Logins: who gets in, how far, and that no order of requests breaks the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.iscsi.chap import Challenge as ChapChallenge
from protocol.iscsi.chap import Credentials, check, prove, read_challenge
from protocol.iscsi.requests import LoginRequest
from protocol.iscsi.responses import LoginResponse, LoginStatus
from protocol.iscsi.text import read_once, read_text, write_text
from san.config import Chap, TargetConfig
from san.login import Login, LoginStep
from tests.protocol.iscsi.building import LOGINS

NODE = Credentials("node1", b"a secret of node1")
SAN = Credentials("san", b"a secret of the san")
OPEN = TargetConfig()
GUARDED = TargetConfig(chap=Chap((NODE,), SAN))
WHO = [("InitiatorName", "iqn.2001-04.com.example:node1"), ("TargetName", OPEN.name)]
Pairs = list[tuple[str, str]]


def request(csg: int, nsg: int, pairs: Pairs, transit: bool = True, **more: object) -> LoginRequest:
    words: dict[str, object] = {"isid": bytes(6), "tsih": 0, "data": write_text(pairs), **more}
    return LoginRequest(
        task_tag=1,
        cid=0,
        cmd_sn=1,
        exp_stat_sn=0,
        csg=csg,
        nsg=nsg,
        transit=transit,
        **words,  # type: ignore[arg-type]
    )


def login(config: TargetConfig) -> Login:
    return Login(config, bytes(range(17)))


def said(step: LoginStep) -> dict[str, str]:
    return read_once(read_text(step.response.data))


def challenged(machine: Login) -> dict[str, str]:
    first = machine.step(request(0, 1, [*WHO, ("AuthMethod", "CHAP,None")]))
    assert said(first)["AuthMethod"] == "CHAP"
    assert not first.response.transit
    return said(machine.step(request(0, 1, [("CHAP_A", "7,5")])))


def test_an_open_target_lets_anybody_in() -> None:
    step = login(OPEN).step(request(1, 3, [*WHO, ("MaxBurstLength", "4096")]))

    assert step.result is not None
    assert step.result.agreed.burst_bytes_max == 4096
    assert said(step)["TargetPortalGroupTag"] == "1"


def test_who_knows_the_secret_gets_in_and_is_shown_that_the_target_does_too() -> None:
    machine = login(GUARDED)
    asked = challenged(machine)
    mine = ChapChallenge(9, b"0123456789abcdef")

    step = machine.step(request(0, 1, [*prove(read_challenge(asked), NODE), *mine.pairs()]))

    assert step.response.transit
    check(mine, SAN, said(step))
    assert machine.step(request(1, 3, [])).result is not None


@pytest.mark.parametrize(
    "proof",
    [
        lambda asked: prove(asked, Credentials("node1", b"another secret")),
        lambda asked: prove(asked, Credentials("node2", NODE.secret)),
        lambda asked: [*prove(asked, NODE), *asked.pairs()],
        lambda asked: [],
    ],
    ids=["secret", "name", "reflected", "silent"],
)
def test_nobody_else_gets_in(proof: object) -> None:
    assert callable(proof)
    machine = login(GUARDED)
    asked = read_challenge(challenged(machine))

    step = machine.step(request(0, 1, proof(asked)))

    assert step.response.status == LoginStatus.AUTHENTICATION_FAILED


@pytest.mark.parametrize("pairs", [[*WHO, ("AuthMethod", "None")], [*WHO, ("AuthMethod", "KRB5")]])
def test_chap_cannot_be_talked_away(pairs: Pairs) -> None:
    step = login(GUARDED).step(request(0, 1, pairs))

    assert step.response.status == LoginStatus.AUTHENTICATION_FAILED


@pytest.mark.parametrize("nsg", [1, 3])
def test_chap_cannot_be_skipped(nsg: int) -> None:
    machine = login(GUARDED)
    step = machine.step(request(1, 3, WHO)) if nsg == 3 else machine.step(request(0, 1, WHO))

    assert step.result is None
    assert step.failure


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([], LoginStatus.MISSING_PARAMETER),
        (WHO[:1], LoginStatus.MISSING_PARAMETER),
        ([WHO[0], ("TargetName", "iqn.2001-04.x:other")], LoginStatus.NOT_FOUND),
        ([*WHO, ("SessionType", "Odd")], LoginStatus.SESSION_TYPE),
        ([("InitiatorName", "node1"), WHO[1]], LoginStatus.INITIATOR_ERROR),
        ([*WHO, ("MaxBurstLength", "1")], LoginStatus.INITIATOR_ERROR),
    ],
)
def test_a_refusal_names_its_reason(pairs: Pairs, status: LoginStatus) -> None:
    step = login(OPEN).step(request(1, 3, pairs))

    assert step.response.status == status
    assert step.failure


@pytest.mark.parametrize(("csg", "nsg"), [(1, 1), (1, 0), (1, 2), (0, 0), (2, 3), (3, 3)])
def test_there_is_no_way_but_forward(csg: int, nsg: int) -> None:
    assert login(OPEN).step(request(csg, nsg, WHO)).failure


def test_a_version_that_nobody_speaks_is_refused() -> None:
    step = login(OPEN).step(request(1, 3, WHO, version_min=1))

    assert step.response.status == LoginStatus.UNSUPPORTED_VERSION


def test_a_text_may_come_in_parts() -> None:
    machine = login(OPEN)
    text = write_text(WHO)

    first = machine.step(request(1, 0, [], transit=False, data=text[:20], more=True))
    last = machine.step(request(1, 3, [], data=text[20:]))

    assert not first.failure
    assert last.result is not None


KEYS = st.sampled_from(
    ["InitiatorName", "TargetName", "AuthMethod", "CHAP_A", "CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"]
)
VALUES = st.sampled_from(["CHAP", "None", "5", "0x00", "node1", OPEN.name, "Yes", "512"])
NEAR = st.builds(
    request,
    st.integers(0, 1),
    st.integers(0, 3),
    st.lists(st.tuples(KEYS, VALUES), max_size=4, unique_by=lambda pair: pair[0]),
    st.booleans(),
)


@given(st.lists(LOGINS | NEAR, max_size=10), st.booleans())
def test_any_requests_in_any_order_are_answered(script: list[LoginRequest], guarded: bool) -> None:
    machine = login(GUARDED if guarded else OPEN)
    for one in script:
        step = machine.step(one)
        assert isinstance(step.response, LoginResponse)
        if guarded:
            assert step.result is None
        if step.failure or step.result is not None:
            break
