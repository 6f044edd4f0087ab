"""What must hold in every state, and when a state is well again."""

from typing import Any

from lab.exploration.world import Machine, Seat, World
from protocol.names import Incarnation

MAJORITY = 2
READ_MAX = 4096
"""How many rows are kept unpacked: most events leave them as they are."""


class Broken(AssertionError):
    """A promise was broken; the sentence says which."""


class Judge:
    """Believes nobody: looks at the guests, the leases and the rows themselves."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, int], dict[str, Any] | None] = {}

    def look(self, world: World) -> None:
        running = world.running()
        if len(running) > 1:
            raise Broken(f"two copies run: on {' and on '.join(running)}")
        row = self._row(world, "vm/vm")
        if row is None:
            return
        for life in running:
            if row["owner_incarnation"] != life or not row["live"]:
                raise Broken(
                    f"a copy runs on {life}, and the VM is {row['owner_incarnation']}'s"
                    f" ({'live' if row['live'] else 'stopped'})"
                )
        self._leases(world)

    def _leases(self, world: World) -> None:
        """A view that comes to hold leaves nobody outside of it with a lease.

        Later somebody may have one by the next view before that is known to hold.
        """
        view = self._row(world, "view")
        held = None if view is None else view["held_view"]
        if held is None or held["number"] == world.held_seen:
            return
        world.held_seen = held["number"]
        members = {Incarnation(member["incarnation"]) for member in held["members"]}
        for machine in world.alive():
            assert machine.core is not None
            outside = machine.core.incarnation not in members
            if outside and machine.guests.lease_end_s > world.now:
                raise Broken(f"view {held['number']} holds, and outside of it one has a lease")

    def is_promised(self, world: World) -> bool:
        """A coordinator and a quorum of nodes are there, and none of them sleeps."""
        awake = [m for m in world.alive() if m.frozen_until_s <= world.now]
        leaders = [s for s in world.seats.values() if s.core is not None or s.starts_at_s < 1e9]
        return len(awake) >= MAJORITY and bool(leaders)

    def is_well(self, world: World) -> bool:
        return self._is_still(world) and not self.why(world)

    def why(self, world: World) -> str:
        """What is not as it should be."""
        running, row = world.running(), self._row(world, "vm/vm")
        if row is None or len(running) != 1:
            return f"{len(running)} copies run, the row says {row and row['owner_incarnation']}"
        for key in list(world.store._kept):
            attempt = self._row(world, key) if key.startswith("attempt/") else None
            if attempt is not None and attempt["ended_at"] is None:
                return f"attempt {attempt['id']} is {attempt['decision']} and not closed"
        view = self._row(world, "view")
        assert view is not None
        members = {member["incarnation"] for member in view["members"]}
        alive = {m.core.incarnation for m in world.alive() if m.core is not None}
        if not view["held"] or members != alive:
            return f"view {view['number']} has {sorted(members)}, alive are {sorted(alive)}"
        copies = sum(len(machine.guests.there) for machine in world.alive())
        return "" if copies == 1 else f"{copies} workers are there"

    def _is_still(self, world: World) -> bool:
        """Nobody sleeps, starts, or waits for something late."""
        places: list[Machine | Seat] = [*world.machines.values(), *world.seats.values()]
        return not world.late and all(
            place.starts_at_s == float("inf")
            and (place.core is None or place.frozen_until_s <= world.now)
            for place in places
        )

    def _row(self, world: World, key: str) -> dict[str, Any] | None:
        content, _ = world.store._kept.get(key, (None, 0))
        if content is None:
            return None
        known = (key, hash(content))
        if known not in self._read:
            if len(self._read) >= READ_MAX:
                self._read.clear()
            self._read[known] = dict(world.store.get(key).value or {})
        return self._read[known]
