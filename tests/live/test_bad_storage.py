"""Bad words and bad disks, on a lab with a SAN: one sentence each, and the rest goes on."""

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.volumes.extents import BLOCK_BYTES
from agent.volumes.journal import RECORD
from agent.volumes.layout import SUPERBLOCK_PLACES
from shell.errors import DONE, FAILED, OFF
from tests.live.bad_lab import Bad, one_sentence, short
from tests.live.cli import ROOT, WITHIN_S

pytestmark = pytest.mark.live

NETWORKS = """\
networks:
  management: {subnet: 10.0.1.0/24, gateway: true}
  storage: {subnet: 10.0.8.0/24, role: None}
"""
TOPOLOGY = f"""\
name: bad
timing: {{delay: 250ms, threshold: 5}}
{NETWORKS}nodes: {{node1: {{memory: 512MiB}}, node2: {{memory: 512MiB}}}}
coordinator: {{networks: [management]}}
san:
  luns:
    - {{name: data1, size: 64MiB, use: volume}}
    - {{name: data2, size: 64MiB, use: volume}}
    - {{name: data3, size: 32MiB, use: volume}}
    - {{name: data4, size: 32MiB, use: volume}}
    - {{name: foreign, size: 32MiB, use: disk}}
    - {{name: tiny, size: 8MiB, use: disk}}
  chap: {{name: hvlab, secret: a-long-enough-secret}}
"""
LEDGER = ("--memory", "4MiB", "--workload", "ledger:rate=50/s")
SOON_S = 10.0
LONG = "x" * 65


class Stored(Bad):
    """The lab, and the files of its SAN."""

    def lun(self, name: str) -> Path:
        return self.record.state_dir / "san" / "luns" / f"{name}.img"

    def damage(self, name: str, blocks: list[int]) -> None:
        with self.lun(name).open("r+b") as file:
            for block in blocks:
                file.seek(block * BLOCK_BYTES + 100)
                file.write(b"\xaa" * 64)

    def until(self, path: str, **wanted: Any) -> Any:
        give_up_at = time.monotonic() + SOON_S
        while any((row := self.get(path))[key] != value for key, value in wanted.items()):
            assert time.monotonic() < give_up_at, row
        return row

    def goes_on(self) -> bool:
        """Whether the guest on the first volume acknowledges more and more."""
        before, give_up_at = self.get("/vms/led1")["steps"], time.monotonic() + SOON_S
        while self.get("/vms/led1")["steps"] <= before:
            if time.monotonic() > give_up_at:
                return False
        return True

    def happened(self, number: int, words: str) -> bool:
        code, out, _ = self.call("events", "--id", str(number), "--json")
        return code == DONE and words in out

    def move(self, volume: str) -> None:
        """Away from its owner, as soon as another node may have it."""
        give_up_at = time.monotonic() + SOON_S
        while (said := self.call("csv", "move", volume, "--no-wait"))[0] != DONE:
            assert time.monotonic() < give_up_at, said


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """Volumes 1 to 4 and two disks; led1 runs at node1 with its files on Volume1."""
    lab = Stored(tmp_path_factory.mktemp("stored"), TOPOLOGY)
    try:
        code, _, err = lab.run("up", str(lab.topology))
        assert code == DONE, err
        with lab.lun("foreign").open("r+b") as file:
            file.seek(1080)
            file.write(b"\x53\xef" * 200)
        lab.data("vm", "create", "led1", *ON1, "--disk", "1MiB", "--node", "node1")
        lab.data("vm", "create", "led3", *LEDGER, "--volume", "Volume3", "--disk", "1MiB")
        lab.data("vm", "stop", "led3")
        yield lab
        assert lab.tracebacks() == []
    finally:
        lab.data("down", "--all", apart=True)
    assert lab.home.labs() == ()


ON1 = (*LEDGER, "--volume", "Volume1")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["disk", "show", "nope"], FAILED, "There is no disk 'nope': name one that `disk list`"),
        (["disk", "add", "nope"], FAILED, "No node sees a disk 'nope': name one that"),
        (["disk", "remove", "nope"], FAILED, "There is no clustered disk 'nope'"),
        (["disk", "remove", "Cluster Disk 1"], FAILED, "is not in Available Storage (5965)"),
        (["disk", "owner", "nope", "node1"], FAILED, "There is no clustered disk 'nope'"),
        (["disk", "owner", "Cluster Disk 5", "node9"], FAILED, "has no node 'node9'"),
        (["disk", "owner", "Cluster Disk 1", "node2"], FAILED, "move it with `csv move Volume1`"),
        (["csv", "add", "Cluster Disk 1"], FAILED, "is Cluster Shared Volume: first remove the"),
        (["csv", "add", "Cluster Disk 9"], FAILED, "There is no clustered disk 'Cluster Disk 9'"),
        (["csv", "add", "Cluster Disk 6"], FAILED, "a volume needs 16777216: take"),
        (["csv", "add", "Cluster Disk 6", "--force"], FAILED, "take a larger LUN (5964)"),
        (["csv", "show", "Volume9"], FAILED, "There is no shared volume 'Volume9'"),
        (["csv", "check", "Volume9"], FAILED, "There is no shared volume 'Volume9'"),
        (["csv", "remove", "Volume9"], FAILED, "There is no shared volume 'Volume9'"),
        (["csv", "remove", "Volume1"], FAILED, "Volume1 has files of led1 (5947): move or delete"),
        (["csv", "move", "Volume9"], FAILED, "There is no shared volume 'Volume9'"),
        (["csv", "move", "Volume1", "--to", "node9"], FAILED, "has no node 'node9': name one"),
        (["csv", "redirect", "Volume9", "on"], FAILED, "There is no shared volume 'Volume9'"),
        (["csv", "redirect", "Volume1", "maybe"], OFF, "'maybe' is neither on nor off"),
        (["csv", "maintenance", "Volume9", "on"], FAILED, "no shared volume 'Volume9'"),
        (["csv", "rename", "Volume1", "Volume2"], FAILED, "A volume 'Volume2' exists already"),
        (["csv", "rename", "Volume2", "a/b"], OFF, "'a/b' is no name for a volume: use 1 to 64"),
        (["csv", "rename", "Volume2", ".."], OFF, "'..' is no name for a volume"),
        (["csv", "rename", "Volume2", LONG], OFF, "should have at most 64 characters"),
        (["csv", "enable", "--root", "../x"], OFF, "'../x' is no name for the root of the volumes"),
        (["vm", "create", "a", *LEDGER], OFF, "the VM has none: give it one, on a volume"),
        (
            ["vm", "create", "a", *LEDGER, "--volume", "Volume9", "--disk", "1MiB"],
            *(FAILED, "no shared volume 'Volume9' (5945): name one of Volume1, Volume2"),
        ),
        (
            ["vm", "create", "a", *LEDGER, "--volume", "../led1", "--disk", "1MiB"],
            *(FAILED, "There is no shared volume '../led1'"),
        ),
        (["vm", "create", "../led1", *ON1, "--disk", "1MiB"], OFF, "is no name for a VM"),
        (["vm", "create", "a", *ON1, "--disk", "0"], OFF, "and the first one of the VM has 0"),
        (["vm", "create", "a", *ON1, "--disk", "-1"], OFF, "'-1' is below zero"),
        (["vm", "create", "a", *ON1, "--disk", "34000"], OFF, "it is a multiple of 512, up to"),
        (
            ["vm", "create", "a", *ON1, "--disk", "1GiB"],
            FAILED,
            "wants 1073741824 bytes of Volume1",
        ),
        (["vm", "create", "a", *ON1, "--disk", "9EB"], OFF, "'9EB' is no size"),
    ],
    ids=short,
)
def test_words_about_disks_and_volumes_that_are_off_change_nothing(
    unhurt: Bad, words: list[str], code: int, says: str
) -> None:
    ended, out, err = unhurt.call(*words)

    assert (ended, out) == (code, ""), err
    assert says in one_sentence(err)


def test_shared_volumes_are_enabled_a_second_time_without_harm(unhurt: Bad) -> None:
    assert unhurt.data("csv", "enable") == {"enabled": True, "root": "ClusterStorage"}


@pytest.mark.parametrize(
    ("lun", "says"),
    [
        ("{name: a, size: 513}", "513 bytes is no size of a LUN: choose a multiple of 4096"),
        ("{name: a, size: 0}", "0 bytes is no size of a LUN"),
        ("{name: a, size: -1}", "'-1' is below zero"),
        ("{name: ../a, size: 32MiB}", "'../a' is no name of a LUN"),
        ("{name: a, size: 32MiB, use: toy}", "line 6: san.luns[0].use: "),
    ],
    ids=short,
)
def test_a_san_that_cannot_be_starts_no_lab(
    unhurt: Bad, tmp_path: Path, lun: str, says: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(f"name: wrong\n{NETWORKS}nodes: {{node1: {{}}}}\nsan: {{luns: [{lun}]}}\n")

    code, out, err = unhurt.call("up", str(path))

    assert (code, out) == (OFF, "")
    assert says in one_sentence(err)


def test_a_san_that_cannot_make_its_luns_says_why_and_leaves_no_lab_behind(
    unhurt: Bad, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    luns = "[{name: a, size: 32MiB}]"
    path.write_text(f"name: wrong\n{NETWORKS}nodes: {{node1: {{}}}}\nsan: {{luns: {luns}}}\n")

    # A host whose files may not be so large, as where its disk is full.
    done = subprocess.run(
        ["prlimit", f"--fsize={1 << 20}", *unhurt.argv("up", str(path))],
        cwd=ROOT,
        env=unhurt.env,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )

    assert (done.returncode, done.stdout) == (FAILED, "")
    begun, said = done.stderr.splitlines()
    assert begun == "wrong: starting a san, a coordinator and 1 node"
    kept = unhurt.home.root / "failed" / "wrong"
    assert one_sentence(f"{said}\n").startswith("hvlab: san ended before it was ready: san san: ")
    assert f"a.img cannot have {32 << 20} bytes: File too large. (logs: {kept})" in said
    assert [log.name for log in kept.iterdir()] == ["san.log"]


# ---- from here on each test hurts what no later one needs


def test_a_disk_that_holds_something_else_is_formatted_only_by_force(lab: Stored) -> None:
    """It was written to after the nodes had found it blank, so only its owner can notice."""
    held = hashlib.sha256(lab.lun("foreign").read_bytes()).digest()
    for says in ("did not become a volume: ", "holds something that hvlab did not write (5964)"):
        code, out, err = lab.call("csv", "add", "Cluster Disk 5")

        assert (code, out) == (FAILED, "")
        assert says in one_sentence(err)
        assert hashlib.sha256(lab.lun("foreign").read_bytes()).digest() == held
        assert lab.until("/disks/Cluster%20Disk%205", state="Online")["role"] == "Available Storage"

    assert lab.data("csv", "add", "Cluster Disk 5", "--force")["name"] == "Volume5"
    assert lab.goes_on()


def test_a_volume_that_is_added_again_still_has_its_files(lab: Stored) -> None:
    lab.data("csv", "remove", "Volume5")
    lab.until("/disks/Cluster%20Disk%205", state="Online")
    assert lab.data("csv", "add", "Cluster Disk 5")["name"] == "Volume5"
    assert lab.data("csv", "check", "Volume5")["sound"]


def test_a_vm_that_finds_no_room_fails_with_the_reason_and_the_volume_goes_on(lab: Stored) -> None:
    code, out, err = lab.call("vm", "create", "full", *ON1, "--disk", "61MiB")

    assert code == FAILED, out
    assert "are free on the volume: delete files" in err
    assert lab.get("/vms/full")["state"] == "Failed"
    lab.data("vm", "stop", "full")
    lab.data("vm", "delete", "full")
    assert lab.goes_on()


def test_a_node_without_a_path_is_not_made_the_owner(lab: Stored) -> None:
    owner = lab.get("/volumes/Volume1")["owner"]
    other = "node2" if owner == "node1" else "node1"
    lab.data("fault", "cut", "san", "--node", other)
    try:
        give_up_at = time.monotonic() + SOON_S
        while True:
            nodes = {row["node"]: row["access"] for row in lab.get("/volumes/Volume1")["nodes"]}
            if nodes[other] == "redirected":
                break
            assert time.monotonic() < give_up_at, nodes
        code, out, err = lab.call("csv", "move", "Volume1", "--to", other)
        assert (code, out) == (FAILED, "")
        assert f"Node {other} could not own Cluster Disk 1 now" in one_sentence(err)
        assert lab.goes_on()
    finally:
        lab.data("fault", "heal", "san", "--node", other)


def test_a_broken_journal_makes_its_volume_read_only_with_a_sentence(lab: Stored) -> None:
    image = lab.lun("data3").read_bytes()[: 8 << 20]
    places = range(0, len(image), BLOCK_BYTES)
    records = [at // BLOCK_BYTES for at in places if image[at : at + 4] == RECORD]
    half = len(records) // 2
    lab.damage("data3", [records[half - 3], records[-3]])
    lab.move("Volume3")
    lab.until("/disks/Cluster%20Disk%203", state="Online")

    code, _, err = lab.call("vm", "start", "led3")
    assert code == FAILED
    # Its owner offers it to no VM; another node may have to open a file to be told.
    assert "stays read-only" in err or "no node reaches Volume3" in err
    code, out, _ = lab.call("csv", "check", "Volume3")
    assert code == FAILED
    assert "Volume3 is DAMAGED" in out
    assert "the volume shows what was before and stays read-only" in " ".join(out.split())
    assert lab.goes_on()


def test_without_a_whole_superblock_nobody_mounts_and_the_rest_goes_on(lab: Stored) -> None:
    lab.damage("data4", [*SUPERBLOCK_PLACES])
    lab.move("Volume4")

    why = lab.until("/volumes/Volume4", state="offline", owner=None)["reason"]
    assert "neither superblock is whole" in why
    assert lab.happened(5150, "neither superblock is whole")
    assert lab.goes_on()


def test_a_lun_whose_file_was_removed_fails_with_an_event_and_the_rest_goes_on(
    lab: Stored,
) -> None:
    lab.data("vm", "create", "led2", *LEDGER, "--volume", "Volume2", "--disk", "1MiB")
    lab.lun("data2").unlink()

    why = lab.until("/volumes/Volume2", state="offline", owner=None)["reason"]
    assert "there is no disk behind the path any more" in why
    assert lab.happened(9067, "gave up Cluster Disk 2 (Volume2)")
    assert lab.get("/vms/led2")["state"] == "Online", "its guest waits"
    assert lab.goes_on()


def test_a_node_with_a_wrong_secret_reaches_no_disk_and_goes_on_through_the_owner(
    lab: Stored,
) -> None:
    """The san's log says why, the cluster that the node was not let in, and no I/O is lost."""
    secrets = lab.record.state_dir / "chap.json"
    assert lab.call("fault", "kill", "node2")[0] == DONE
    secrets.write_text(json.dumps({"name": "hvlab", "secret": "not-the-secret-of-it"}))
    assert lab.run("fault", "restart", "node2")[0] == DONE

    give_up_at = time.monotonic() + SOON_S
    while True:
        nodes = {row["node"]: row for row in lab.get("/volumes/Volume1")["nodes"]}
        if nodes.get("node2", {}).get("access") == "redirected":
            break
        assert time.monotonic() < give_up_at, nodes
    log = (lab.record.state_dir / "logs" / "san.log").read_text()
    assert "login-refused" in log
    assert "the peer's CHAP name or secret is another than the one that is known here" in log
    assert "no path to the disk: " in nodes["node2"]["reason"]
    assert lab.goes_on()


def test_while_the_san_is_away_guests_wait_and_the_cluster_answers(lab: Stored) -> None:
    assert lab.call("fault", "kill", "san")[0] == DONE
    assert lab.get("/vms/led1")["state"] == "Online"
    assert lab.call("disk", "list")[0] == DONE
    code, _, err = lab.call("fault", "cut", "san", "--node", "node1")
    assert code == FAILED
    assert "the san does not listen" in one_sentence(err)
