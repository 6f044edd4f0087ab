"""What can be off with the bytes of an iSCSI peer; each ends the connection unless it says else.

```text
ProtocolError
└── IscsiError
    ├── BadPdu            a header, an additional header or a field that no rule allows
    ├── PduTooBig         announces more data than was declared
    ├── DigestMismatch    CRC32C of header or data is another than its bytes have
    ├── BadText           key=value pairs that break the rules of text
    ├── BadNegotiation    an answer or a value that the key does not allow
    ├── BadName           no iSCSI name
    └── BadChap           the peer did not prove that it knows the secret, or broke the dialogue
```
"""

from protocol.errors import ProtocolError


class IscsiError(ProtocolError):
    """The peer's bytes break a rule of iSCSI."""


class BadPdu(IscsiError):
    """A header, an additional header segment or a field that no rule allows."""


class PduTooBig(IscsiError):
    """A data segment is announced that is longer than the receiver has declared to take."""


class DigestMismatch(IscsiError):
    """CRC32C of a header or of data is another than its bytes have: the line corrupts."""

    def __init__(self, sentence: str, header: bytes | None = None) -> None:
        super().__init__(sentence)
        self.header = header
        """The good header of a PDU whose data are bad, as a Reject wants it back."""


class BadText(IscsiError):
    """Text that is no list of key=value pairs, or more of it than is allowed."""


class BadNegotiation(IscsiError):
    """A value that its key does not allow, or an answer that fits no offer."""


class BadName(IscsiError):
    """A name that is neither iqn., eui. nor naa., or breaks their rules."""


class BadChap(IscsiError):
    """The peer did not prove that it knows the secret, or broke the dialogue of CHAP."""
