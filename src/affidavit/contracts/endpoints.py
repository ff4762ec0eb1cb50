"""Network endpoints of a contract."""

import ipaddress
import re
from dataclasses import dataclass

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PROTOCOL = re.compile(r"/(tcp|udp)\Z")
# RFC 1123, 2.1; underscores occur in practice.
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

_FORMS = "HOST:PORT, *.DOMAIN:PORT, ADDRESS:PORT or CIDR:PORT, PORT may be FIRST-LAST, and /tcp or /udp may follow"


class EndpointError(ValueError):
    """An endpoint is malformed; the text is a sentence on it."""


@dataclass(frozen=True)
class Endpoint:
    """What one entry of ``network.endpoints`` allows.

    Attributes:
        host: name in lower case without a final dot; ``*.x`` is any name below x; None where `addresses` says it.
        addresses: an address or a range of them; None where `host` says it.
        ports: first and last; None: any.
        protocol: ``tcp`` or ``udp``; None: either.
    """

    host: str | None
    addresses: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    ports: tuple[int, int] | None = None
    protocol: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read ``HOST``, ``HOST:PORT``, ``ADDRESS``, ``CIDR:FIRST-LAST/udp``, ``[IPV6]:PORT/tcp`` and so on.

        Raises:
            EndpointError: it is none of them.
        """
        wrong = EndpointError(f"must be {_FORMS}, not {text[:100]!r}")
        if "://" in text:
            raise EndpointError(f"{text[:100]!r} is a URL; an endpoint is HOST:PORT")
        suffix = _PROTOCOL.search(text)
        rest = text[: suffix.start()] if suffix else text
        protocol = suffix[1] if suffix else None
        host, port_text = _split(rest, wrong)
        ports = None
        if port_text is not None:
            match = _PORTS.fullmatch(port_text)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
            if not 0 < first <= last < 65536:
                raise EndpointError(f"{text[:100]!r} has no port, or range of ports, from 1 to 65535 after its ':'")
            ports = (first, last)
        try:
            return cls(None, ipaddress.ip_network(host), ports, protocol)
        except ValueError as error:
            if "host bits set" in str(error):
                network = ipaddress.ip_network(host, strict=False)
                raise EndpointError(f"{text[:100]!r} is not a range of addresses; write {network}") from None
            if "/" in host or ":" in host or re.fullmatch(r"[0-9.]+", host):
                raise wrong from None
        name = host.lower().removesuffix(".")
        labels = name.removeprefix("*.").split(".")
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise wrong
        return cls(name, None, ports, protocol)

    def __str__(self) -> str:
        """As `parse` reads it."""
        text = self.host if self.host is not None else str(self.addresses)
        if self.ports is not None:
            first, last = self.ports
            text = f"[{text}]" if ":" in text else text
            text += f":{first}" if first == last else f":{first}-{last}"
        return f"{text}/{self.protocol}" if self.protocol else text

    def common(self, other: "Endpoint") -> "Endpoint | None":
        """What two endpoints both allow by name; None where that is nothing."""
        inner = self if other._holds(self) else other if self._holds(other) else None
        if inner is None or len({self.protocol, other.protocol} - {None}) > 1:
            return None
        given = [one.ports for one in (self, other) if one.ports is not None]
        ports = (max(first for first, _ in given), min(last for _, last in given)) if given else None
        if ports is not None and ports[0] > ports[1]:
            return None
        return Endpoint(inner.host, None, ports, self.protocol or other.protocol)

    def _holds(self, other: "Endpoint") -> bool:
        """Whether each name that `other` allows is one that this one allows."""
        if self.host is None or other.host is None:
            return False
        return self.host == other.host or (self.host.startswith("*.") and other.host.endswith(self.host[1:]))

    def allows_address(
        self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int | None, protocol: str | None = None
    ) -> bool:
        """Whether it lets one reach `address`; never where it names a host, see `allows_port` for that.

        Args:
            port: None where the record has none.
            protocol: ``tcp``, ``udp``, another, or None where the record has none.
        """
        return self.addresses is not None and address in self.addresses and self.allows_port(port, protocol)

    def allows_port(self, port: int | None, protocol: str | None = None) -> bool:
        """Whether its ports and its protocol are these. What the record does not tell is not, where it matters."""
        if self.ports is not None and not (port is not None and self.ports[0] <= port <= self.ports[1]):
            return False
        return self.protocol is None or protocol == self.protocol

    def allows_name(self, name: str) -> bool:
        """Whether it lets one ask for the addresses of `name`."""
        if self.host is None:
            return False
        asked = name.lower().removesuffix(".")
        if self.host.startswith("*."):
            return asked.endswith(self.host[1:])
        return asked == self.host


def _split(text: str, wrong: EndpointError) -> tuple[str, str | None]:
    """Host and port, None where there is no ``:PORT``."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise wrong
        return address, rest[1:] if rest else None
    # An IPv6 address without brackets has no port behind it.
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None
