"""The core's picture in the shapes that the HTTP API promises."""

from collections.abc import Mapping
from typing import Any

from coordinator.shown.picture import Picture
from coordinator.store.interface import Row
from protocol.names import Workload
from protocol.workload import format_workload

Data = dict[str, Any]

LIVE = ("step", "round", "pages_sent", "pages_total")


def status(picture: Picture) -> Data:
    available = [node["name"] for node in picture.available]
    more = {"available": available, "waiting": picture.waiting, "view": picture.view}
    return {**picture.status, **more}


def vm(data: Data) -> Data:
    return {**data, "workload": format_workload(Workload(**data["workload"]))}


def attempt(data: Data) -> Data:
    """The record; `live` says how far it is until both ends have cleaned up."""
    record = {key: value for key, value in data.items() if key not in (*LIVE, "since_s")}
    live = None
    if "since_s" in data:
        live = {**{key: data[key] for key in LIVE}, "seconds": data["since_s"]}
    return {**record, "live": live}


def one(rows: tuple[Data, ...], key: str, value: object) -> Data | None:
    return next((row for row in rows if row[key] == value), None)


def named(rows: tuple[Data, ...], word: str, name: str, *exact: str) -> Data | None:
    """The row that goes by `word`: by its `name` in any case of letters, or by one of the others.

    The core finds disks and volumes by the same words (coordinator.storage.disks.by_name).
    """
    for row in rows:
        if row[name].lower() == word.lower() or word in [row[key] for key in exact]:
            return row
    return None


def event(row: Row) -> Data:
    """A line of the event log under its index, by which one goes on reading."""
    value: Mapping[str, Any] = {} if row.value is None else row.value
    return {"index": event_index(row.key), **value}


def event_index(key: str) -> int:
    return int(key.rpartition("/")[2])
