"""This machine's own way to the network: its proxies, as curl and others read them from the environment."""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

import httpcore

_SCHEMES = ("http", "https", "all", "no")


def own_proxies() -> dict[str, str]:
    """The address of a proxy by scheme (`http`, `https`, `all`); `no`: the hosts that are reached without one."""
    return {name: address for name, address in getproxies().items() if name in _SCHEMES}


def proxy_for(url: str, proxies: Mapping[str, str]) -> str:
    """The address of the proxy for a URL; empty where there is none.

    Args:
        url: with scheme and host.
        proxies: as from :func:`own_proxies`.
    """
    parts = urlsplit(url)
    if _excepted(parts.hostname or "", proxies.get("no", "")):
        return ""
    return proxies.get(parts.scheme, proxies.get("all", ""))


def _excepted(host: str, names: str) -> bool:
    wanted = [name.strip().lower() for name in names.split(",")]
    suffixes = [name.lstrip("*.") for name in wanted]
    return "*" in wanted or any(name and (host == name or host.endswith("." + name)) for name in suffixes)


def connection_proxy(address: str) -> httpcore.Proxy | None:
    """A proxy as httpcore takes it, with the user and password that its address may hold; None for the empty address.

    Raises:
        ValueError: it is no address.
    """
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return httpcore.Proxy(place, auth=auth)
