"""Heartbeats as datagrams: one UDP socket on each of the node's networks."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from protocol.codec import decode, encode
from protocol.errors import ProtocolError, Refused
from protocol.messages import Heartbeat, HeartbeatAnswer, HeartbeatMessage
from protocol.names import NetworkName

Received = Callable[[NetworkName, HeartbeatMessage], None]

_EXPEDITED = 0xB8
"""The DSCP value EF as TOS byte: heartbeats before pages, wherever the network listens to it."""


_LOG_BUFFER_BYTES = 1 << 16
"""The log of beats is written in large pieces, so that it does not delay what it measures."""


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, network: NetworkName, received: Received, log: IO[str] | None) -> None:
        self._network = network
        self._received = received
        self._log = log

    def datagram_received(self, data: bytes, _addr: tuple[str | object, int]) -> None:
        try:
            message = decode(data)
        except ProtocolError:
            return  # hostile or broken: a heartbeat that cannot be read was not heard
        if self._log is not None and isinstance(message, Heartbeat):
            now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
            self._log.write(f"{now_s:.6f} {self._network} {message.sender}\n")
        if isinstance(message, Heartbeat | HeartbeatAnswer):
            self._received(self._network, message)

    def error_received(self, _exc: Exception) -> None:
        """A peer that is not there (ICMP) is a silent peer."""


class Beats:
    """Sends and hears heartbeats. The same port on all networks: the first one taken decides.

    With `log` each arrival of a heartbeat is a line there: when, on which network, from whom.
    """

    def __init__(self, received: Received, log: Path | None = None) -> None:
        self._received = received
        self._log = None if log is None else log.open("a", _LOG_BUFFER_BYTES)
        self._transports: dict[NetworkName, asyncio.DatagramTransport] = {}
        self.port = 0

    async def listen(self, addresses: Mapping[NetworkName, str], port: int) -> None:
        loop = asyncio.get_running_loop()
        self.port = port
        for network, address in addresses.items():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED)
            try:
                sock.bind((address, self.port))
            except OSError as error:
                sock.close()
                raise Refused(
                    f"cannot hear heartbeats on {address} UDP port {self.port}: {error.strerror}; "
                    "end what uses it or choose another --heartbeat-port"
                ) from error
            self.port = sock.getsockname()[1]
            self._transports[network], _ = await loop.create_datagram_endpoint(
                lambda network=network: _Ear(network, self._received, self._log),  # type: ignore[misc]
                sock=sock,
            )

    def send(
        self, network: NetworkName, address: str, port: int, message: Heartbeat | HeartbeatAnswer
    ) -> None:
        """One datagram; that it arrives is nobody's promise."""
        transport = self._transports.get(network)
        if transport is None or transport.is_closing():
            return
        # An address comes from the peer that is reached there: a wrong one is that peer's loss.
        with contextlib.suppress(OSError, ValueError, OverflowError):
            transport.sendto(encode(message), (address, port))

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()
        if self._log is not None:
            self._log.close()
            self._log = None
