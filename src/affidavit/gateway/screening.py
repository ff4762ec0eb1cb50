"""What a request asks of the provider beside its model: tools that it runs itself, media that it fetches, memory of
other requests. All of them are ways out of a sandbox that has none."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Tools that the client runs; their declaration asks nothing of the provider.
_OPENAI_TOOLS = frozenset(("function", "custom", "local_shell", "apply_patch"))
# Anthropic defines these, and the client runs them. A search among the declared tools leaves the provider as little.
_ANTHROPIC_TOOLS = re.compile(r"custom|(?:bash|text_editor|computer|memory)_[0-9]{8}|tool_search_tool_[a-z0-9_]{1,40}")
_GEMINI_TOOLS = ("functionDeclarations", "function_declarations")

# Names by which a request leans on something that is not in it, by dialect.
_ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    # The last six are fields of servers that speak as OpenAI's do (OpenRouter, xAI, DashScope, LiteLLM).
    "openai": (
        "previous_response_id",
        "conversation",
        "prompt",
        "background",
        "plugins",
        "search_parameters",
        "enable_search",
        "models",
        "fallbacks",
        "mcp_servers",
    ),
    "anthropic": ("mcp_servers", "container", "fallbacks"),
    "gemini": ("cachedContent", "cached_content"),
}
_STRIPPED_FIELDS: Mapping[str, tuple[str, ...]] = {"openai": ("web_search_options",), "anthropic": (), "gemini": ()}
# Where the parts of a conversation stand, by dialect; what is in other fields is the model's or a tool's own.
_INSIDE: Mapping[str, tuple[str, ...]] = {
    "openai": ("messages", "input", "instructions", "content", "output"),
    "anthropic": ("messages", "system", "content"),
    "gemini": ("contents", "parts", "systemInstruction", "system_instruction", "functionResponse", "function_response"),
}
_MEDIA = re.compile(r".*(?:_url|_uri|Url|Uri)|url|uri|file_?id|fileId|file_?data|fileData|file")
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:")


class Refused(Exception):
    """A request asks for what it may not; the text says what, for the agent and for the record."""


def screen(dialect: str, body: dict[str, Any]) -> list[str]:
    """Take out of a request what the provider would run itself.

    Args:
        dialect: as in `Operation.dialect`.
        body: of the request; changed.

    Returns:
        What was taken out, by its name, in order.

    Raises:
        Refused: it leans on something that can't be taken out: media behind a URL, a file at the provider, an earlier
            request.
    """
    for name in _ELSEWHERE[dialect]:
        if body.get(name):
            raise Refused(f"{name}: asks the provider for something that is not in the request, which is not granted")
    for part in _parts(dialect, body):
        _check_media(dialect, part)
    stripped = [name for name in _STRIPPED_FIELDS[dialect] if body.pop(name, None) is not None]
    tools = body.get("tools")
    if isinstance(tools, list):
        kept = []
        for tool in tools:
            rest, removed = _screen_tool(dialect, tool)
            stripped += removed
            if rest is not None:
                kept.append(rest)
        if kept:
            body["tools"] = kept
        else:
            del body["tools"]
            # It may name no tool where there is none.
            for name in ("tool_choice", "toolConfig", "tool_config", "parallel_tool_calls"):
                body.pop(name, None)
    elif tools is not None:
        raise Refused("tools: is no list")
    return stripped


def _screen_tool(dialect: str, tool: Any) -> tuple[Any, list[str]]:
    """What may stay of a tool's declaration, None where nothing may, and the names of what may not."""
    if not isinstance(tool, dict):
        raise Refused("tools: holds something that is no tool")
    if dialect == "gemini":
        kept = {name: value for name, value in tool.items() if name in _GEMINI_TOOLS}
        return kept or None, [str(name)[:100] for name in tool if name not in _GEMINI_TOOLS]
    kind = tool.get("type")
    if dialect == "openai" and kind == "namespace" and isinstance(inner := tool.get("tools"), list):
        # A group of tools under one name, each of which is whatever it is.
        screened = [_screen_tool(dialect, one) for one in inner]
        kept_tools = [rest for rest, _ in screened if rest is not None]
        names = [name for _, removed in screened for name in removed]
        return ({**tool, "tools": kept_tools} if kept_tools else None), names
    if dialect == "anthropic":
        fits = kind is None or (isinstance(kind, str) and _ANTHROPIC_TOOLS.fullmatch(kind) is not None)
    else:
        local = kind == "shell" and isinstance(where := tool.get("environment"), dict) and where.get("type") == "local"
        fits = kind in _OPENAI_TOOLS or local
    return (tool, []) if fits else (None, [str(kind)[:100]])


def _parts(dialect: str, value: Any) -> Iterator[dict[str, Any]]:
    """Every part of a conversation, the request itself first."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            yield one
            waiting += [one[name] for name in _INSIDE[dialect] if isinstance(one.get(name), dict | list)]


def _check_media(dialect: str, part: Mapping[str, Any]) -> None:
    if part.get("type") == "item_reference":
        raise Refused("item_reference: asks for something that is not in the request, which is not granted")
    source = part.get("source")
    if isinstance(source, dict) and source.get("type") not in ("base64", "text", "content"):
        raise Refused(f"source of type {str(source.get('type'))[:50]!r}: only media in the request itself are granted")
    for name, value in part.items():
        if _MEDIA.fullmatch(name) and _leads_elsewhere(name, value):
            raise Refused(f"{name[:50]}: only media in the request itself (data:) are granted")


def _leads_elsewhere(name: str, value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, dict):
        # {"url": …}, {"file_data": …, "filename": …}; Gemini's fileData always names a file elsewhere.
        if name in ("fileData", "file_data"):
            return True
        return any(_MEDIA.fullmatch(inner) and _leads_elsewhere(inner, deeper) for inner, deeper in value.items())
    if not isinstance(value, str):
        return True
    if re.fullmatch(r"file_?id|fileId|.*_uri|.*Uri|uri", name, re.ASCII):
        return value != ""
    if name.startswith("file_data") or name == "file":
        # Bytes in base64, with or without data: before them.
        return _ADDRESS.match(value) is not None and not value.startswith("data:")
    return not value.startswith("data:")
