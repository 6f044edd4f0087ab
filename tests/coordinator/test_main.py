"""The coordinator's options: each mistake is one sentence, and nothing has begun by then."""

from pathlib import Path

import pytest

from coordinator.__main__ import main, parser, settings
from coordinator.config import Network
from protocol.names import NetworkName

NETWORK = 'csv={"subnet": "10.0.3.0/24", "role": 1, "metric": 900}'
FLAGGED = '{"subnet": "10.0.0.0/8", "role": 3, "metric": 1, "gateway": true, "auto_metric": true}'
RIGHT = ["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--network", NETWORK]


def test_options_become_settings(tmp_path: Path) -> None:
    words = ["--state-dir", str(tmp_path), *RIGHT, "--listen", "[::1]:3343", "--delay-s", "0.25"]

    chosen = settings(parser().parse_args(words))

    assert chosen.listen == (("127.0.0.1", 0), ("::1", 3343))
    assert chosen.networks == (Network(NetworkName("csv"), "10.0.3.0/24", 1, 900),)
    assert (chosen.timing.delay_s, chosen.timing.threshold) == (0.25, 5)


def test_a_network_may_have_a_gateway_and_an_automatic_metric(tmp_path: Path) -> None:
    words = ["--state-dir", str(tmp_path), *RIGHT, "--network", f"lan={FLAGGED}"]

    chosen = settings(parser().parse_args(words))

    lan = Network(NetworkName("lan"), "10.0.0.0/8", 3, 1, gateway=True, auto_metric=True)
    assert chosen.networks[-1] == lan


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--listen", "0.0.0.0:3343"], "every address"),
        (["--listen", "[::]:3343"], "every address"),
        (["--api", "[::ffff:0.0.0.0]:3343"], "every address"),
        (["--listen", "127.0.0.1"], "'127.0.0.1' names no IP address"),
        (["--listen", "127.0.0.1:99999"], "names no port"),
        (["--api", "example.net:80"], "names no IP address"),
        (["--network", "csv"], "is no network"),
        (["--network", 'lan={"subnet": "10.0.0.1/8", "role": 1, "metric": 1}'], "is no network"),
        (["--network", 'lan={"subnet": "10.0.0.0/8", "role": 2, "metric": 1}'], "is no network"),
        (["--network", 'lan={"subnet": "10.0.0.0/8", "role": 1}'], "is no network"),
        (["--network", f"lan={FLAGGED.replace('true', '1')}"], "is no network"),
        (["--network", NETWORK], "twice"),
        (["--delay-s", "nan"], "--delay-s is nan"),
        (["--delay-s", "0"], "--delay-s is 0.0"),
        (["--threshold", "0"], "--threshold is 0"),
        (["--ready-fd", "999"], "no open file descriptor"),
        (["--store", "etcd"], "--store etcd lacks --etcd URL"),
        (["--etcd", "http://127.0.0.1:1"], "--store sqlite has no use for --etcd URL"),
        (["--store", "etcd", "--etcd", "127.0.0.1:1"], "is no endpoint of etcd"),
        (["--store", "etcd", "--etcd", "http://a:1", "--cluster-prefix", "/"], "is no prefix"),
        (["--store", "consul"], "invalid choice"),
        (["--tresh", "1"], "unrecognized"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_exit_code_2(
    words: list[str], wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"

    with pytest.raises(SystemExit) as ended:
        main(["--state-dir", str(state), *RIGHT, *words])

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("coordinator: ")
    assert wrong in said
    assert said.count("\n") == 1
    assert not state.exists()
