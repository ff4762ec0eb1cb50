"""What agents are told of a task's MCP servers, each in its own words."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from affidavit.tasks import McpServer

McpForm = Literal["claude", "codex", "gemini", "opencode"]
"""Whose configuration it is: ``claude``: an object ``mcpServers``, as many clients read it; ``codex``: tables of TOML;
``gemini`` and ``opencode``: an object with an entry for each server."""

MCP_FILE = "mcp"
"""The name of its file below AGENT_FOLDER."""

MCP_VARIABLE = "AFFIDAVIT_MCP_CONFIG"
"""The environment variable that has the path of that file, where there are servers."""


def mcp_config(form: McpForm, servers: Sequence[McpServer]) -> str:
    """The configuration of some servers."""
    match form:
        case "claude":
            return _json({"mcpServers": {one.name: _claude(one) for one in servers}})
        case "codex":
            return "".join(map(_codex, servers))
        case "gemini":
            return _json({one.name: _gemini(one) for one in servers})
        case "opencode":
            return _json({one.name: _opencode(one) for one in servers})


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _with_headers(entry: dict[str, Any], server: McpServer) -> dict[str, Any]:
    return {**entry, "headers": dict(server.headers)} if server.headers else entry


def _claude(server: McpServer) -> dict[str, Any]:
    if server.transport == "stdio":
        return {"type": "stdio", "command": server.command, "args": [*server.args]}
    kind = "http" if server.transport == "streamable-http" else "sse"
    return _with_headers({"type": kind, "url": server.url}, server)


def _gemini(server: McpServer) -> dict[str, Any]:
    if server.transport == "stdio":
        return {"command": server.command, "args": [*server.args]}
    key = "httpUrl" if server.transport == "streamable-http" else "url"
    return _with_headers({key: server.url}, server)


def _opencode(server: McpServer) -> dict[str, Any]:
    if server.transport == "stdio":
        return {"type": "local", "command": [server.command, *server.args]}
    return _with_headers({"type": "remote", "url": server.url, "oauth": False}, server)


def _codex(server: McpServer) -> str:
    # A string of JSON is one of TOML, where it is all ASCII.
    started = {"command": server.command, "args": [*server.args]}
    keys = started if server.transport == "stdio" else {"url": server.url}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    if server.headers:
        pairs = ", ".join(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in server.headers.items())
        lines.append(f"http_headers = {{ {pairs} }}")
    return "\n".join([f"[mcp_servers.{json.dumps(server.name)}]", *lines, ""])
