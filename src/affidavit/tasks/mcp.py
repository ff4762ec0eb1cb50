"""``[[environment.mcp_servers]]``: servers of the Model Context Protocol that a task gives to its agent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args
from urllib.parse import urlsplit

from affidavit.tasks.toml import TomlTable

Transport = Literal["stdio", "sse", "streamable-http"]
"""How an agent speaks to a server: to a program that it starts, or to a URL."""

_MOST_SERVERS = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN = ("localhost", "127.0.0.1", "::1")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class McpServer:
    """One server.

    Attributes:
        name: unique in the task.
        transport: how it is spoken to.
        url: where it is; None for ``stdio``.
        command, args: what the agent starts; None and empty for others.
        headers: of HTTP; empty for ``stdio``.
    """

    name: str
    transport: Transport
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and port of TCP; None where it is in the sandbox itself."""
        if self.url is None:
            return None
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        return None if host in _OWN else (host, parts.port or _PORTS[parts.scheme])


def read_mcp_servers(environment: TomlTable) -> tuple[McpServer, ...]:
    """The servers of a task.

    Args:
        environment: the table of task.toml.

    Raises:
        TaskError: one is wrong.
    """
    tables = environment.tables("mcp_servers")
    if len(tables) > _MOST_SERVERS:
        raise environment.error("mcp_servers", f"may be {_MOST_SERVERS} at most, not {len(tables)}")
    found: dict[str, McpServer] = {}
    for table in tables:
        server = _server(table)
        if server.name in found:
            raise table.error("name", f"must be another one than those of the servers before it: {server.name!r}")
        found[server.name] = server
    return tuple(found.values())


def _server(table: TomlTable) -> McpServer:
    name = table.text("name")
    if name is None or not _NAME.fullmatch(name):
        raise table.error("name", f"must be up to 64 of A-Z a-z 0-9 . _ -, first a letter or a digit, not {name!r}")
    said = table.text("transport") or "sse"
    said = "streamable-http" if said == "http" else said
    transport: Transport | None = next((known for known in get_args(Transport) if known == said), None)
    if transport is None:
        raise table.error("transport", f'must be "stdio", "sse" or "streamable-http", not {said[:60]!r}')
    url, command, args, headers = table.text("url"), table.text("command"), table.take("args"), table.take("headers")
    if unknown := list(table.unknown()):
        raise table.error(unknown[0], "is not known, and the agent would work with another server; remove it")
    if not isinstance(args or [], list) or not all(isinstance(word, str) and "\0" not in word for word in args or []):
        raise table.error("args", "must be a list of strings")
    if transport == "stdio":
        if not command:
            raise table.error(None, 'needs a command, as its transport is "stdio"')
        if headers:
            raise table.error("headers", "are of HTTP, which stdio does not use; remove them")
        return McpServer(name, transport, command=command, args=tuple(args or ()))
    if not url:
        raise table.error(None, f'needs a url, as its transport is "{transport}"')
    return McpServer(name, transport, url=_checked_url(table, url), headers=_headers(table, headers or {}))


def _checked_url(table: TomlTable, url: str) -> str:
    try:
        parts = urlsplit(url)
        fine = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0 and url.isascii()
        fine = fine and url.isprintable() and " " not in url and not (parts.username or parts.password)
    except ValueError:
        fine = False
    if not fine:
        raise table.error("url", f"must be http://HOST:PORT/PATH or https://…, without a user, not {url[:80]!r}")
    return url


def _headers(table: TomlTable, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise table.error("headers", "must be a table of strings")
    for name, text in value.items():
        if not _HEADER.fullmatch(name) or not isinstance(text, str) or not text.isprintable():
            raise table.error("headers", f"must be names and values of HTTP headers, which {name[:60]!r} is not")
        if "${" in text:
            raise table.error("headers", f"of {name!r} asks for a variable of this machine, which a sandbox never gets")
    return dict(value)
