"""How the data of a read are cut into pieces for the wire (RFC 7143 section 11.7)."""

from protocol.iscsi.digests import Buffer
from protocol.iscsi.negotiation import Agreed
from protocol.iscsi.responses import DataIn


def pieces(
    tag: int, data: Buffer, agreed: Agreed, exp_cmd_sn: int, max_cmd_sn: int
) -> list[DataIn]:
    """The data as PDUs without a status; the last one of each burst is marked as final."""
    view, size = memoryview(data), len(data)
    found: list[DataIn] = []
    offset, burst_end = 0, agreed.burst_bytes_max
    while offset < size:
        end = min(offset + agreed.send_bytes_max, burst_end, size)
        final = end in (burst_end, size)
        found.append(
            DataIn(tag, len(found), offset, exp_cmd_sn, max_cmd_sn, final, data=view[offset:end])
        )
        offset = end
        if final:
            burst_end += agreed.burst_bytes_max
    return found
