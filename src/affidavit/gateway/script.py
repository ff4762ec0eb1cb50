"""Answers from a file, in every dialect: models for tests, and for trying an agent without one.

A script is JSON: ``{"answers": [...]}``. The n-th request for a completion gets the n-th answer::

    {"text": "I look first.", "tool_calls": [{"name": "bash", "arguments": {"command": "ls"}}]}
    {"status": 500, "body": {"error": {"message": "overloaded"}}}

An answer may have ``usage`` (``input_tokens``, ``output_tokens``), ``model`` (what the wire says; else the one asked
for) and ``repeat: true``: it goes on answering for ever.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from affidavit.errors import first_problem, read_input
from affidavit.gateway.dialects import Operation
from affidavit.gateway.errors import GatewayError

_MOST_BYTES = 64 << 20
_PIECE = 24


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _ToolCall(_Entry):
    name: str = Field(min_length=1)
    namespace: str = Field(default="", exclude_if=lambda namespace: not namespace)
    arguments: dict[str, JsonValue] = {}


class _Usage(_Entry):
    input_tokens: int = Field(default=10, ge=0)
    output_tokens: int = Field(default=5, ge=0)


class _Answer(_Entry):
    text: str = ""
    tool_calls: list[_ToolCall] = []
    usage: _Usage = _Usage()
    model: str | None = None
    status: int = Field(default=200, ge=200, le=599)
    body: JsonValue = None
    repeat: bool = False


class _Script(_Entry):
    answers: list[_Answer] = Field(min_length=1)


def read_script(path: Path) -> tuple[dict[str, Any], ...]:
    """The answers of a script, checked.

    Raises:
        GatewayError: it can't be read, or is no script.
    """
    data = read_input(path, _MOST_BYTES, GatewayError)
    try:
        script = _Script.model_validate_json(data)
    except ValidationError as error:
        raise GatewayError(f"{path}: {first_problem(error)}; see docs/models.md") from None
    return tuple(answer.model_dump() for answer in script.answers)


def render(
    answer: Mapping[str, Any], operation: Operation, number: int, model: str, *, streams: bool
) -> tuple[int, str, bytes]:
    """An answer of a script as a provider would give it.

    Args:
        answer: as `read_script` returns it.
        operation: what was asked.
        number: of the answer, from 1; identifiers come of it.
        model: that was asked for.
        streams: whether a stream was asked for.

    Returns:
        Status, content type and body.
    """
    if answer["status"] != 200:
        return answer["status"], "application/json", json.dumps(answer["body"] or {}).encode()
    make, split = _RENDERERS[operation.name]
    whole = make(answer, number, answer["model"] or model)
    if not streams:
        return 200, "application/json", json.dumps(whole).encode()
    return 200, "text/event-stream", b"".join(split(whole))


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _event(value: Any, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(value).encode() + b"\n\n"


def _chat(answer: Mapping[str, Any], number: int, model: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer["text"] or None}
    if calls := answer["tool_calls"]:
        message["tool_calls"] = [
            {
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
            }
            for index, call in enumerate(calls)
        ]
    usage = answer["usage"]
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
        "usage": {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["input_tokens"] + usage["output_tokens"],
        },
    }


def _chat_stream(whole: dict[str, Any]) -> Iterator[bytes]:
    head = {**{name: whole[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    (choice,) = whole["choices"]

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(choice["message"]["content"] or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(choice["message"].get("tool_calls", ())):
        function = call["function"]
        yield chunk({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for piece in _pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, choice["finish_reason"])
    yield _event({**head, "choices": [], "usage": whole["usage"]})
    yield b"data: [DONE]\n\n"


def _responses(answer: Mapping[str, Any], number: int, model: str) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if answer["text"]:
        part = {"type": "output_text", "text": answer["text"], "annotations": []}
        output.append(
            {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": [part]}
        )
    output += [
        {
            "type": "function_call",
            "id": f"fc_{number}_{index}",
            "call_id": f"call_{number}_{index}",
            **{key: call[key] for key in ("name", "namespace") if key in call},
            "arguments": json.dumps(call["arguments"]),
            "status": "completed",
        }
        for index, call in enumerate(answer["tool_calls"])
    ]
    usage = answer["usage"]
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "error": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": usage["input_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["output_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["input_tokens"] + usage["output_tokens"],
        },
    }


def _responses_stream(whole: dict[str, Any]) -> Iterator[bytes]:
    sequence = 0

    def event(kind: str, **rest: Any) -> bytes:
        nonlocal sequence
        sequence += 1
        return _event({"type": kind, "sequence_number": sequence - 1, **rest}, kind)

    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(whole["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        text, name = ("arguments", "function_call_arguments")
        empty = {**item, "status": "in_progress", "arguments": ""}
        if item["type"] == "message":
            text, name = "text", "output_text"
            empty = {**item, "status": "in_progress", "content": []}
        yield event("response.output_item.added", output_index=index, item=empty)
        if item["type"] == "message":
            place["content_index"] = 0
            part = item["content"][0]
            yield event("response.content_part.added", **place, part={**part, "text": ""})
            content = part["text"]
        else:
            content = item["arguments"]
        for piece in _pieces(content):
            yield event(f"response.{name}.delta", **place, delta=piece)
        yield event(f"response.{name}.done", **place, **{text: content})
        if item["type"] == "message":
            yield event("response.content_part.done", **place, part=item["content"][0])
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=whole)


def _messages(answer: Mapping[str, Any], number: int, model: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": answer["text"]}] if answer["text"] else []
    content += [
        {"type": "tool_use", "id": f"toolu_{number}_{index}", "name": call["name"], "input": call["arguments"]}
        for index, call in enumerate(answer["tool_calls"])
    ]
    return {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if answer["tool_calls"] else "end_turn",
        "stop_sequence": None,
        "usage": dict(answer["usage"]),
    }


def _messages_stream(whole: dict[str, Any]) -> Iterator[bytes]:
    def event(kind: str, **rest: Any) -> bytes:
        return _event({"type": kind, **rest}, kind)

    begun = {**whole, "content": [], "stop_reason": None, "usage": {**whole["usage"], "output_tokens": 0}}
    yield event("message_start", message=begun)
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            empty, kind, field, content = {**block, "text": ""}, "text_delta", "text", block["text"]
        else:
            empty, kind, field = {**block, "input": {}}, "input_json_delta", "partial_json"
            content = json.dumps(block["input"])
        yield event("content_block_start", index=index, content_block=empty)
        for piece in _pieces(content):
            yield event("content_block_delta", index=index, delta={"type": kind, field: piece})
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=delta, usage={"output_tokens": whole["usage"]["output_tokens"]})
    yield event("message_stop")


def _gemini(answer: Mapping[str, Any], number: int, model: str) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": answer["text"]}] if answer["text"] else []
    parts += [{"functionCall": {"name": call["name"], "args": call["arguments"]}} for call in answer["tool_calls"]]
    usage = answer["usage"]
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": usage["input_tokens"],
            "candidatesTokenCount": usage["output_tokens"],
            "totalTokenCount": usage["input_tokens"] + usage["output_tokens"],
        },
        "modelVersion": model,
        "responseId": f"response-{number}",
    }


def _gemini_stream(whole: dict[str, Any]) -> Iterator[bytes]:
    (candidate,) = whole["candidates"]
    parts = candidate["content"]["parts"]
    for part in parts[:-1]:
        yield _event({**whole, "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]})
    yield _event({**whole, "candidates": [{**candidate, "content": {"role": "model", "parts": parts[-1:]}}]})


_RENDERERS = {
    "chat": (_chat, _chat_stream),
    "responses": (_responses, _responses_stream),
    "messages": (_messages, _messages_stream),
    "generate": (_gemini, _gemini_stream),
}
