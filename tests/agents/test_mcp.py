"""What agents are told of a task's MCP servers."""

import json
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.agents import built_in_agents, mcp_config
from affidavit.tasks import McpServer
from harness import EBPF, Trials

SERVERS = (
    McpServer("files", "stdio", command="/usr/bin/files", args=("--root", 'a "b"')),
    McpServer("old", "sse", url="http://search:8000/sse", headers={"X-Key": "1"}),
    McpServer("new.one", "streamable-http", url="https://mcp.example.com/mcp"),
)
TABLES = """
[[environment.mcp_servers]]
name = "old"
url = "http://search:8000/sse"
[[environment.mcp_servers]]
name = "files"
transport = "stdio"
command = "files"
"""


def test_each_in_its_own_words() -> None:
    claude = json.loads(mcp_config("claude", SERVERS))["mcpServers"]
    assert claude["files"] == {"type": "stdio", "command": "/usr/bin/files", "args": ["--root", 'a "b"']}
    assert claude["old"] == {"type": "sse", "url": "http://search:8000/sse", "headers": {"X-Key": "1"}}
    assert claude["new.one"] == {"type": "http", "url": "https://mcp.example.com/mcp"}
    codex = tomllib.loads(mcp_config("codex", SERVERS))["mcp_servers"]
    assert codex["files"] == {"command": "/usr/bin/files", "args": ["--root", 'a "b"']}
    assert codex["old"] == {"url": "http://search:8000/sse", "http_headers": {"X-Key": "1"}}
    gemini = json.loads(mcp_config("gemini", SERVERS))
    assert gemini["old"] == {"url": "http://search:8000/sse", "headers": {"X-Key": "1"}}
    assert gemini["new.one"] == {"httpUrl": "https://mcp.example.com/mcp"}
    opencode = json.loads(mcp_config("opencode", SERVERS))
    assert opencode["files"] == {"type": "local", "command": ["/usr/bin/files", "--root", 'a "b"']}
    assert opencode["new.one"] == {"type": "remote", "url": "https://mcp.example.com/mcp", "oauth": False}


def test_a_command_finds_them_in_a_file(trials: Trials, task: Callable[..., Path]) -> None:
    folder = task(
        graders=TABLES,
        contract={"files": {"read": ["/workspace/**", "/usr/**", "/etc/**"], "write": ["/workspace/**"]}},
    )
    outcome = trials(EBPF, folder, 'cat "$AFFIDAVIT_MCP_CONFIG"; echo 42 >/workspace/answer')
    assert outcome.verdict == "pass", outcome.reasons
    assert set(json.loads(outcome.text("agent/stdout"))["mcpServers"]) == {"old", "files"}
    (note,) = [note for note in outcome.notes if "MCP" in note]
    assert "the MCP server old can't be reached: search:8000 is not among the allowed hosts" in note


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(
    ("name", "file", "servers"),
    [
        ("codex", "codex-home/config.toml", lambda text: tomllib.loads(text).get("mcp_servers", {})),
        ("gemini-cli", "gemini-home/.gemini/settings.json", lambda text: json.loads(text)["mcpServers"]),
        ("acp", "home/.gemini/settings.json", lambda text: json.loads(text)["mcpServers"]),
        ("opencode", "opencode-home/opencode.json", lambda text: json.loads(text)["mcp"]),
    ],
)
def test_definitions_write_them_down(
    tmp_path: Path, given: bool, name: str, file: str, servers: Callable[[str], object]
) -> None:
    agent = built_in_agents()[name]
    assert agent.mcp is not None
    config = mcp_config(agent.mcp, SERVERS)
    (tmp_path / "mcp").write_text(config)
    # What comes before the agent itself begins.
    script = agent.command.replace("/tmp/", f"{tmp_path}/").partition("\nexec ")[0]
    env = {"AFFIDAVIT_MCP_CONFIG": str(tmp_path / "mcp")} if given else {}
    subprocess.run(["/bin/sh", "-ec", script], check=True, env={"PATH": "/usr/bin:/bin", "AFFIDAVIT_MODEL": "m", **env})
    wanted = tomllib.loads(config)["mcp_servers"] if agent.mcp == "codex" else json.loads(config)
    assert servers((tmp_path / file).read_text()) == (wanted if given else {})
