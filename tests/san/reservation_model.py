"""Persistent reservations told naively, rule by rule from the standard, to compare with."""

from dataclasses import dataclass, field

WE, EA, WERO, EARO, WEAR, EAAR = 1, 3, 5, 6, 7, 8

PREEMPTED, RELEASED, UNREGISTERED = "2a03", "2a04", "2a05"


@dataclass
class Model:
    """`rows` are [nexus, key] in the order of registration; `holders` lists who holds."""

    rows: list[list[object]] = field(default_factory=list)
    kind: int = 0
    holder: object = None
    generation: int = 0
    told: list[tuple[object, str]] = field(default_factory=list)
    aborted: list[object] = field(default_factory=list)

    def key_of(self, nexus: object) -> object:
        for row in self.rows:
            if row[0] == nexus:
                return row[1]
        return None

    def holders(self) -> list[object]:
        if self.kind in (WEAR, EAAR):
            return [row[0] for row in self.rows]
        return [self.holder] if self.kind else []

    def registered(self) -> list[object]:
        return [row[0] for row in self.rows]

    def tell(self, nexuses: list[object], what: str, but: object = None) -> None:
        self.told += [(nexus, what) for nexus in nexuses if nexus != but]

    def drop(self, nexus: object) -> None:
        """A registration goes; with the last holder goes the reservation."""
        was_holder = nexus in self.holders()
        self.rows = [row for row in self.rows if row[0] != nexus]
        if not was_holder or (self.kind in (WEAR, EAAR) and self.rows):
            return
        kind, self.kind, self.holder = self.kind, 0, None
        if kind not in (WE, EA):
            self.tell(self.registered(), RELEASED)

    def register(self, nexus: object, key: int, new: int, ignores: bool) -> str:
        self.told, self.aborted = [], []
        mine = self.key_of(nexus)
        if not ignores and key != (mine or 0):
            return "conflict"
        if mine is None and new == 0:
            return "good"
        self.generation += 1
        if new == 0:
            self.drop(nexus)
        elif mine is None:
            self.rows.append([nexus, new])
        else:
            for row in self.rows:
                if row[0] == nexus:
                    row[1] = new
        return "good"

    def reserve(self, nexus: object, key: int, kind: int) -> str:
        self.told, self.aborted = [], []
        if self.key_of(nexus) != key:
            return "conflict"
        if self.kind:
            return "good" if nexus in self.holders() and kind == self.kind else "conflict"
        self.kind = kind
        self.holder = nexus if kind not in (WEAR, EAAR) else None
        return "good"

    def release(self, nexus: object, key: int, kind: int) -> str:
        self.told, self.aborted = [], []
        if self.key_of(nexus) != key:
            return "conflict"
        if nexus not in self.holders():
            return "good"
        if kind != self.kind:
            return "2604"
        if kind not in (WE, EA):
            self.tell(self.registered(), RELEASED, but=nexus)
        self.kind, self.holder = 0, None
        return "good"

    def clear(self, nexus: object, key: int) -> str:
        self.told, self.aborted = [], []
        if self.key_of(nexus) != key:
            return "conflict"
        self.tell(self.registered(), PREEMPTED, but=nexus)
        self.rows, self.kind, self.holder = [], 0, None
        self.generation += 1
        return "good"

    def preempt(self, nexus: object, key: int, victim: int, kind: int, aborts: bool) -> str:
        self.told, self.aborted = [], []
        if self.key_of(nexus) != key:
            return "conflict"
        if self.kind in (WEAR, EAAR):
            aims_at_holder = victim == 0
        else:
            aims_at_holder = self.kind != 0 and self.key_of(self.holder) == victim
        if victim == 0 and not aims_at_holder:
            return "2600"
        matching = [row[0] for row in self.rows if victim in (0, row[1])]
        if not matching:
            return "conflict"
        if aims_at_holder:
            removed = [one for one in matching if one != nexus]
            self.rows = [row for row in self.rows if row[0] not in removed]
            if kind != self.kind:
                self.tell(self.registered(), RELEASED, but=nexus)
            self.kind = kind
            self.holder = nexus if kind not in (WEAR, EAAR) else None
        else:
            removed = matching
            for one in removed:
                self.drop(one)
        self.tell(removed, UNREGISTERED, but=nexus)
        if aborts:
            own = [nexus] if aims_at_holder and victim and nexus in matching else []
            self.aborted = removed + own
        self.generation += 1
        return "good"

    def may(self, nexus: object, what: str) -> bool:
        """`what` is read or write."""
        if not self.kind or nexus in self.holders():
            return True
        if self.kind in (WE, WERO, WEAR) and what == "read":
            return True
        return self.kind not in (WE, EA) and nexus in self.registered()
