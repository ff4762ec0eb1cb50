"""The providers' dialects: which paths there are, what a request asks for, what an answer says of itself.

Sources: OpenAI API reference (chat completions, responses, models), Anthropic API reference (messages, count_tokens,
models), Gemini API reference (generateContent, streamGenerateContent, countTokens, models).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Operation:
    """What a path asks for.

    Attributes:
        dialect: openai, anthropic or gemini.
        name: chat, responses, messages, count_tokens, generate, models.
        path: at the upstream.
        model: where the path names it, else empty.
        streams: the path itself asks for a stream.
        generates: the answer is a model's.
    """

    dialect: str
    name: str
    path: str
    model: str = ""
    streams: bool = False
    generates: bool = True


_MODEL = r"(?P<model>[A-Za-z0-9][A-Za-z0-9._:@-]{0,127})"
_GEMINI = re.compile(rf"/v1(?:beta)?/models/{_MODEL}:(?P<verb>generateContent|streamGenerateContent|countTokens)")
_GEMINI_MODELS = re.compile(rf"/v1beta/models(?:/{_MODEL})?")
_MODELS = re.compile(rf"/v1/models(?:/{_MODEL})?")
_POSTED: Mapping[str, tuple[str, str, bool]] = {
    "/v1/chat/completions": ("openai", "chat", True),
    "/v1/responses": ("openai", "responses", True),
    "/v1/messages": ("anthropic", "messages", True),
    "/v1/messages/count_tokens": ("anthropic", "count_tokens", False),
}
_PREFIX = re.compile(r"/(openai|anthropic|gemini)(?=/)")


def operation_of(method: str, path: str, headers: Mapping[str, str]) -> Operation | None:
    """What a request asks for; None where no dialect has that.

    Args:
        method: of HTTP.
        path: without the query, as it came: nothing in it is decoded, so nothing can be hidden in it either. It may
            begin with the dialect (``/anthropic/v1/messages``).
        headers: names in lower case.
    """
    prefix = _PREFIX.match(path)
    named = prefix[1] if prefix else ""
    rest = path[prefix.end() :] if prefix else path
    if named == "openai" and not rest.startswith("/v1/"):
        # Clients that are given a base without the version.
        rest = f"/v1{rest}"
    found = _operation(method, rest, "anthropic" if "anthropic-version" in headers else "openai", named)
    return found if found is not None and named in ("", found.dialect) else None


def under_name(operation: Operation, model: str) -> Operation:
    """The same operation where its path names a model, for another one.

    Args:
        operation: whose path names a model.
        model: as the upstream calls it.
    """
    before, between, after = operation.path.partition(f"/models/{operation.model}")
    return replace(operation, path=before + between.removesuffix(operation.model) + quote(model, safe=":@") + after)


def _operation(method: str, path: str, lists_models: str, named: str) -> Operation | None:
    if method == "POST":
        if path in _POSTED:
            dialect, name, generates = _POSTED[path]
            return Operation(dialect, name, path, generates=generates)
        if match := _GEMINI.fullmatch(path):
            if match["verb"] == "countTokens":
                return Operation("gemini", "count_tokens", path, match["model"], generates=False)
            return Operation("gemini", "generate", path, match["model"], match["verb"] == "streamGenerateContent")
    elif method == "GET":
        if match := _GEMINI_MODELS.fullmatch(path):
            return Operation("gemini", "models", path, match["model"] or "", generates=False)
        if match := _MODELS.fullmatch(path):
            return Operation(named or lists_models, "models", path, match["model"] or "", generates=False)
    return None


# Passed on; everything else may bear an account, a key or a way round.
_REQUEST_HEADERS = re.compile(
    r"accept|content-type|user-agent|anthropic-(?:version|beta)|openai-beta|idempotency-key|x-goog-api-client"
    r"|x-stainless-[a-z-]{1,40}|x-app|originator|session_id"
)
_ANSWER_HEADERS = re.compile(
    r"content-type|retry-after|retry-after-ms|x-should-retry|x?-?request-id|(?:x-|anthropic-)ratelimit-[a-z-]{1,60}"
    r"|openai-(?:processing-ms|version)|x-goog-[a-z-]{1,40}"
)
_QUERY = frozenset(("alt", "beta", "limit", "after_id", "before_id", "pageSize", "pageToken", "after", "order"))


def passed_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of a request's headers that are passed on."""
    return {name: value for name, value in headers.items() if _REQUEST_HEADERS.fullmatch(name)}


def answer_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of an answer's headers that the agent gets."""
    return {name.lower(): value for name, value in headers.items() if _ANSWER_HEADERS.fullmatch(name.lower())}


def passed_query(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those parts of a query that are passed on: not Gemini's ``key``, for one."""
    return [(name, value) for name, value in pairs if name in _QUERY]


def credentials(dialect: str, key: str) -> dict[str, str]:
    """The headers by which a provider knows who asks; none without a key."""
    if not key:
        return {}
    match dialect:
        case "anthropic":
            return {"x-api-key": key}
        case "gemini":
            return {"x-goog-api-key": key}
        case _:
            return {"authorization": f"Bearer {key}"}


SIGNATURE = "Affidavit's gateway: "
"""What an error of the gateway's own begins with."""


def error_body(dialect: str, status: int, text: str) -> dict[str, Any]:
    """An error as the provider would say it, so that clients show its text."""
    match dialect:
        case "anthropic":
            kind = "permission_error" if status == 403 else "invalid_request_error" if status < 500 else "api_error"
            return {"type": "error", "error": {"type": kind, "message": text}}
        case "gemini":
            kind = "PERMISSION_DENIED" if status == 403 else "INVALID_ARGUMENT" if status < 500 else "UNAVAILABLE"
            return {"error": {"code": status, "message": text, "status": kind}}
        case _:
            kind = "invalid_request_error" if status < 500 else "server_error"
            return {"error": {"message": text, "type": kind, "param": None, "code": "affidavit_gateway"}}


def content_type(headers: str) -> str:
    """The content type in headers as a decision log has them (a JSON object); empty where there is none."""
    try:
        match json.loads(headers):
            case {"content-type": str(kind)}:
                return kind
    except (ValueError, RecursionError):
        pass
    return ""


@dataclass
class Answer:
    """What an answer says, whatever the dialect.

    Attributes:
        model: which model it says it is from; empty where it does not say.
        input_tokens, output_tokens: as it says; None where it does not.
        texts: of the model, in pieces.
        thoughts: its thinking, as far as it is shown, in pieces.
        tool_calls: id, name and arguments (a JSON text) of each.
        finished: it says that it is at its end.
        error: what it says went wrong on the provider's side; empty: nothing.
    """

    model: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tool_calls: list[tuple[str, str, str]] = field(default_factory=list)
    finished: bool = False
    error: str = ""


def read_answer(operation: str, content_type: str, body: bytes) -> Answer | None:
    """What an answer with status 200 says; None where it is neither the JSON nor the stream that it should be.

    Args:
        operation: as in `Operation.name`.
        content_type: of the answer.
        body: all of it, or what came of it.
    """
    answer = Answer()
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "text/event-stream":
            for event in sse_events(body):
                if event == "[DONE]":
                    answer.finished = True
                    continue
                value = json.loads(event)
                if isinstance(value, dict):
                    _STREAMED.get(operation, _ignore)(answer, value)
            return answer
        if kind != "application/json":
            return None
        value = json.loads(body)
        answer.finished = True
        # Gemini without alt=sse streams one array.
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                return None
            _WHOLE.get(operation, _ignore)(answer, one)
        return answer
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError, IndexError):
        # Not what the provider's reference says: half an event, or some other shape.
        return None


def sse_events(body: bytes) -> Iterator[str]:
    """The data of each event of a stream (WHATWG HTML, 9.2.6). A last event that no empty line ends is left out."""
    lines: list[str] = []
    # Only these end a line there; str.splitlines knows many more.
    for line in re.split(r"\r\n|\n|\r", body.decode("utf-8", "replace")):
        if line == "":
            if lines:
                yield "\n".join(lines)
            lines = []
        elif line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))


def _ignore(answer: Answer, value: Mapping[str, Any]) -> None:
    answer.finished = True


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


def _name(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _said_error(value: Mapping[str, Any]) -> str:
    match value.get("error"):
        case {"message": str(text)} | str(text):
            return text[:500] or "error"
        case None:
            return ""
    return "error"


def _chat(answer: Answer, value: Mapping[str, Any]) -> None:
    answer.model = answer.model or _name(value.get("model"))
    answer.error = answer.error or _said_error(value)
    if isinstance(usage := value.get("usage"), dict):
        answer.input_tokens = _tokens(usage.get("prompt_tokens"))
        answer.output_tokens = _tokens(usage.get("completion_tokens"))
    for choice in (value.get("choices") or [])[:1]:
        # A whole answer has a message, a stream deltas that add up to one.
        message = choice.get("message") or choice.get("delta") or {}
        answer.texts.append(_text(message.get("content")))
        answer.thoughts.append(_text(message.get("reasoning_content") or message.get("reasoning")))
        for position, call in enumerate(message.get("tool_calls") or ()):
            index, function = call.get("index", position), call.get("function") or {}
            while len(answer.tool_calls) <= index < 256:
                answer.tool_calls.append(("", "", ""))
            identity, name, arguments = answer.tool_calls[index]
            answer.tool_calls[index] = (
                identity or call.get("id") or "",
                name + (function.get("name") or ""),
                arguments + (function.get("arguments") or ""),
            )
        answer.finished |= choice.get("finish_reason") is not None


def _responses(answer: Answer, value: Mapping[str, Any]) -> None:
    answer.model = _name(value.get("model")) or answer.model
    if isinstance(usage := value.get("usage"), dict):
        answer.input_tokens = _tokens(usage.get("input_tokens"))
        answer.output_tokens = _tokens(usage.get("output_tokens"))
    answer.error = answer.error or _said_error(value)
    for item in value.get("output") or ():
        match item:
            case {"type": "message", "content": list(parts)}:
                answer.texts += [_text(part.get("text")) for part in parts]
            case {"type": "reasoning"}:
                answer.thoughts += [_text(part.get("text")) for part in item.get("summary") or ()]
            case {"type": "function_call", "name": str(name), "arguments": str(arguments)}:
                answer.tool_calls.append((str(item.get("call_id") or ""), name, arguments))
            case {"type": "custom_tool_call", "name": str(name), "input": str(text)}:
                answer.tool_calls.append((str(item.get("call_id") or ""), name, json.dumps({"input": text})))
            case {"type": "local_shell_call", "action": action}:
                answer.tool_calls.append((str(item.get("call_id") or ""), "local_shell", json.dumps(action)))


def _responses_event(answer: Answer, value: Mapping[str, Any]) -> None:
    match value:
        case {"type": "response.completed" | "response.incomplete" | "response.failed", "response": dict(response)}:
            for pieces in (answer.texts, answer.thoughts, answer.tool_calls):
                pieces.clear()
            _responses(answer, response)
            answer.finished = True
        case {"type": "response.created", "response": dict(response)}:
            answer.model = _name(response.get("model"))
        case {"type": "response.output_text.delta", "delta": str(text)}:
            answer.texts.append(text)
        case {"type": "error"}:
            answer.error = _name(value.get("message")) or _said_error(value) or "error"


def _messages(answer: Answer, value: Mapping[str, Any]) -> None:
    answer.model = answer.model or _name(value.get("model"))
    answer.error = answer.error or _said_error(value)
    _anthropic_usage(answer, value.get("usage"))
    for block in value.get("content") or ():
        match block:
            case {"type": "text", "text": str(text)}:
                answer.texts.append(text)
            case {"type": "thinking", "thinking": str(text)}:
                answer.thoughts.append(text)
            case {"type": "tool_use", "name": str(name), "input": dict(given)}:
                answer.tool_calls.append((str(block.get("id") or ""), name, json.dumps(given)))


def _anthropic_usage(answer: Answer, usage: Any) -> None:
    if isinstance(usage, dict):
        read = [
            _tokens(usage.get(name))
            for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        ]
        if read[0] is not None:
            answer.input_tokens = sum(one or 0 for one in read)
        written = _tokens(usage.get("output_tokens"))
        answer.output_tokens = answer.output_tokens if written is None else written


def _messages_event(answer: Answer, value: Mapping[str, Any]) -> None:
    match value:
        case {"type": "message_start", "message": dict(message)}:
            _messages(answer, message)
        case {"type": "content_block_start", "content_block": {"type": "tool_use", "name": str(name), **rest}}:
            answer.tool_calls.append((str(rest.get("id") or ""), name, ""))
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
            answer.texts.append(text)
        case {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": str(text)}}:
            answer.thoughts.append(text)
        case {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": str(text)}}:
            if answer.tool_calls:
                identity, name, arguments = answer.tool_calls[-1]
                answer.tool_calls[-1] = (identity, name, arguments + text)
        case {"type": "message_delta"}:
            _anthropic_usage(answer, value.get("usage"))
        case {"type": "message_stop"}:
            answer.finished = True
        case {"type": "error"}:
            answer.error = _said_error(value) or "error"


def _gemini(answer: Answer, value: Mapping[str, Any]) -> None:
    answer.model = answer.model or _name(value.get("modelVersion"))
    answer.error = answer.error or _said_error(value)
    if isinstance(usage := value.get("usageMetadata"), dict):
        answer.input_tokens = _tokens(usage.get("promptTokenCount"))
        written = [_tokens(usage.get(name)) for name in ("candidatesTokenCount", "thoughtsTokenCount")]
        answer.output_tokens = None if written == [None, None] else sum(one or 0 for one in written)
    for candidate in (value.get("candidates") or [])[:1]:
        for part in (candidate.get("content") or {}).get("parts") or ():
            match part:
                case {"functionCall": {"name": str(name), **rest}}:
                    answer.tool_calls.append((str(rest.get("id") or ""), name, json.dumps(rest.get("args") or {})))
                case {"text": str(text)}:
                    (answer.thoughts if part.get("thought") else answer.texts).append(text)
        answer.finished |= candidate.get("finishReason") is not None
    # A prompt that is blocked has no candidate.
    answer.finished |= bool(value.get("promptFeedback"))


_WHOLE = {"chat": _chat, "responses": _responses, "messages": _messages, "generate": _gemini}
_STREAMED = {"chat": _chat, "responses": _responses_event, "messages": _messages_event, "generate": _gemini}
