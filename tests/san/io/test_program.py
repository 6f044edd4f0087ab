"""The san as a process: its first words, its end, and how it refuses to start."""

import asyncio
import json
import stat
import sys
from pathlib import Path

import pytest

from protocol.errors import Refused
from san.io.program import read_chap, unit_id
from tests.san.io.serving import TARGET, serving, told


async def asked(state: Path, *lines: object) -> list[dict[str, object]]:
    reader, writer = await asyncio.open_unix_connection(state / "admin.sock")
    answers = []
    for line in lines:
        writer.write(json.dumps(line).encode() + b"\n")
        answers.append(json.loads(await reader.readline()))
    writer.close()
    await writer.wait_closed()
    return answers


async def test_it_says_where_it_listens_and_ends_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path, "--lun", "more:1MiB") as san:
        assert san.ready["target"] == TARGET
        assert san.ready["luns"] == {name: unit_id(TARGET, name) for name in ("data", "more")}
        for file in (tmp_path / "luns").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert await san.stop() == 0


async def test_a_line_can_be_cut_and_healed(tmp_path: Path) -> None:
    async with serving(tmp_path) as san:
        reader, writer = await asyncio.open_connection(*san.ready["portals"][0].rsplit(":", 1))
        while not (await asked(tmp_path, {"do": "show"}))[0]["connections"]:
            continue
        (cut,) = await asked(tmp_path, {"do": "cut", "from": "127.0.0.1"})
        assert cut == {"closed": 1}
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.transport.abort()

        (healed, slow, shown, off) = await asked(
            tmp_path,
            {"do": "heal", "from": "127.0.0.1"},
            {"do": "slow", "delay_s": 0},
            {"do": "show"},
            {"do": "dance"},
        )

    assert (healed, slow) == ({"closed": 0}, {"delay_s": 0.0})
    assert shown == {"connections": [], "cut": []}
    assert "not understood" in str(off["error"])


async def refused(state: Path, *words: str) -> str:
    code, said = await told(sys.executable, "-m", "san", "--state-dir", str(state), *words)
    assert code in (1, 2), said
    return said.strip().splitlines()[-1]


PORTAL = ("--portal", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*PORTAL, "--lun", "data"), "NAME=SIZE"),
        ((*PORTAL, "--lun", "data=1000"), "whole blocks"),
        ((*PORTAL, "--lun", "../x=1MiB"), "NAME=SIZE"),
        ((*PORTAL, "--lun", "a=1MiB", "--lun", "a=1MiB"), "same name"),
        (("--portal", "x", "--lun", "a=1MiB"), "ADDR:PORT"),
        (("--portal", "192.0.2.1:0", "--lun", "a=1MiB"), "cannot listen"),
        ((*PORTAL, "--lun", "a=1MiB", "--target", "disk"), "no iSCSI name"),
        ((*PORTAL, "--lun", "a=1MiB", "--chap-file", "/nowhere"), "name and secret"),
    ],
)
async def test_a_bad_start_is_one_sentence(
    tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    assert says in await refused(tmp_path, *words)


async def test_a_disk_is_never_resized(tmp_path: Path) -> None:
    async with serving(tmp_path, size="1MiB") as san:
        assert await san.stop() == 0

    assert "1048576 bytes" in await refused(tmp_path, *PORTAL, "--lun", "data=2MiB")


def chap_file(folder: Path, mode: int = 0o600, **words: str) -> Path:
    path = folder / "chap.json"
    path.write_text(json.dumps(words))
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "words", "says"),
    [
        (0o644, {"name": "a", "secret": "twelve bytes"}, "chmod 600"),
        (0o600, {"name": "a", "secret": "short"}, "at least 12"),
        (0o600, {"name": "a"}, "secret"),
        (
            0o600,
            {"name": "a", "secret": "x" * 12, "mutual_name": "b", "mutual_secret": "x" * 12},
            "differ",
        ),
    ],
)
def test_secrets_are_looked_at(tmp_path: Path, mode: int, words: dict[str, str], says: str) -> None:
    with pytest.raises(Refused, match=says):
        read_chap(chap_file(tmp_path, mode, **words))


@pytest.mark.parametrize(("secret", "enters"), [("twelve_bytes", True), ("other__bytes", False)])
async def test_an_initiator_that_is_not_ours_shows_its_secret(
    tmp_path: Path, secret: str, enters: bool
) -> None:
    path = chap_file(tmp_path, name="node1", secret="twelve_bytes")
    async with serving(tmp_path / "state", "--chap-file", str(path)) as san:
        url = san.url.replace("iscsi://", f"iscsi://node1%{secret}@")
        code, said = await told("iscsi-inq", url)

    assert ("Vendor:HVLAB" in said) == enters, (code, said)
