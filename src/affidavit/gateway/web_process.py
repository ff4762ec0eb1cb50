"""A web server for a sandbox, seen from the trial, and the variables that point programs in the sandbox to it."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from affidavit.gateway.authority import Authority
from affidavit.gateway.errors import GatewayError
from affidavit.gateway.process import ServerProcess
from affidavit.gateway.web_spool import WebSpool

WEB_PORT = 61081
"""Where a sandbox finds its web server on 127.0.0.1: no service's port, and none that the kernel chooses by itself."""

_AUTHORITY = "authority.pem"
_APT = "apt.conf"
_WGET = "wgetrc"


@dataclass(frozen=True)
class WebSettings:
    """All settings of a web server.

    Attributes:
        folder: of the cache.
        authority: certifies every host.
        fetch: what is not in the cache is fetched and put there; else it is answered that it is not.
        allowed: hosts that may be reached though their addresses are private.
        proxies: this machine's own way to the web, as from :func:`own_proxies`.
    """

    folder: Path
    authority: Authority
    fetch: bool = False
    allowed: tuple[str, ...] = ()
    proxies: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> bytes:
        """As JSON, the authority's key included: for the server's own standard input and nowhere else."""
        value: dict[str, Any] = {
            "folder": str(self.folder),
            "certificate": self.authority.certificate.decode(),
            "key": self.authority.key.decode(),
            "fetch": self.fetch,
            "allowed": list(self.allowed),
            "proxies": dict(self.proxies),
        }
        return json.dumps(value).encode()

    @classmethod
    def load(cls, data: bytes) -> Self:
        """What :meth:`dump` made."""
        value = json.loads(data)
        authority = Authority(value["certificate"].encode(), value["key"].encode())
        return cls(Path(value["folder"]), authority, value["fetch"], tuple(value["allowed"]), value["proxies"])


class WebProcess(ServerProcess):
    """A web server in a process of its own. A context manager: ends it."""

    def __init__(self, settings: WebSettings, listener: socket.socket, spool: Path) -> None:
        """Start it; it serves when this returns.

        Args:
            settings: its settings.
            listener, spool: see ServerProcess.

        Raises:
            GatewayError: it does not start.
        """
        super().__init__("affidavit.gateway.serve_web", settings.dump(), listener, spool, "the web server")

    def stop(self) -> WebSpool:
        """End it and take what it wrote.

        Raises:
            GatewayError: that can't be read, or the server died.
        """
        there = self.end()
        spool = WebSpool.read(self._spool)
        if not there or not spool.complete:
            raise GatewayError("the web server of a grading died")
        return spool


def web_environment(folder: str, port: int = WEB_PORT) -> dict[str, str]:
    """What tells the programs of a sandbox where the web is and whom to trust, by the names that they read.

    Args:
        folder: where the sandbox finds what `write_web_files` wrote.
        port: of the web server.
    """
    proxy, local = f"http://127.0.0.1:{port}", "localhost,127.0.0.1,0.0.0.0,::1"
    trusted = (
        *("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"),
        *("npm_config_cafile", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO"),
    )
    return {
        **{name: proxy for base in ("http_proxy", "https_proxy") for name in (base, base.upper())},
        **dict.fromkeys(("no_proxy", "NO_PROXY"), local),
        **dict.fromkeys(trusted, f"{folder}/{_AUTHORITY}"),
        "APT_CONFIG": f"{folder}/{_APT}",
        "WGETRC": f"{folder}/{_WGET}",
        # Whether they ask for newer versions of themselves hangs on the day.
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
    }


def write_web_files(folder: Path, seen_at: str, authority: Authority) -> None:
    """Write what a sandbox needs beside its environment.

    Args:
        folder: is made.
        seen_at: where the sandbox finds it.
        authority: whom it is to trust.

    Raises:
        OSError: it can't be written.
    """
    trusted = f"{seen_at}/{_AUTHORITY}"
    # A list of packages that was fetched on another day may have expired, and is the very one that was fetched.
    apt = f'Acquire::https::CAInfo "{trusted}";\nAcquire::Check-Valid-Until "false";\nAPT::Sandbox::User "root";\n'
    files = {_AUTHORITY: authority.certificate.decode(), _APT: apt, _WGET: f"ca_certificate = {trusted}\n"}
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
