"""Mode pages: that writes may wait in a cache, and how tasks and sense data are treated."""

import struct

from protocol.scsi.commands import ModeSense, PageControl
from protocol.scsi.errors import IllegalRequest
from protocol.scsi.sense import INVALID_FIELD_IN_CDB, SAVING_NOT_SUPPORTED

CACHING, CONTROL, ALL_PAGES, ALL_SUBPAGES = 0x08, 0x0A, 0x3F, 0xFF
WRITE_CACHE = 0x04
TELLS_ABORTED_TASKS = 0x40
KNOWS_FUA, IS_READ_ONLY = 0x10, 0x80

# Without page code and length. Control: tasks may be reordered, aborted ones are answered.
PAGES = {
    CACHING: bytes([WRITE_CACHE, *bytes(17)]),
    CONTROL: bytes([0, 0x10, 0, TELLS_ABORTED_TASKS, 0, 0, 0xFF, 0xFF, 0, 0]),
}


def write_modes(asked: ModeSense, blocks: int, block_bytes: int, read_only: bool = False) -> bytes:
    """The pages asked for behind their head; none of them can be changed."""
    if asked.control is PageControl.SAVED:
        raise IllegalRequest(SAVING_NOT_SUPPORTED, "Mode pages are not saved here.")
    wanted = list(PAGES) if asked.page == ALL_PAGES else [asked.page]
    known = [page for page in wanted if page in PAGES]
    if not known or asked.subpage not in (0, ALL_SUBPAGES):
        raise IllegalRequest(
            INVALID_FIELD_IN_CDB,
            f"There is no mode page {asked.page:02x}h/{asked.subpage:02x}h here, "
            f"but {CACHING:02x}h and {CONTROL:02x}h.",
        )
    body = b"".join(_page(page, asked.control) for page in known)
    device = KNOWS_FUA | (IS_READ_ONLY if read_only else 0)
    block = b""
    if not asked.no_block_descriptors:
        block = struct.pack(">II", min(blocks, 0xFFFFFFFF), block_bytes)
    if asked.form == 6:
        return bytes([3 + len(block) + len(body), 0, device, len(block)]) + block + body
    length = 6 + len(block) + len(body)
    return struct.pack(">HBBxxH", length, 0, device, len(block)) + block + body


def _page(page: int, control: PageControl) -> bytes:
    content = PAGES[page]
    if control is PageControl.CHANGEABLE:
        content = bytes(len(content))
    return bytes([page, len(content)]) + content
