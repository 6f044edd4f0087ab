import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import LabError, LabRunning, NoSuchLab, UnknownNode
from lab.home import (
    CoordinatorRecord,
    Home,
    LabRecord,
    NodeRecord,
    read_record,
    update_record,
    write_record,
)
from lab.procfs import boot_id
from lab.procfs import stat as process_stat


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def record(home: Home, name: str, *, running: bool = True) -> LabRecord:
    """A lab whose processes are this test's own, or an earlier one of the same pid."""
    now = process_stat(os.getpid())
    assert now is not None
    pid, start_time = now.process.pid, now.process.start_time - (0 if running else 1)
    node = NodeRecord(
        name="node1",
        pid=pid,
        start_time=start_time,
        addresses={"lan": "127.10.1.1"},
        argv=("agent", "--node", "node1"),
        ready={"migration_port": 6600, "tracker": "kernel"},
    )
    coordinator = CoordinatorRecord(
        name="coordinator",
        pid=pid,
        start_time=start_time,
        addresses={"lan": "127.10.1.250"},
        control=("127.10.1.250:3343",),
        argv=("coordinator",),
        ready={},
    )
    return LabRecord(
        name=name,
        fabric="loopback",
        api="http://127.10.1.250:8480",
        state_dir=home.folder(name),
        boot_id=boot_id(),
        nodes=(node,),
        coordinators=(coordinator,),
    )


def put(home: Home, name: str, *, running: bool = True) -> LabRecord:
    with home.starting(name):
        lab = record(home, name, running=running)
        write_record(lab)
    return lab


def test_the_home_is_what_the_environment_says_else_the_persons_state_folder() -> None:
    assert Home.from_env({"HVLAB_HOME": "/labs"}).root == Path("/labs")
    assert Home.from_env({"XDG_STATE_HOME": "/state"}).root == Path("/state/hvlab")
    default = Path.home() / ".local/state/hvlab"
    assert Home.from_env({}).root == default
    assert Home.from_env({"XDG_STATE_HOME": "state", "HVLAB_HOME": ""}).root == default


def test_a_record_survives_being_written_and_read(home: Home) -> None:
    lab = put(home, "demo")

    assert read_record(lab.state_dir) == lab
    assert home.lab("demo") == home.lab() == lab
    assert Home.of(lab).root == home.root


def test_a_lab_is_private_and_its_record_is_never_half_written(home: Home) -> None:
    lab = put(home, "demo")

    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(lab.state_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((lab.state_dir / "lab.json").stat().st_mode) == 0o600
    assert sorted(path.name for path in lab.state_dir.iterdir()) == ["lab.json", "logs"]


def test_a_change_starts_from_what_the_record_says_by_now(home: Home) -> None:
    lab = put(home, "demo")
    update_record(lab, lambda now: replace(now, api="http://other"))

    after = update_record(lab, lambda now: replace(now, coordinators=()))

    assert after == read_record(lab.state_dir)
    assert (after.api, after.coordinators) == ("http://other", ())


def test_the_public_record_has_the_fields_of_the_contract(home: Home) -> None:
    public = put(home, "demo").public()

    assert list(public) == [
        *("lab", "fabric", "api", "console", "state_dir", "nodes", "coordinators")
    ]
    assert list(public["nodes"][0]) == ["name", "pid", "addresses"]
    assert public["coordinators"] == [{"name": "coordinator", "pid": os.getpid()}]


def test_a_name_that_runs_is_refused_in_one_sentence(home: Home) -> None:
    put(home, "demo")
    with (
        pytest.raises(LabRunning, match="'demo' is already running: end it with hvlab down"),
        home.starting("demo"),
    ):
        pytest.fail("two labs of one name")
    assert home.lab("demo").is_running()


def test_a_name_that_is_being_started_is_refused(home: Home) -> None:
    with home.starting("demo"):
        assert home.is_starting("demo")
        with pytest.raises(LabRunning, match="is being started by another"), home.starting("demo"):
            pytest.fail("two starts of one name")
    assert not home.is_starting("demo")


@pytest.mark.parametrize("because", ["pid", "boot"])
def test_a_lab_whose_processes_are_gone_is_stale_and_gives_its_name_back(
    home: Home, because: str
) -> None:
    lab = put(home, "demo", running=because == "boot")
    if because == "boot":
        update_record(lab, lambda now: replace(now, boot_id="another"))
    (lab.state_dir / "old").touch()

    assert home.running() == ()
    assert [record.name for record in home.labs()] == ["demo"]
    with home.starting("demo") as folder:
        assert not (folder / "old").exists()


def test_a_failed_start_leaves_only_its_logs(home: Home) -> None:
    with pytest.raises(RuntimeError), home.starting("demo") as folder:
        (folder / "logs" / "node1.log").write_text("port in use")
        raise RuntimeError

    assert not home.folder("demo").exists()
    assert (home.failed_logs("demo") / "node1.log").read_text() == "port in use"


def test_without_a_name_the_only_running_lab_is_meant(home: Home) -> None:
    with pytest.raises(NoSuchLab, match="no lab runs: start one with hvlab up"):
        home.lab()
    put(home, "stale", running=False)
    demo = put(home, "demo")
    assert home.lab() == demo

    put(home, "other")
    with pytest.raises(NoSuchLab, match="choose one with --name: demo, other"):
        home.lab()
    assert home.lab("stale").name == "stale"


@pytest.mark.parametrize("name", ["none", "..", "../labs/demo", ""])
def test_an_unknown_lab_is_refused_with_the_running_ones(home: Home, name: str) -> None:
    put(home, "demo")
    with pytest.raises(NoSuchLab, match=r"there is no lab '.*': running: demo"):
        home.lab(name)


def test_a_record_that_cannot_be_read_says_so_and_hides_no_other_lab(home: Home) -> None:
    demo, broken = put(home, "demo"), put(home, "broken")
    for text in ("{", "[]", "{}", '{"format": 99}', '{"format": 1, "nodes": [{}]}'):
        (broken.state_dir / "lab.json").write_text(text)
        with pytest.raises(LabError, match="end its processes by hand, then remove"):
            home.lab("broken")
        assert home.labs() == (demo,)


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LabError, match="set HVLAB_HOME to a folder you can write"),
        Home(tmp_path / "file" / "home").starting("demo"),
    ):
        pytest.fail("a folder inside a file")


def test_unknown_parts_of_a_lab_are_refused_with_the_known_ones(home: Home) -> None:
    lab = put(home, "demo")
    with pytest.raises(UnknownNode, match="no node 'node9': it has node1"):
        lab.node("node9")
    with pytest.raises(UnknownNode, match="no coordinator 'other': it has coordinator"):
        lab.coordinator("other")
