"""Every message that one program says to another, grouped by conversation.

Whatever carries authority names the cluster, the term of the coordinator that speaks, the
incarnation that is
spoken to or speaks, and, for VMs and migrations, the epoch and the attempt; the stale is refused.
"""

from protocol.messages.forecasts import (
    Figure,
    Forecast,
    SampleWrites,
    Spread,
    WayAhead,
    Window,
    WritesForecast,
)
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
from protocol.messages.pulls import (
    MissingNamed,
    MissingPages,
    MissingTaken,
    PagesComplete,
    PagesLacking,
    PagesWanted,
    PullGreeting,
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
from protocol.messages.storage import (
    CheckVolume,
    DiskFenced,
    DiskFormatted,
    DiskLost,
    DiskOwned,
    DiskReleased,
    DiskReport,
    FenceDisk,
    FilesRemoved,
    FormatDisk,
    GrantDisk,
    OwnDisk,
    ReleaseDisk,
    RemoveFiles,
    RequestRefused,
    UseDisks,
    VolumeAt,
    VolumeChecked,
    VolumeGone,
)
from protocol.messages.storage_moves import (
    MoveStorage,
    StorageDecided,
    StorageMirrored,
    StorageMoveEnded,
    StorageMoveFailed,
    StorageProgress,
)
from protocol.messages.volumes import (
    Attach,
    Attached,
    CloseFile,
    ConvertExtents,
    CreateFile,
    DeleteFile,
    Done,
    Failed,
    FileExtent,
    FileOpened,
    FileRead,
    FlushVolume,
    FolderEntry,
    FolderListed,
    GoDirect,
    GrowFile,
    ListFolder,
    LookAtFile,
    OpenFile,
    ReadFile,
    Redirect,
    RenameFile,
    VolumeAnswer,
    VolumeMessage,
    VolumeRequest,
    WriteFile,
)

HeartbeatMessage = Heartbeat | HeartbeatAnswer
StorageOrder = (
    UseDisks
    | GrantDisk
    | FenceDisk
    | OwnDisk
    | ReleaseDisk
    | FormatDisk
    | CheckVolume
    | RemoveFiles
    | VolumeAt
    | VolumeGone
)
StorageReport = (
    DiskReport
    | DiskFenced
    | DiskOwned
    | DiskReleased
    | DiskLost
    | DiskFormatted
    | VolumeChecked
    | FilesRemoved
    | RequestRefused
)
MoveOrder = MoveStorage | StorageDecided
MoveReport = StorageProgress | StorageMirrored | StorageMoveFailed | StorageMoveEnded
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
    | StorageReport
    | MoveReport
    | WritesForecast
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
    | SampleWrites
    | StorageOrder
    | MoveOrder
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
    | MissingPages
    | MissingNamed
    | MissingTaken
)
PullMessage = PullGreeting | PagesLacking | PagesWanted | PagesComplete
Message = HeartbeatMessage | FromAgent | ToAgent | MigrationMessage | PullMessage | VolumeMessage

__all__ = [
    "Abandoned",
    "Arbitrate",
    "Attach",
    "Attached",
    "AttemptReport",
    "CheckVolume",
    "CloseFile",
    "Consented",
    "ConvertExtents",
    "CopyKept",
    "CopyOffered",
    "CreateFile",
    "Decided",
    "DeleteFile",
    "DeviceState",
    "DiskFenced",
    "DiskFormatted",
    "DiskLost",
    "DiskOwned",
    "DiskReleased",
    "DiskReport",
    "Done",
    "Ended",
    "Evicted",
    "FailVm",
    "Failed",
    "FenceDisk",
    "Figure",
    "FileExtent",
    "FileOpened",
    "FileRead",
    "FilesRemoved",
    "FlushVolume",
    "FolderEntry",
    "FolderListed",
    "Forecast",
    "FormatDisk",
    "FromAgent",
    "GaveUp",
    "GoDirect",
    "GrantDisk",
    "Greeted",
    "Greeting",
    "GrowFile",
    "Heartbeat",
    "HeartbeatAnswer",
    "HeartbeatMessage",
    "Hello",
    "KeepCopy",
    "ListFolder",
    "LookAtFile",
    "Message",
    "Migrate",
    "MigrationMessage",
    "MissingNamed",
    "MissingPages",
    "MissingTaken",
    "MoveOrder",
    "MoveReport",
    "MoveStorage",
    "OpenFile",
    "OpenStorage",
    "OwnDisk",
    "PagesComplete",
    "PagesLacking",
    "PagesWanted",
    "Part",
    "Ping",
    "Pong",
    "Progress",
    "ProposeView",
    "PullGreeting",
    "PullMessage",
    "ReadFile",
    "Redirect",
    "ReleaseDisk",
    "RemoveFiles",
    "RenameFile",
    "RequestRefused",
    "Reserve",
    "Reserved",
    "RoundEnded",
    "RoundReceived",
    "RoundRecord",
    "RouteReport",
    "SampleWrites",
    "Spread",
    "StartVm",
    "StateReceived",
    "StopVm",
    "StorageDecided",
    "StorageMirrored",
    "StorageMoveEnded",
    "StorageMoveFailed",
    "StorageOpened",
    "StorageOrder",
    "StorageProgress",
    "StorageReport",
    "ToAgent",
    "TurnedAway",
    "UseDisks",
    "ViewAcked",
    "VmReport",
    "VmStarted",
    "VmStopped",
    "VolumeAnswer",
    "VolumeAt",
    "VolumeChecked",
    "VolumeGone",
    "VolumeMessage",
    "VolumeRequest",
    "WantCopy",
    "WayAhead",
    "Welcome",
    "Window",
    "WitnessChanged",
    "WitnessStatus",
    "WriteFile",
    "WritesForecast",
]
