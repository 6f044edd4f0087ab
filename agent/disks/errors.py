"""What may go wrong on the way to a target, below the errors that a disk shows to its users.

```text
DiskError
├── LoginRefused     definite    the target does not let this node in; the sentence says why
├── SessionBroken    indefinite  the session ended, and with it the knowledge of what was under way
└── MediumError
    └── NoSpace      indefinite  the storage behind a thin disk is full
```
"""

from agent.volumes.errors import DiskError, MediumError


class LoginRefused(DiskError):
    """The target does not let this node in; the sentence says why."""

    definite = True


class SessionBroken(DiskError):
    """The session ended before the command was answered."""


class NoSpace(MediumError):
    """The storage behind a thin disk is full; the write may have been carried out in part."""
