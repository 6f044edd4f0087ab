"""PDUs of every kind with any contents, for tests of both directions."""

from hypothesis import strategies as st

from protocol.iscsi import requests as ask
from protocol.iscsi import responses as say
from protocol.iscsi.pdus import Pdu

WORDS = st.integers(0, 0xFFFF_FFFF)
LUNS = st.integers(0, (1 << 64) - 1)
FLAGS = st.booleans()
OCTETS = st.integers(0, 255)
DATA = st.binary(max_size=40)
ISIDS = st.binary(min_size=6, max_size=6)
HALVES = st.integers(0, 0xFFFF)
STAGES = st.integers(0, 3)
RESIDUALS = st.integers(-0xFFFF_FFFF, 0xFFFF_FFFF)
STATUSES = st.sampled_from(list(say.LoginStatus))

COMMANDS = st.builds(
    ask.ScsiCommand,
    LUNS,
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    st.binary(min_size=16, max_size=16),
    FLAGS,
    FLAGS,
    FLAGS,
    st.integers(0, 7),
    FLAGS,
    DATA,
    st.none() | WORDS,
)
LOGINS = st.builds(
    ask.LoginRequest,
    ISIDS,
    HALVES,
    WORDS,
    HALVES,
    WORDS,
    WORDS,
    STAGES,
    STAGES,
    FLAGS,
    FLAGS,
    OCTETS,
    OCTETS,
    DATA,
)
REQUESTS: st.SearchStrategy[Pdu] = st.one_of(
    st.builds(ask.NopOut, WORDS, WORDS, WORDS, WORDS, LUNS, FLAGS, DATA),
    COMMANDS,
    st.builds(ask.TaskManagementRequest, st.integers(0, 127), LUNS, *[WORDS] * 5, FLAGS, DATA),
    LOGINS,
    st.builds(ask.TextRequest, WORDS, WORDS, WORDS, WORDS, LUNS, FLAGS, FLAGS, FLAGS, DATA),
    st.builds(ask.DataOut, LUNS, WORDS, WORDS, WORDS, WORDS, WORDS, FLAGS, DATA),
    st.builds(ask.LogoutRequest, st.integers(0, 127), WORDS, HALVES, WORDS, WORDS, FLAGS, DATA),
)
RESPONSES: st.SearchStrategy[Pdu] = st.one_of(
    st.builds(say.NopIn, WORDS, WORDS, WORDS, WORDS, WORDS, LUNS, DATA),
    st.builds(
        say.ScsiResponse, *[WORDS] * 4, OCTETS, OCTETS, WORDS, RESIDUALS, st.binary(max_size=30)
    ),
    st.builds(say.TaskManagementResponse, *[WORDS] * 4, OCTETS, DATA),
    st.builds(
        say.LoginResponse,
        ISIDS,
        HALVES,
        *[WORDS] * 4,
        STAGES,
        STAGES,
        FLAGS,
        FLAGS,
        STATUSES,
        OCTETS,
        OCTETS,
        DATA,
    ),
    st.builds(say.TextResponse, *[WORDS] * 5, LUNS, FLAGS, FLAGS, DATA),
    st.builds(say.DataIn, *[WORDS] * 5, FLAGS, WORDS, OCTETS, RESIDUALS, LUNS, WORDS, FLAGS, DATA),
    st.builds(say.DataIn, *[WORDS] * 5, FLAGS, data=DATA),
    st.builds(say.LogoutResponse, *[WORDS] * 4, OCTETS, HALVES, HALVES, DATA),
    st.builds(say.R2T, LUNS, *[WORDS] * 8),
    st.builds(
        say.AsyncMessage,
        WORDS,
        WORDS,
        WORDS,
        OCTETS,
        LUNS,
        OCTETS,
        st.tuples(HALVES, HALVES, HALVES),
        DATA,
    ),
    st.builds(say.Reject, OCTETS, *[WORDS] * 4, DATA),
)
PDUS = REQUESTS | RESPONSES
