"""Network endpoints of a contract."""

import ipaddress
import re
from dataclasses import dataclass

_PORT = re.compile(r"[0-9]{1,5}")
# RFC 1123, 2.1; underscores occur in practice.
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class EndpointError(ValueError):
    """An endpoint is malformed; the text is a sentence on it."""


@dataclass(frozen=True)
class Endpoint:
    """What one entry of ``network.endpoints`` allows.

    Attributes:
        host: name in lower case without a final dot; ``*.x`` is any name below x; None where `addresses` says it.
        addresses: an address or a range of them; None where `host` says it.
        port: None: any.
    """

    host: str | None
    addresses: ipaddress.IPv4Network | ipaddress.IPv6Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read ``HOST``, ``HOST:PORT``, ``ADDRESS``, ``CIDR``, ``[IPV6]:PORT`` and so on.

        Raises:
            EndpointError: it is none of them.
        """
        wrong = EndpointError(f"must be HOST:PORT, *.DOMAIN:PORT, ADDRESS:PORT or CIDR:PORT, not {text[:100]!r}")
        if "://" in text:
            raise EndpointError(f"{text[:100]!r} is a URL; an endpoint is HOST:PORT")
        if text.startswith("["):
            address, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise wrong
            host, port_text = address, rest[1:] if rest else None
        elif text.count(":") > 1:
            host, port_text = text, None
        else:
            host, colon, port = text.partition(":")
            port_text = port if colon else None
        port_number = None
        if port_text is not None:
            if not _PORT.fullmatch(port_text) or not 0 < int(port_text) < 65536:
                raise EndpointError(f"{text[:100]!r} has no port from 1 to 65535 after its ':'")
            port_number = int(port_text)
        try:
            return cls(None, ipaddress.ip_network(host), port_number)
        except ValueError:
            if "/" in host or ":" in host or re.fullmatch(r"[0-9.]+", host):
                raise wrong from None
        name = host.lower().removesuffix(".")
        labels = name.removeprefix("*.").split(".")
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise wrong
        return cls(name, None, port_number)

    def allows_address(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int | None) -> bool:
        """Whether it lets one connect to `address` (never where it names a host: names are the proxy's to judge)."""
        if self.addresses is None or (self.port is not None and port != self.port):
            return False
        return address in self.addresses

    def allows_name(self, name: str) -> bool:
        """Whether it lets one ask for the addresses of `name`."""
        if self.host is None:
            return False
        asked = name.lower().removesuffix(".")
        if self.host.startswith("*."):
            return asked.endswith(self.host[1:])
        return asked == self.host
