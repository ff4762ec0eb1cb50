"""Socket addresses and DNS questions, decoded from what a sandbox passed to the kernel: hostile bytes, bounded."""

import ipaddress
import struct
from typing import NamedTuple

AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 0, 1, 2, 10, 16

_DNS_HEADER = 12
_DNS_LABEL = 63
_DNS_NAME = 255
_DNS_QUESTIONS = 16


class Address(NamedTuple):
    """A socket address.

    Attributes:
        family: AF_… number. One of no family is read as IPv4's: `meant` says what it is.
        addr: an IP address, or ``@name`` for an abstract unix socket.
        port: of an IP address.
        path: of a unix socket that has a name in the file system, as the caller gave it.
    """

    family: int
    addr: str | None = None
    port: int | None = None
    path: bytes | None = None

    def meant(self, domain: int, sent: bool) -> "Address":
        """What the kernel takes it for.

        Args:
            domain: of the socket, AF_…
            sent: a message goes there: from a socket of IPv4 one of no family goes where it says.
        """
        if self.family != AF_UNSPEC:
            return self
        return self._replace(family=AF_INET) if sent and domain == AF_INET else Address(AF_UNSPEC)


def protocol(domain: int, kind: int, number: int) -> str:
    """Name of what a socket speaks, from socket(2)'s arguments: tcp, udp, icmp, raw, unix, netlink, packet or
    ``family-N``."""
    kind &= 0xF
    if domain in (AF_INET, AF_INET6):
        if number in (1, 58):
            return "icmp"
        return {1: "tcp", 2: "udp", 3: "raw"}.get(kind, f"type-{kind}")
    return {AF_UNIX: "unix", AF_NETLINK: "netlink", 17: "packet"}.get(domain, f"family-{domain}")


def sockaddr(raw: bytes) -> Address | None:
    """A ``struct sockaddr`` (unix(7), ip(7), ipv6(7)); None where it is too short to have a family."""
    if len(raw) < 2:
        return None
    (family,) = struct.unpack_from("=H", raw)
    if family in (AF_INET, AF_UNSPEC) and len(raw) >= 8:
        return inet(family, raw[4:8], struct.unpack_from("!H", raw, 2)[0])
    if family == AF_INET6 and len(raw) >= 24:
        return inet(family, raw[8:24], struct.unpack_from("!H", raw, 2)[0])
    if family == AF_UNIX:
        return unix(raw[2:])
    return Address(family)


def inet(family: int, packed: bytes, port: int) -> Address:
    """An IP address of either version; an IPv4 address mapped into IPv6 is shown as IPv4."""
    if len(packed) not in (4, 16):
        return Address(family, None, port)
    ip = ipaddress.ip_address(packed)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return Address(family, str(mapped or ip), port)


def unix(name: bytes) -> Address:
    """A unix socket's address from the bytes after its family."""
    if not name:
        return Address(AF_UNIX)
    if name.startswith(b"\0"):
        return Address(AF_UNIX, "@" + name[1:].decode("utf-8", "backslashreplace"))
    return Address(AF_UNIX, path=name.split(b"\0", 1)[0])


def dns_names(message: bytes, stream: bool = False) -> list[str]:
    """The names that a DNS query asks for (RFC 1035, 4.1), empty where it is no query.

    Args:
        stream: the message has its length before it (RFC 1035, 4.2.2).
    """
    if stream:
        message = message[2:]
    if len(message) < _DNS_HEADER:
        return []
    flags, questions = struct.unpack_from("!HH", message, 2)
    # QR and the opcode are 0 in a standard query.
    if flags & 0xF800 or not 0 < questions <= _DNS_QUESTIONS:
        return []
    names, at = [], _DNS_HEADER
    for _ in range(questions):
        labels: list[bytes] = []
        while at < len(message) and 0 < message[at] <= _DNS_LABEL and sum(map(len, labels)) < _DNS_NAME:
            labels.append(message[at + 1 : at + 1 + message[at]])
            at += 1 + message[at]
        if at + 5 > len(message) or message[at] != 0:
            return []
        at += 5
        names.append(".".join(label.decode("ascii", "backslashreplace") for label in labels) or ".")
    return names
