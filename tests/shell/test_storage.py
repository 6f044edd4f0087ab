"""`hvlab disk` and `hvlab csv`: what they ask, what they show, and words that are off."""

import os
import signal
from typing import Any

import pytest

from shell.confirmation import DISK_OATH
from shell.errors import DONE, FAILED, OFF, Inconclusive
from shell.waiting import until_row
from tests.shell.calling import call
from tests.shell.fake_api import FakeApi, error, serving

DISK: dict[str, Any] = {
    **{"name": "Cluster Disk 1", "id": "6001", "clustered": True, "state": "Online"},
    **{"role": "Available Storage", "owner": "node1", "epoch": 3, "size_bytes": 1 << 30},
    **{"volume": "", "maintenance": False, "content": "blank", "moving_to": None, "reason": ""},
    **{"registered": ["node1-1"], "to_be_fenced": []},
    "paths": [{"node": "node1", "up": 2, "of": 2, "registered": True}],
}
FREE = {**DISK, "name": "", "id": "6002", "clustered": False, "state": "Available", "owner": None}
VOLUME: dict[str, Any] = {
    **{"name": "Volume1", "state": "direct", "owner": "node1", "path": "ClusterStorage/Volume1"},
    **{"disk": "Cluster Disk 1", "disk_id": "6001", "epoch": 3, "size_bytes": 1 << 30},
    **{"free_bytes": 1 << 29, "redirected": False, "maintenance": False, "vms": ["sql01"]},
    "nodes": [{"node": "node2", "access": "redirected", "reason": "it has no path"}],
    **{"moving_to": None, "reason": ""},
}
AT = "/volumes/Volume1"


def test_disks_are_listed_and_shown_with_their_paths(api: FakeApi) -> None:
    api.say("GET /disks", (200, [DISK, FREE]))
    api.say("GET /disks/Cluster Disk 1", (200, DISK))

    assert "Cluster Disk 1" in call(api.url, "disk", "list").out
    free = call(api.url, "disk", "list", "--available").out
    assert ("6002" in free, "6001" in free) == (True, False)
    assert "2 of 2" in call(api.url, "disk", "show", "Cluster Disk 1").out


def test_all_disks_are_added_that_are_not_in_the_cluster(api: FakeApi) -> None:
    api.say("GET /disks", (200, [DISK, FREE]))
    api.say("POST /disks", (201, FREE))
    api.say("GET /disks/6002", (200, {**FREE, "state": "Online", "name": "Cluster Disk 2"}))

    said = call(api.url, "disk", "add", "--json")
    assert said.code == DONE
    assert api.bodies("POST /disks") == [{"disk": "6002"}]


def test_the_owner_of_a_disk_is_told_or_changed(api: FakeApi) -> None:
    where = "/disks/Cluster Disk 1"
    api.say(f"GET {where}", (200, DISK))
    api.say(f"POST {where}/owner", (202, DISK))

    assert "owned by node1" in call(api.url, "disk", "owner", "Cluster Disk 1").out
    assert call(api.url, "disk", "owner", "Cluster Disk 1", "node1").code == DONE
    assert api.bodies(f"POST {where}/owner") == [{"to": "node1"}]


def test_enabling_shared_volumes_sets_the_property_of_the_field(api: FakeApi) -> None:
    rows = [{"name": "SharedVolumesRoot", "value": "ClusterStorage"}]
    api.say("PATCH /cluster/properties", (200, rows))

    assert "ClusterStorage" in call(api.url, "csv", "enable").out
    assert api.bodies("PATCH /cluster/properties") == [{"EnableSharedVolumes": "Enabled"}]


def test_volumes_are_listed_and_shown_with_how_each_node_reaches_them(api: FakeApi) -> None:
    api.say("GET /volumes", (200, [VOLUME]))
    api.say(f"GET {AT}", (200, VOLUME))

    assert "ClusterStorage" in call(api.url, "csv", "show").out
    shown = call(api.url, "csv", "show", "Volume1").out
    assert ("redirected" in shown, "it has no path" in shown) == (True, True)


@pytest.mark.parametrize(
    ("words", "route", "body"),
    [
        (
            ["add", "Cluster Disk 1", "--force"],
            "/volumes",
            {"disk": "Cluster Disk 1", "force": True},
        ),
        (["move", "Volume1", "--to", "node2"], f"{AT}/move", {"to": "node2"}),
        (["redirect", "Volume1", "on"], f"{AT}/redirect", {"on": True}),
        (["maintenance", "Volume1", "off"], f"{AT}/maintenance", {"on": False}),
        (["rename", "Volume1", "Data"], f"{AT}/rename", {"name": "Data"}),
    ],
)
def test_what_is_said_is_what_is_asked(
    api: FakeApi, words: list[str], route: str, body: dict[str, Any]
) -> None:
    api.say(f"POST {route}", (200, VOLUME))
    api.say(f"GET {AT}", (200, VOLUME))

    assert call(api.url, "csv", *words).code == DONE
    assert api.bodies(f"POST {route}") == [body]


def test_a_check_that_finds_something_ends_with_one(api: FakeApi) -> None:
    sound = {"volume": "Volume1", "epoch": 3, "files": 2, "sound": True, "findings": []}
    hurt = {**sound, "sound": False, "findings": ["block 7 belongs to two files"]}
    api.say(f"POST {AT}/check", (200, sound), (200, hurt))

    assert call(api.url, "csv", "check", "Volume1").code == DONE
    said = call(api.url, "csv", "check", "Volume1")
    assert (said.code, "two files" in said.out) == (FAILED, True)


def test_what_the_cluster_refuses_is_said_in_its_words(api: FakeApi) -> None:
    api.say(f"DELETE {AT}", (409, error("volume-in-use", "Volume1 has files of sql01 (5947).")))

    said = call(api.url, "csv", "remove", "Volume1")
    assert (said.code, "5947" in said.err) == (FAILED, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["csv", "redirect", "Volume1", "maybe"], "neither on nor off"),
        (["csv", "move"], "Missing argument"),
        (["vm", "create", "x", "--memory", "1MiB", "--local", "--disk", "1GiB"], "--local keeps"),
        (["vm", "create", "x", "--memory", "1MiB", "--local", "--volume", "V"], "--local keeps"),
    ],
)
def test_words_that_are_off_ask_nothing(api: FakeApi, words: list[str], says: str) -> None:
    said = call(api.url, *words)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []


@pytest.mark.parametrize("words", [["--oath", DISK_OATH], ["--oath", " Those nodes  are OFF. "]])
def test_a_disk_is_forced_for_whoever_swears(api: FakeApi, words: list[str]) -> None:
    api.say("POST /disks/Cluster Disk 1/force", (200, DISK))

    assert call(api.url, "disk", "force", "Cluster Disk 1", *words).code == DONE
    assert api.bodies("POST /disks/Cluster Disk 1/force") == [{"oath": True}]


@pytest.mark.parametrize(
    ("words", "types", "says"),
    [
        ([], None, f'say --oath "{DISK_OATH}" if it is true'),
        ([], "yes", "nothing was done: the oath is"),
        (["--oath", "no other node runs"], None, "nothing was done: the oath is"),
    ],
)
def test_without_its_own_oath_no_disk_is_forced(
    api: FakeApi, words: list[str], types: str | None, says: str
) -> None:
    said = call(api.url, "disk", "force", "Cluster Disk 1", *words, types=types)

    assert (said.code, says in said.err) == (OFF, True)
    assert api.asked == []


def test_the_volume_of_a_vm_is_in_what_its_creation_says(api: FakeApi) -> None:
    api.say("POST /vms", (201, {}))
    api.say("GET /vms/x", (200, {"name": "x", "state": "Online", "node": "node1", "home": "V2"}))

    said = call(api.url, "vm", "create", "x", "--memory", "1MiB")

    assert said.out.strip() == "x was created: Online on node1, its files on V2."
    assert "volume" not in api.bodies("POST /vms")[0]
    call(api.url, "vm", "create", "x", "--memory", "1MiB", "--local")
    assert api.bodies("POST /vms")[1]["local"] is True


def moving(state: str, outcome: str | None, copied_bytes: int) -> tuple[int, dict[str, Any]]:
    """The VM whose files are, or were, on their way to Volume2."""
    how = {"move": 1, "to": "Volume2", "state": state, "outcome": outcome, "reason": ""}
    sizes = {"copied_bytes": copied_bytes, "total_bytes": 100, "seconds": 1.0}
    return 200, {"name": "sql01", "storage_move": {**how, **sizes}}


CLOSED = moving("Closed", "completed", 100)


def test_a_move_of_storage_goes_on_while_a_coordinator_is_away(api: FakeApi) -> None:
    api.say("POST /vms/sql01/move-storage", (202, {"vm": "sql01", "move": 1}))
    api.say("GET /vms/sql01", moving("Copying", None, 10), *[(0, None)] * 5, CLOSED)

    said = call(api.url, "vm", "move-storage", "sql01", "--to", "Volume2")

    assert (said.code, "10 % of" in said.err) == (DONE, True)


class Impatient(FakeApi):
    """Presses Ctrl-C at the first look, which comes too late."""

    async def answer(self, request: Any) -> Any:
        if request.method == "POST" and request.path.endswith("/cancel-storage-move"):
            self.say("GET /vms/sql01", CLOSED)
        elif request.method == "GET" and not self.bodies("GET /vms/sql01"):
            os.kill(os.getpid(), signal.SIGINT)
        return await super().answer(request)


def test_ctrl_c_that_is_too_late_for_a_move_of_storage_shows_how_it_ended() -> None:
    with serving(Impatient()) as api:
        api.say("POST /vms/sql01/move-storage", (202, {"vm": "sql01", "move": 1}))
        api.say("GET /vms/sql01", moving("Switched", None, 100))
        api.say("POST /vms/sql01/cancel-storage-move", (409, error("no-move", "It is decided.")))

        said = call(api.url, "vm", "move-storage", "sql01", "--to", "Volume2")

    assert (said.code, "It is decided." in said.err) == (DONE, True)
    assert "are on Volume2 now" in said.out


class Waiting:
    """A session whose clock jumps, before an API that says the same for ever."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.row, self.at = row, 0.0
        self.api = self

    async def get(self, where: str) -> dict[str, Any]:
        return self.row

    def now(self) -> float:
        return self.at

    async def rest(self) -> None:
        self.at += 50.0


async def test_whoever_waits_too_long_hears_how_it_is_still_and_why() -> None:
    session: Any = Waiting({"state": "OnlinePending", "reason": "Nobody reaches it."})

    with pytest.raises(Inconclusive, match=r"^It is still OnlinePending after 120 s \(Nobody"):
        await until_row(
            session, "/disks/1", lambda row: False, lambda r: f"It is still {r['state']}"
        )
    assert session.at == 150.0
