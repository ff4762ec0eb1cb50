"""What a request may ask of a provider beside its model."""

from typing import Any

import pytest

from affidavit.gateway.screening import Refused, screen

FUNCTION = {"type": "function", "function": {"name": "bash", "parameters": {"properties": {"image_url": {}}}}}


@pytest.mark.parametrize(
    ("dialect", "tools", "kept", "stripped"),
    [
        ("openai", [FUNCTION, {"type": "web_search"}], [FUNCTION], ["web_search"]),
        ("openai", [{"type": "mcp", "server_url": "https://x"}], None, ["mcp"]),
        ("openai", [{"type": "code_interpreter"}, {"type": "file_search"}], None, ["code_interpreter", "file_search"]),
        ("openai", [{"type": "local_shell"}, {"type": "custom", "name": "patch"}], ..., []),
        ("openai", [{"type": "shell", "environment": {"type": "local"}}], ..., []),
        ("openai", [{"type": "shell", "environment": {"type": "container_auto"}}], None, ["shell"]),
        ("openai", [{"type": "shell"}], None, ["shell"]),
        ("openai", [{"name": "no type"}], None, ["None"]),
        ("openai", [{"type": "namespace", "name": "n", "tools": [FUNCTION]}], ..., []),
        ("openai", [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}], None, ["web_search"]),
        ("anthropic", [{"name": "bash", "input_schema": {}}], ..., []),
        ("anthropic", [{"type": "bash_20250124", "name": "bash"}], ..., []),
        ("anthropic", [{"type": "web_search_20250305", "name": "web_search"}], None, ["web_search_20250305"]),
        ("anthropic", [{"type": "web_fetch_20250910"}, {"type": "code_execution_20250825"}], None, ...),
        ("gemini", [{"functionDeclarations": [{"name": "f"}], "googleSearch": {}}], ..., ["googleSearch"]),
        ("gemini", [{"urlContext": {}}, {"codeExecution": {}}], None, ["urlContext", "codeExecution"]),
    ],
)
def test_takes_out_tools_that_the_provider_runs(
    dialect: str, tools: list[Any], kept: Any, stripped: list[str] | Any
) -> None:
    body = {"tools": tools, "tool_choice": "auto"}
    found = screen(dialect, body)
    if stripped is not ...:
        assert found == stripped
    if kept is None:
        assert body == {}
    elif dialect == "gemini":
        assert body["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    else:
        assert body["tools"] == (tools if kept is ... else kept)


def _user(part: dict[str, Any], dialect: str) -> dict[str, Any]:
    match dialect:
        case "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": "look"}, part]}]}
        case "responses":
            return {"input": [{"role": "user", "content": [part]}]}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]}


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ("openai", {"type": "image_url", "image_url": {"url": "https://x/y.png"}}),
        ("openai", {"type": "image_url", "image_url": "https://x/y.png"}),
        ("openai", {"type": "video_url", "video_url": {"url": "http://x"}}),
        ("openai", {"type": "file", "file": {"file_id": "file-1"}}),
        ("openai", {"type": "file", "file": {"file_data": "https://x"}}),
        ("responses", {"type": "input_image", "image_url": "https://x"}),
        ("responses", {"type": "input_file", "file_url": "https://x"}),
        ("responses", {"type": "input_image", "file_id": "file-1"}),
        ("responses", {"type": "item_reference", "id": "rs_1"}),
        ("anthropic", {"type": "image", "source": {"type": "url", "url": "https://x"}}),
        ("anthropic", {"type": "document", "source": {"type": "file", "file_id": "f"}}),
        ("anthropic", {"type": "tool_result", "content": [{"type": "image", "source": {"type": "url"}}]}),
        ("gemini", {"fileData": {"fileUri": "https://x", "mimeType": "text/plain"}}),
        ("gemini", {"file_data": {"file_uri": "gs://x"}}),
        ("gemini", {"functionResponse": {"parts": [{"fileData": {"fileUri": "https://x"}}]}}),
    ],
)
def test_refuses_media_that_the_provider_would_fetch(shape: str, part: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        screen("openai" if shape == "responses" else shape, _user(part, shape))


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ("openai", {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}),
        ("openai", {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}),
        ("responses", {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}),
        ("responses", {"type": "function_call", "arguments": '{"file_id": "7", "url": "https://x"}'}),
        ("anthropic", {"type": "image", "source": {"type": "base64", "data": "AAAA"}}),
        ("anthropic", {"type": "tool_use", "input": {"file_id": "7", "url": "https://x", "source": {"type": "url"}}}),
        ("gemini", {"inlineData": {"data": "AAAA", "mimeType": "image/png"}}),
        ("gemini", {"functionCall": {"name": "fetch", "args": {"uri": "https://x"}}}),
    ],
)
def test_lets_pass_what_is_in_the_request_itself(shape: str, part: dict[str, Any]) -> None:
    body = _user(part, shape)
    assert screen("openai" if shape == "responses" else shape, body) == []
    assert body == _user(part, shape)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai", {"previous_response_id": "resp_1"}),
        ("openai", {"models": ["model-1", "other"]}),
        ("openai", {"plugins": [{"id": "web"}]}),
        ("openai", {"search_parameters": {"mode": "on"}}),
        ("anthropic", {"mcp_servers": [{"type": "url", "url": "https://x"}]}),
        ("gemini", {"cachedContent": "cachedContents/1"}),
        ("openai", {"tools": {"type": "web_search"}}),
        ("openai", {"tools": ["web_search"]}),
    ],
)
def test_refuses_what_leans_on_something_else(dialect: str, body: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        screen(dialect, body)


def test_search_of_chat_completions_is_taken_out() -> None:
    body = {"web_search_options": {}, "messages": []}
    assert screen("openai", body) == ["web_search_options"]
    assert body == {"messages": []}
