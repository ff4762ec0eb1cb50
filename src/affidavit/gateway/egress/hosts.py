"""Which host names there are in a sandbox, by which addresses, and where the hosts really are."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

from affidavit.contracts import Endpoint, EndpointError
from affidavit.events import NAMED_ADDRESSES
from affidavit.gateway.egress.records import EgressWriter
from affidavit.gateway.egress.settings import EgressSettings

Resolver = Callable[[str], Awaitable[list[str]]]
"""Looks a name up outside: its addresses; none where there are none."""

_MOST_NAMES = 4096
# Of IPv6, the addresses of single hosts that are in use; 2002::/16 (6to4) holds others', private ones among them.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")


class Hosts:
    """The host names that a sandbox may reach.

    Args:
        settings: which.
        writer: records which address stands for which of them, before it is used.
    """

    def __init__(self, settings: EgressSettings, writer: EgressWriter) -> None:
        self._settings, self._endpoints = settings, settings.parsed()
        self._given = settings.addresses
        self._writer = writer
        self._names: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        for endpoint in self._endpoints:
            if endpoint.host is not None and not endpoint.host.startswith("*."):
                self.address_of(endpoint.host)

    def allows(self, name: str) -> bool:
        """Whether one may ask for a name's address."""
        return self.is_service(name) or any(endpoint.allows_name(name) for endpoint in self._endpoints)

    def is_service(self, name: str) -> bool:
        """Whether it is the name of a service of the task."""
        return name.lower().removesuffix(".") in self._settings.services

    def allows_port(self, name: str, port: int) -> bool:
        """Whether a host may be reached on a port of TCP."""
        return self._settings.allows(name, port)

    def address_of(self, name: str) -> str | None:
        """The address that stands for an allowed name; None where there can be no more."""
        name = name.lower().removesuffix(".")
        if name not in self._addresses:
            if len(self._addresses) >= _MOST_NAMES or not (self.is_service(name) or _is_name(name)):
                return None
            # From 198.18.0.1 on.
            address = str(NAMED_ADDRESSES[len(self._addresses) + 1])
            self._writer.name(address, name)
            self._addresses[name] = address
            self._names[address] = name
        return self._addresses[name]

    def name_of(self, address: str) -> str | None:
        """The name that an address stands for; None where it stands for none."""
        return self._names.get(address)

    def given(self, name: str) -> str | None:
        """Where the user says that a host is; None where nobody says it."""
        return self._given.get(name)


async def resolve(name: str) -> list[str]:
    """The addresses of a name, by the machine's own resolver."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address is one of a host on the Internet: not private, link-local, loopback, shared or reserved, and
    no IPv6 address that stands for an IPv4 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if ip.is_multicast or not ip.is_global:
        return False
    return ip.version == 4 or (ip in _GLOBAL_6 and ip not in _SIX_TO_FOUR)


def _is_name(name: str) -> bool:
    try:
        return Endpoint.parse(name).host == name and not name.startswith("*.")
    except EndpointError:
        return False
