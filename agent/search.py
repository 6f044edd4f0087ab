"""The search for the coordinator that leads: how soon the next one is asked, and how long one that
says nothing is waited for.
"""

from protocol.messages import FromAgent, Hello, Message, Welcome

AGAIN_AFTER_S = 0.2
AGAIN_AFTER_GROWTH = 1.5
AGAIN_AFTER_MAX_S = 1.0
AGAIN_AFTER_OF_SEVERAL_MAX_S = 0.4
CONNECT_WITHIN_S = 2.0
"""A single coordinator may be slow; of several, one that does not answer is passed over sooner."""

CONNECT_WITHIN_OF_SEVERAL_S = 0.5
NEXT_AFTER_S = 0.02
"""From one coordinator to the next, until all have been asked."""

SILENT_BEATS = 2.5
SILENT_LEAST_S = 2.5
"""A leader says something with every beat; one that misses two of them may be frozen. (A single
coordinator is borne for longer: `authority.silence_max_s`.)
"""

GATHERING_FIRST_S = 0.25
GATHERING_S = 0.75
GATHERING_MAX_S = 24.0
"""Before a welcome a leader may wait for other nodes in silence, so each round waits longer."""

NEVER = float("inf")


class Search:
    """Goes round `addresses` places where a coordinator may be, of `several` coordinators or one.

    Fed with what becomes of each connection, and with `now` in seconds.
    """

    def __init__(self, addresses: int, several: bool) -> None:
        self._addresses = addresses
        self._several = several
        self._in_vain = 0
        self._pause_s = AGAIN_AFTER_S
        self._gathering_s = GATHERING_S
        self._silence_s = NEVER
        self._heard_at = 0.0
        self._was_welcome = False

    @property
    def connect_within_s(self) -> float:
        return CONNECT_WITHIN_OF_SEVERAL_S if self._several else CONNECT_WITHIN_S

    @property
    def silence_s(self) -> float:
        """How long this coordinator may say nothing."""
        return self._silence_s

    @property
    def silent_at(self) -> float:
        """When it has said nothing for too long; never, where there is nobody else to go to."""
        return self._heard_at + self._silence_s if self._several else NEVER

    def connected(self, now: float) -> None:
        """A coordinator is there; a node of no cluster is not spoken to, so nothing is expected."""
        self._was_welcome = False
        self._silence_s = NEVER
        self._heard_at = now

    def said(self, message: FromAgent) -> None:
        """Who says which cluster it belongs to may expect an answer."""
        if isinstance(message, Hello) and message.cluster is not None:
            self._silence_s = self._gathering_s

    def heard(self, message: Message, now: float) -> None:
        self._heard_at = now
        if isinstance(message, Welcome):
            self._was_welcome = True
            self._gathering_s = GATHERING_S
            self._silence_s = max(SILENT_LEAST_S, SILENT_BEATS * message.timing.delay_s)

    def fell_silent(self) -> None:
        """It was left for its silence; after a welcome it is met again until its place is taken."""
        if self._was_welcome:
            self._gathering_s = GATHERING_FIRST_S

    def ended(self) -> float:
        """A link that stood is gone; how long to wait before the next address is tried."""
        if self._was_welcome or not self._several:
            self._pause_s, self._in_vain = AGAIN_AFTER_S, -1
        return self.missed()

    def missed(self) -> float:
        """Nobody led there; how long to wait before the next address is tried."""
        self._in_vain += 1
        if self._in_vain % self._addresses and self._several:
            return NEXT_AFTER_S
        if self._in_vain:
            self._gathering_s = min(2 * self._gathering_s, GATHERING_MAX_S)
        pause_s = self._pause_s
        most_s = AGAIN_AFTER_OF_SEVERAL_MAX_S if self._several else AGAIN_AFTER_MAX_S
        self._pause_s = min(pause_s * AGAIN_AFTER_GROWTH, most_s)
        return pause_s
