"""Agents by name: what a definition says, and installing an agent into a layer of its own."""

from affidavit.agents.brought import Brought, Planted, scan_brought
from affidavit.agents.definition import AgentDefinition, AgentError, built_in_agents, find_agent, load_agent
from affidavit.agents.installation import AGENT_FOLDER, InstalledAgent, install_agent
from affidavit.agents.mcp import MCP_FILE, MCP_VARIABLE, McpForm, mcp_config

__all__ = [
    "AGENT_FOLDER",
    "MCP_FILE",
    "MCP_VARIABLE",
    "AgentDefinition",
    "AgentError",
    "Brought",
    "InstalledAgent",
    "McpForm",
    "Planted",
    "built_in_agents",
    "find_agent",
    "install_agent",
    "load_agent",
    "mcp_config",
    "scan_brought",
]
