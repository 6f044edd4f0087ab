"""Every message that one program says to another, grouped by conversation.

Whatever carries authority names the cluster, the term of the coordinator that speaks, the
incarnation that is
spoken to or speaks, and, for VMs and migrations, the epoch and the attempt; the stale is refused.
"""

from protocol.messages.heartbeats import (
    Heartbeat,
    HeartbeatAnswer,
)
from protocol.messages.migration import (
    Abandoned,
    DeviceState,
    Greeted,
    Greeting,
    OpenStorage,
    RoundEnded,
    RoundReceived,
    StateReceived,
    StorageOpened,
)
from protocol.messages.orders import (
    Arbitrate,
    Decided,
    Evicted,
    FailVm,
    KeepCopy,
    Migrate,
    Ping,
    ProposeView,
    Reserve,
    StartVm,
    StopVm,
    TurnedAway,
    WantCopy,
    Welcome,
)
from protocol.messages.reports import (
    AttemptReport,
    Consented,
    CopyKept,
    CopyOffered,
    Ended,
    GaveUp,
    Hello,
    Part,
    Pong,
    Progress,
    Reserved,
    RoundRecord,
    RouteReport,
    ViewAcked,
    VmReport,
    VmStarted,
    VmStopped,
    WitnessChanged,
    WitnessStatus,
)

HeartbeatMessage = Heartbeat | HeartbeatAnswer
FromAgent = (
    Hello
    | Pong
    | ViewAcked
    | VmStarted
    | VmStopped
    | Reserved
    | Progress
    | Consented
    | GaveUp
    | Ended
    | WitnessChanged
    | CopyKept
    | CopyOffered
)
ToAgent = (
    Welcome
    | TurnedAway
    | ProposeView
    | Ping
    | Arbitrate
    | KeepCopy
    | WantCopy
    | Evicted
    | StartVm
    | StopVm
    | FailVm
    | Reserve
    | Migrate
    | Decided
)
MigrationMessage = (
    Greeting
    | Greeted
    | RoundEnded
    | RoundReceived
    | DeviceState
    | StateReceived
    | OpenStorage
    | StorageOpened
    | Abandoned
)
Message = HeartbeatMessage | FromAgent | ToAgent | MigrationMessage

__all__ = [
    "Abandoned",
    "Arbitrate",
    "AttemptReport",
    "Consented",
    "CopyKept",
    "CopyOffered",
    "Decided",
    "DeviceState",
    "Ended",
    "Evicted",
    "FailVm",
    "FromAgent",
    "GaveUp",
    "Greeted",
    "Greeting",
    "Heartbeat",
    "HeartbeatAnswer",
    "HeartbeatMessage",
    "Hello",
    "KeepCopy",
    "Message",
    "Migrate",
    "MigrationMessage",
    "OpenStorage",
    "Part",
    "Ping",
    "Pong",
    "Progress",
    "ProposeView",
    "Reserve",
    "Reserved",
    "RoundEnded",
    "RoundReceived",
    "RoundRecord",
    "RouteReport",
    "StartVm",
    "StateReceived",
    "StopVm",
    "StorageOpened",
    "ToAgent",
    "TurnedAway",
    "ViewAcked",
    "VmReport",
    "VmStarted",
    "VmStopped",
    "WantCopy",
    "Welcome",
    "WitnessChanged",
    "WitnessStatus",
]
