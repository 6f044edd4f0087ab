"""What both ends of a pull do with its socket: little lies in the kernel's buffers, so that a page
that is waited for does not queue behind many that are not, and a silent end is noticed.
"""

import socket

from protocol.errors import PeerUnreachable

BUFFER_BYTES = 512 * 1024
_SILENCE_S = 5
"""How long sent bytes, or an idle connection's probes, go unacknowledged."""


def tuned(sock: socket.socket) -> None:
    """Before it connects, and on the side that is connected to at once."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_NODELAY, 1),
        (socket.TCP_KEEPIDLE, 1),
        (socket.TCP_KEEPINTVL, 1),
        (socket.TCP_KEEPCNT, _SILENCE_S - 1),
        (socket.TCP_USER_TIMEOUT, _SILENCE_S * 1000),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def receive_into(sock: socket.socket, target: memoryview) -> None:
    """Fill `target`, or raise."""
    got = 0
    while got < len(target):
        count = sock.recv_into(target[got:], 0, socket.MSG_WAITALL)
        if count == 0:
            raise PeerUnreachable("the other side ended it")
        got += count
