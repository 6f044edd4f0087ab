"""The way to a witness that may hang: one operation at a time, each answered once."""

import contextlib
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from protocol.names import Witness


class OfWitness(Protocol):
    """An order that names the witness that it goes to."""

    @property
    def witness(self) -> Witness: ...


Order = TypeVar("Order", bound=OfWitness)
Event = TypeVar("Event")


class Door(Generic[Order, Event]):
    """Carries orders out in threads, so that a share or a SAN that hangs delays nothing else.

    While one hangs every other one fails at once. Its thread is a daemon, since nobody can end it
    and a program must not wait for it.
    """

    def __init__(
        self,
        feed: Callable[[Event], None],
        later: Callable[[float, Callable[[], None]], object],
        soon: Callable[[Callable[[], None]], object],
        carry_out: Callable[[Order], Event],
        failed: Callable[[Order, str], Event],
        answer_max_s: float,
        name: str,
    ) -> None:
        """`later` calls on the loop after some seconds; `soon` does from any thread. `carry_out`
        runs in a thread called `name` and raises nothing.
        """
        self._feed = feed
        self._later = later
        self._soon = soon
        self._carry_out = carry_out
        self._failed = failed
        self._answer_max_s = answer_max_s
        self._name = name
        self._under_way: Order | None = None
        self._is_given_up = False

    def go(self, order: Order) -> None:
        """Begin it; its answer is fed later, and never twice."""
        if self._under_way is not None:
            hangs = f"witness {self._under_way.witness.path} has not answered yet"
            self._soon(lambda: self._feed(self._failed(order, hangs)))
            return
        hand = threading.Thread(target=self._work, args=(order,), name=self._name, daemon=True)
        self._under_way, self._is_given_up = order, False
        self._later(self._answer_max_s, lambda: self._give_up(order))
        try:
            hand.start()
        except RuntimeError as error:
            event = self._failed(order, f"no thread can be had ({error})")
            self._soon(lambda: self._answered(event))

    def _give_up(self, order: Order) -> None:
        if self._under_way is order and not self._is_given_up:
            self._is_given_up = True
            wait_s = self._answer_max_s
            hangs = f"witness {order.witness.path} did not answer for {wait_s:g} s"
            self._feed(self._failed(order, hangs))

    def _work(self, order: Order) -> None:
        event = self._carry_out(order)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody wants to know
            self._soon(lambda: self._answered(event))

    def _answered(self, event: Event) -> None:
        """An answer that nobody waits for any more is not fed: it was told as a failure."""
        self._under_way = None
        if not self._is_given_up:
            self._feed(event)
