"""A decision log as a trajectory in ATIF (Agent Trajectory Interchange Format, Harbor's RFC 0001)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from affidavit.events import GENERATING
from affidavit.gateway.dialects import Answer, content_type, read_answer

VERSION = "ATIF-v1.8"
# What is longer stands in the decision log in full.
_MOST_TEXT = 200_000
_MOST_STEPS = 10_000


def trajectory(rows: Iterable[Mapping[str, Any]], agent: Mapping[str, str], session: str) -> dict[str, Any]:
    """The trajectory of a decision log; the same log makes the same.

    A step of the agent's is one answer of the model. What its tools said is found in the requests that follow. Where
    several conversations go on at once (of subagents, say), their steps stand in the order of their turns.

    Args:
        rows: of MODEL_SCHEMA, in order.
        agent: ``name``, ``version`` and ``model_name``.
        session: identifies the trial.
    """
    steps: list[dict[str, Any]] = []
    waiting: dict[str, dict[str, Any]] = {}
    tokens, left_out = [0, 0], 0
    for row in rows:
        if row["operation"] not in GENERATING or row["outcome"] != "answered" or row["status"] != 200:
            continue
        kind = content_type(row["response_headers"])
        request, answer = _object(row["request"]), read_answer(row["operation"], kind, row["response"])
        if answer is None:
            continue
        tokens[0] += row["input_tokens"]
        tokens[1] += row["output_tokens"]
        if len(steps) >= _MOST_STEPS:
            left_out += 1
            continue
        for call, content in _observations(row["operation"], request):
            if (step := waiting.pop(call, None)) is not None:
                results = step.setdefault("observation", {"results": []})["results"]
                results.append({"source_call_id": call, "content": _cut(content)})
        if not steps:
            steps += [
                {"step_id": number, "source": source, "message": _cut(text)}
                for number, (source, text) in enumerate(_prompts(row["operation"], request), 1)
            ]
        step = _agent_step(len(steps) + 1, row, answer)
        steps.append(step)
        waiting |= {call["tool_call_id"]: step for call in step.get("tool_calls", ())}
    final = {"total_prompt_tokens": tokens[0], "total_completion_tokens": tokens[1], "total_steps": len(steps)}
    whole = {
        "schema_version": VERSION,
        "session_id": session,
        "agent": dict(agent),
        "steps": steps,
        "final_metrics": final,
    }
    if left_out:
        whole["notes"] = f"{left_out} further answers are in the decision log only"
    return whole


def _agent_step(number: int, row: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    step: dict[str, Any] = {
        "step_id": number,
        "source": "agent",
        "model_name": answer.model or row["model"],
        "message": _cut("".join(answer.texts)),
        "metrics": {"prompt_tokens": row["input_tokens"], "completion_tokens": row["output_tokens"]},
        "extra": {"turn": row["turn"]},
    }
    if thoughts := "".join(answer.thoughts):
        step["reasoning_content"] = _cut(thoughts)
    if answer.tool_calls:
        step["tool_calls"] = [
            # Gemini gives its calls no id; what their tools say is found by name.
            {"tool_call_id": _cut(identity or name), "function_name": _cut(name), "arguments": _arguments(arguments)}
            for identity, name, arguments in answer.tool_calls
        ]
    return step


def _arguments(text: str) -> dict[str, Any]:
    value = _object(text.encode("utf-8", "replace"))
    return value if value and len(text) <= _MOST_TEXT else {} if text in ("", "{}") else {"text": _cut(text)}


def _prompts(operation: str, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """System prompt and first message of a conversation."""
    match operation:
        case "chat":
            messages = _list(request.get("messages"))
        case "responses":
            if text := _text(request.get("instructions")):
                yield "system", text
            given = request.get("input")
            messages = [{"role": "user", "content": given}] if isinstance(given, str) else _list(given)
        case "messages":
            if text := _text(request.get("system")):
                yield "system", text
            messages = _list(request.get("messages"))
        case _:
            if text := _text(request.get("systemInstruction") or request.get("system_instruction")):
                yield "system", text
            messages = _list(request.get("contents"))
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user"):
            return
        if text := _text(message.get("content", message.get("parts"))):
            yield "user" if message["role"] == "user" else "system", text


def _observations(operation: str, request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What tools said, by the id of their call."""
    match operation:
        case "chat":
            for message in _list(request.get("messages")):
                match message:
                    case {"role": "tool", "tool_call_id": str(call)}:
                        yield call, _text(message.get("content"))
        case "responses":
            for item in _list(request.get("input")):
                match item:
                    case {"type": str(kind), "call_id": str(call)} if kind.endswith("_output"):
                        yield call, _text(item.get("output"))
        case "messages":
            for message in _list(request.get("messages")):
                for part in _list(message.get("content")) if isinstance(message, dict) else ():
                    match part:
                        case {"type": "tool_result", "tool_use_id": str(call)}:
                            yield call, _text(part.get("content"))
        case _:
            for message in _list(request.get("contents")):
                for part in _list(message.get("parts")) if isinstance(message, dict) else ():
                    match part:
                        case {"functionResponse": {"name": str(name), **rest}}:
                            identity = rest.get("id")
                            said = json.dumps(rest.get("response"))
                            yield identity if isinstance(identity, str) and identity else name, said


def _text(value: Any) -> str:
    """The text in what a message holds, in whatever shape."""
    match value:
        case str():
            return value
        case list():
            return "\n".join(text for text in map(_text, value) if text)
        case {"text": str(text)}:
            return text
        case {"parts": list(parts)}:
            return _text(parts)
    return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _cut(text: str) -> str:
    # Lone surrogates have no UTF-8.
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " [cut]"
