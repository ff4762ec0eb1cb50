"""Settings of an egress proxy: which hosts a sandbox may reach, by name."""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Self

from affidavit.contracts import Endpoint, EndpointError
from affidavit.gateway.errors import GatewayError
from affidavit.gateway.settings import PORT

DNS_PORT = 53
WEB_PORTS = (80, 443)
"""Where a host is reached that is allowed on every port: each port needs a listener of its own."""

TLS_PORTS = frozenset((443, 465, 636, 853, 989, 990, 993, 995, 8443))
"""Ports on which nothing but TLS is passed on."""

_MOST_PORTS = 256
_MOST_ENDPOINTS = 1024


@dataclass(frozen=True)
class EgressSettings:
    """What a sandbox may reach.

    Attributes:
        endpoints: as contracts spell them, each with a host.
        addresses: where hosts are, by name, by the word of the user, who alone may name a private address; all others
            are looked up.
        services: names of services of the task, which may be reached on every port.
    """

    endpoints: tuple[str, ...]
    addresses: Mapping[str, str] = field(default_factory=dict)
    services: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """The endpoints, and the services by their names."""
        return (*self.endpoints, *self.services)

    def parsed(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        return tuple(Endpoint.parse(text) for text in self.endpoints)

    def allows(self, name: str, port: int) -> bool:
        """Whether a host may be reached on a port of TCP."""
        return name.lower() in self.services or any(
            one.allows_name(name) and one.allows_port(port, "tcp") and (one.ports is not None or port in WEB_PORTS)
            for one in self.parsed()
        )

    def ports(self) -> tuple[int, ...]:
        """The ports that need a listener.

        Raises:
            GatewayError: they are too many, or one of them is taken by Affidavit itself.
        """
        wanted: set[int] = set()
        for endpoint in self.parsed():
            first, last = endpoint.ports or (0, 0)
            if last - first >= _MOST_PORTS:
                raise GatewayError(f"{endpoint}: has more than {_MOST_PORTS} ports, and each needs a listener")
            wanted |= {*range(first, last + 1)} if endpoint.ports else {*WEB_PORTS}
        if len(wanted) > _MOST_PORTS:
            raise GatewayError(f"the allowed endpoints have {len(wanted)} ports together; {_MOST_PORTS} can be had")
        if taken := sorted(wanted & {DNS_PORT, PORT}):
            raise GatewayError(f"port {taken[0]} of a sandbox is Affidavit's own, so no host can be reached on it")
        return tuple(sorted(wanted))

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What :meth:`dump` made."""
        value = json.loads(data)
        return cls(tuple(value["endpoints"]), value["addresses"], tuple(value["services"]))


@dataclass(frozen=True)
class ProxySettings:
    """What a proxy's process is told.

    Attributes:
        reach: what its sandbox may reach.
        namespaces: descriptors of the services' network namespaces, by the names in `reach`.
        own_namespace: that of its sandbox's; -1 where there are no services.
        own: names of the sandbox itself, with the address of each.
    """

    reach: EgressSettings
    namespaces: Mapping[str, int]
    own_namespace: int
    own: Mapping[str, str]

    def dump(self) -> bytes:
        """As JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What :meth:`dump` made."""
        value = json.loads(data)
        reach = EgressSettings.load(json.dumps(value["reach"]).encode())
        return cls(reach, value["namespaces"], value["own_namespace"], value["own"])


NO_HOSTS = EgressSettings(())
"""Nothing."""


def network_named(text: str | None) -> str | None:
    """``none`` or ``allowlist``, as users choose it; None where they don't.

    Raises:
        GatewayError: it is something else.
    """
    if text not in (None, "none", "allowlist"):
        raise GatewayError(f"--network {text[:50]!r}: must be none or allowlist")
    return text


def read_allowed(texts: Sequence[str]) -> EgressSettings:
    """What users allow on the command line: ``HOST``, ``HOST:PORT``, ``*.DOMAIN:PORT``, and ``HOST:PORT=ADDRESS`` where
    they say where it is.

    Raises:
        GatewayError: one of them is something else.
    """
    endpoints: list[str] = []
    addresses: dict[str, str] = {}
    for text in texts:
        spelled, equals, address = text.partition("=")
        try:
            endpoint = Endpoint.parse(spelled)
        except EndpointError as error:
            raise GatewayError(f"--allow: {error}") from None
        if endpoint.host is None:
            raise GatewayError(f"--allow {text[:100]}: is an address; a sandbox reaches hosts by name only")
        if equals:
            try:
                addresses[endpoint.host] = str(ipaddress.ip_address(address))
            except ValueError:
                raise GatewayError(f"--allow {text[:100]}: {address[:50]!r} is no IP address") from None
            if endpoint.host.startswith("*."):
                raise GatewayError(f"--allow {text[:100]}: many hosts can't be at one address; name each")
        endpoints.append(str(endpoint))
    if len(endpoints) > _MOST_ENDPOINTS:
        raise GatewayError(f"--allow: more than {_MOST_ENDPOINTS} hosts")
    return EgressSettings(tuple(dict.fromkeys(endpoints)), addresses)
