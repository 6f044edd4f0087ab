"""Tells changes that last, and leaves out those that go back before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key")
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Change(Generic[Key, State]):
    """`key` has been in the state `now` since `since`; before, it was last told to be `before`."""

    key: Key
    before: State
    now: State
    since: float


class Steady(Generic[Key, State]):
    """Remembers what was last told of each key; of a new key it is as if `usual` had been told."""

    def __init__(self, usual: State) -> None:
        self._usual = usual
        self._told: dict[Key, State] = {}
        self._coming: dict[Key, tuple[State, float]] = {}

    def begin(self) -> None:
        """Nobody has looked for a while: how long anything has lasted is not known."""
        self._coming.clear()

    def look(
        self, states: Mapping[Key, State], lasting_s: float, now: float
    ) -> list[Change[Key, State]]:
        """What has been other than last told for `lasting_s`; keys that are gone are forgotten."""
        for gone in (self._told.keys() | self._coming.keys()) - states.keys():
            self._told.pop(gone, None)
            self._coming.pop(gone, None)
        changes = []
        for key, state in states.items():
            before = self._told.get(key, self._usual)
            if state == before:
                self._coming.pop(key, None)
                continue
            coming, since = self._coming.get(key, (state, now))
            if coming != state:
                since = now
            self._coming[key] = (state, since)
            if now - since >= lasting_s:
                del self._coming[key]
                self._told[key] = state
                changes.append(Change(key, before, state, since))
        return changes
