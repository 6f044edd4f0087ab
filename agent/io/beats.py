"""Heartbeats as datagrams: one UDP socket on each of the node's networks."""

import asyncio
import socket
from collections.abc import Callable, Mapping

from protocol.codec import decode, encode
from protocol.errors import ProtocolError, Refused
from protocol.messages import Heartbeat, HeartbeatAnswer, HeartbeatMessage
from protocol.names import NetworkName

Received = Callable[[NetworkName, HeartbeatMessage], None]

_EXPEDITED = 0xB8
"""The DSCP value EF as TOS byte: heartbeats before pages, wherever the network listens to it."""


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, network: NetworkName, received: Received) -> None:
        self._network = network
        self._received = received

    def datagram_received(self, data: bytes, _addr: tuple[str | object, int]) -> None:
        try:
            message = decode(data)
        except ProtocolError:
            return  # hostile or broken: a heartbeat that cannot be read was not heard
        if isinstance(message, Heartbeat | HeartbeatAnswer):
            self._received(self._network, message)

    def error_received(self, _exc: Exception) -> None:
        """A peer that is not there (ICMP) is a silent peer."""


class Beats:
    """Sends and hears heartbeats. The same port on all networks: the first one taken decides."""

    def __init__(self, received: Received) -> None:
        self._received = received
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
                lambda network=network: _Ear(network, self._received),  # type: ignore[misc]
                sock=sock,
            )

    def send(
        self, network: NetworkName, address: str, port: int, message: Heartbeat | HeartbeatAnswer
    ) -> None:
        """One datagram; that it arrives is nobody's promise."""
        transport = self._transports.get(network)
        if transport is not None and not transport.is_closing():
            transport.sendto(encode(message), (address, port))

    def close(self) -> None:
        for transport in self._transports.values():
            transport.close()
