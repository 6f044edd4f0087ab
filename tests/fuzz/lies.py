"""What a lying source may send, and what must come of it whatever it is."""

import queue
import resource
import socket
import struct
from contextlib import closing

import numpy as np
import zstandard

from agent.batches import MAGIC, VERSION
from agent.io.codecs import decoder_for
from agent.io.page_receiver import Arrival, PageReceiver, RoundReceived, StreamFailed
from protocol.errors import BadBatch, PeerUnreachable
from tests.agent.io.page_ground import ATTEMPT, PATIENCE_S, Memory

VM_PAGES = 16
HEADER = struct.Struct("<4sHHQIIIQ")
SAID_BYTES_MAX = 64 * 1024
"""As much as a socket takes at once, whoever reads at the other end."""

MEMORY_KIB_MAX = 64 * 1024
"""What a lie may cost beside what the process had before it."""


def header(kind: int, round_no: int, runs: int, payload_bytes: int, checksum: int) -> bytes:
    """The fixed part of a batch of the right attempt, with numbers that nobody has checked."""
    return HEADER.pack(
        MAGIC, VERSION, kind, ATTEMPT, round_no, runs % 2**32, payload_bytes % 2**32, checksum
    )


def bomb(content_bytes: int) -> bytes:
    """A frame of a few bytes that says, truly, how much it becomes."""
    return zstandard.ZstdCompressor().compress(bytes(content_bytes))


def hear_out(said: bytes) -> str:
    """Have a receiver hear all of it and then the end; the sentence with which it gave up.

    Whatever was said: an error of ours, no byte outside the VM, and no memory to speak of.
    """
    arrivals: queue.Queue[Arrival] = queue.Queue()
    here, there = socket.socketpair()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with closing(Memory(VM_PAGES)) as memory, here:
        receiver = PageReceiver(
            there,
            memory,
            ATTEMPT,
            on_arrival=arrivals.put,
            fresh=np.ones(VM_PAGES, np.bool_),
            decoder=decoder_for(),
        )
        here.sendall(said[:SAID_BYTES_MAX])
        here.shutdown(socket.SHUT_WR)
        receiver.start()
        try:
            while isinstance(news := arrivals.get(timeout=PATIENCE_S), RoundReceived):
                pass
        finally:
            receiver.close()
        assert isinstance(news, StreamFailed)
        assert isinstance(news.error, BadBatch | PeerUnreachable), news.error
        assert not memory.behind.any(), "written outside the VM"
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert grown_kib < MEMORY_KIB_MAX, f"{grown_kib} KiB for {len(said)} bytes"
    return str(news.error)
