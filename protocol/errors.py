"""Every error raised on purpose, in one tree, and whether what it reports may still have happened.

```text
ClusterError              indefinite unless a class says otherwise
├── Refused               definite    the rules say no; the sentence says what would be right
├── NotReady              definite    right request, wrong moment: nothing was done, ask again
├── NoMemory              definite    the machine has not the memory that was asked for
├── StoreError            definite    the store did not do it, and never will
├── StoreIndefinite       indefinite  the store may have done it: read before you repeat
├── PeerUnreachable       indefinite  the link broke: the last request may have arrived
└── ProtocolError         indefinite  the bytes are off: perhaps those of an answer
    ├── FrameTooBig                   announces, or would be, more than its limit
    ├── FrameTruncated                ends before it is whole
    ├── BadFrame                      not msgpack, or not of its message's shape
    ├── UnknownMessage                a name that this side does not know
    ├── VersionMismatch               neither the version spoken here nor the one before
    └── BadBatch                      a batch of pages that does not fit the VM or the attempt
```

A definite error may be repeated or dropped. After an indefinite one, ask who won before anything is
repeated. A broken promise of our own code is an `AssertionError` and stands outside this tree:
nobody catches it.
"""

from typing import ClassVar


class ClusterError(Exception):
    """Base of every error raised on purpose; its text is one sentence that a person can act on.

    `definite` promises that the request had no effect and never will, so it may be
    repeated. An indefinite error leaves the outcome open: ask before you repeat.
    """

    definite: ClassVar[bool] = False

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Refused(ClusterError):
    """The rules say no; the sentence says which rule, and what would be right."""

    definite = True


class NotReady(ClusterError):
    """The one that was asked cannot act yet (it forms, recovers, lacks quorum) and did nothing."""

    definite = True


class NoMemory(ClusterError):
    """The machine has not the memory that was asked for; none of it is taken."""

    definite = True


class StoreError(ClusterError):
    """The store did not do it, and never will."""

    definite = True


class StoreIndefinite(ClusterError):
    """The store may have done it: read what it holds before you repeat."""


class PeerUnreachable(ClusterError):
    """The link broke, so the last request may or may not have arrived."""


class ProtocolError(ClusterError):
    """The peer's bytes break the rules of the wire; the link that carried them is beyond use."""


class FrameTooBig(ProtocolError):
    """A frame announces, or would be, more than its limit."""


class FrameTruncated(ProtocolError):
    """The bytes end before the frame is whole."""


class BadFrame(ProtocolError):
    """The bytes are not msgpack, or not of the shape that their message has."""


class UnknownMessage(ProtocolError):
    """The frame holds a message of a name that this side does not know."""


class VersionMismatch(ProtocolError):
    """The frame is of a protocol version that this side does not speak; the sentence names both."""


class BadBatch(ProtocolError):
    """A batch of pages that does not fit the VM or the attempt it names."""
