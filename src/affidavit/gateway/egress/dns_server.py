"""A sandbox's name server: it answers for the hosts that may be reached, with addresses that stand for them, and asks
nobody."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from affidavit.gateway.egress.hosts import Hosts

_TTL_S = 60
_IDLE_S = 30.0
_OWN_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback")


class DnsServer(asyncio.DatagramProtocol):
    """Answers questions over UDP; `serve_stream` over TCP.

    Args:
        hosts: that may be reached.
        own: names of the sandbox itself, with the address of each.
        asked: is told of a service and the address that stands for it, before the sandbox is.
    """

    def __init__(
        self,
        hosts: Hosts,
        own: Mapping[str, str] = MappingProxyType({}),
        asked: Callable[[str, str], None] = lambda name, address: None,
    ) -> None:
        self._hosts = hosts
        self._own = {**dict.fromkeys(_OWN_NAMES, "127.0.0.1"), **own}
        self._asked = asked
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What asyncio makes for a socket is of another class than its documentation says.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self.answer(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)

    async def serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on a connection, one question after the other (RFC 7766)."""
        try:
            while True:
                async with asyncio.timeout(_IDLE_S):
                    (size,) = struct.unpack("!H", await reader.readexactly(2))
                    reply = self.answer(await reader.readexactly(size))
                    if reply is None:
                        return
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            writer.close()

    def answer(self, data: bytes) -> bytes | None:
        """The reply to a message; None where it is no question."""
        try:
            query = dns.message.from_wire(data, ignore_trailing=True)
            if query.flags & dns.flags.QR or len(query.question) != 1:
                return None
            reply = dns.message.make_response(query, recursion_available=True)
            self._fill(reply, query.question[0])
            return reply.to_wire(max_size=65_535)
        except (dns.exception.DNSException, ValueError, NotImplementedError):
            return None

    def _fill(self, reply: dns.message.Message, question: dns.rrset.RRset) -> None:
        name = question.name.to_text(omit_final_dot=True)
        own = self._own.get(name.lower())
        if question.rdclass != dns.rdataclass.IN or not (own or self._hosts.allows(name)):
            reply.set_rcode(dns.rcode.NXDOMAIN)
            return
        address = own or self._hosts.address_of(name)
        if own is None and address is not None and self._hosts.is_service(name):
            self._asked(name.lower(), address)
        if address is None:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, _TTL_S, dns.rdataclass.IN, dns.rdatatype.A, address))
