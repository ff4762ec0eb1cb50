"""Decision logs as trajectories."""

import json
from typing import Any, Literal, Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from affidavit.gateway import trajectory
from affidavit.gateway.dialects import operation_of
from affidavit.gateway.script import render


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ToolCall(_Strict):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]


class ObservationResult(_Strict):
    source_call_id: str | None = None
    content: str | None = None


class Observation(_Strict):
    results: list[ObservationResult]


class Metrics(_Strict):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    extra: dict[str, Any] | None = None


class Step(_Strict):
    """A step as Harbor's RFC 0001 (ATIF) has it."""

    step_id: int = Field(ge=1)
    timestamp: str | None = None
    source: Literal["system", "user", "agent"]
    model_name: str | None = None
    reasoning_effort: str | float | None = None
    message: str
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    observation: Observation | None = None
    metrics: Metrics | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def only_agents_act(self) -> Self:
        assert self.source == "agent" or not (self.model_name or self.tool_calls or self.metrics)
        calls = {call.tool_call_id for call in self.tool_calls or ()}
        results = self.observation.results if self.observation else []
        assert all(one.source_call_id in calls for one in results if one.source_call_id)
        return self


class Agent(_Strict):
    name: str
    version: str
    model_name: str | None = None
    extra: dict[str, Any] | None = None


class FinalMetrics(_Strict):
    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: int | None = None
    extra: dict[str, Any] | None = None


class Trajectory(_Strict):
    schema_version: str = Field(pattern=r"^ATIF-v1\.[0-9]$")
    session_id: str
    agent: Agent
    steps: list[Step]
    notes: str | None = None
    final_metrics: FinalMetrics | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def numbered(self) -> Self:
        assert [step.step_id for step in self.steps] == [*range(1, len(self.steps) + 1)]
        return self


AGENT = {"name": "a", "version": "1", "model_name": "model-1"}
SCRIPT: list[dict[str, Any]] = [
    {"text": "I look.", "tool_calls": [{"name": "bash", "arguments": {"command": "ls"}}]},
    {"text": "Done.", "tool_calls": []},
]
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "generate": "/v1beta/models/model-1:generateContent",
}


def requests(operation: str) -> list[dict[str, Any]]:
    """The two requests of a conversation in which a tool says ``a b``."""
    match operation:
        case "chat":
            first: list[dict[str, Any]] = [
                {"role": "system", "content": "Be good."},
                {"role": "user", "content": [{"type": "text", "text": "Do it."}]},
            ]
            called = {"role": "assistant", "tool_calls": [{"id": "call_1_0", "function": {}}]}
            said = {"role": "tool", "tool_call_id": "call_1_0", "content": "a b"}
            return [{"messages": first}, {"messages": [*first, called, said]}]
        case "responses":
            base = {"instructions": "Be good."}
            said = {"type": "function_call_output", "call_id": "call_1_0", "output": "a b"}
            asked = {"role": "user", "content": [{"type": "input_text", "text": "Do it."}]}
            return [{**base, "input": "Do it."}, {**base, "input": [asked, {"type": "function_call"}, said]}]
        case "messages":
            base = {"system": [{"type": "text", "text": "Be good."}]}
            asked = {"role": "user", "content": "Do it."}
            result = {"type": "tool_result", "tool_use_id": "toolu_1_0", "content": [{"type": "text", "text": "a b"}]}
            said = {"role": "user", "content": [result]}
            return [{**base, "messages": [asked]}, {**base, "messages": [asked, {"role": "assistant"}, said]}]
    base = {"systemInstruction": {"parts": [{"text": "Be good."}]}}
    asked = {"role": "user", "parts": [{"text": "Do it."}]}
    said = {"role": "user", "parts": [{"functionResponse": {"name": "bash", "response": "a b"}}]}
    return [{**base, "contents": [asked]}, {**base, "contents": [asked, said]}]


def rows(operation: str, *, streams: bool) -> list[dict[str, Any]]:
    found = operation_of("POST", PATHS[operation], {})
    assert found is not None
    made = []
    for turn, (request, answer) in enumerate(zip(requests(operation), SCRIPT, strict=True), 1):
        whole = {"usage": {"input_tokens": 10, "output_tokens": 5}, "model": "model-1-x", "status": 200, **answer}
        status, kind, body = render(whole, found, turn, "model-1", streams=streams)
        made.append(
            {
                "turn": turn,
                "operation": operation,
                "outcome": "answered",
                "status": status,
                "model": "model-1",
                "response_headers": json.dumps({"content-type": kind}),
                "request": json.dumps(request).encode(),
                "response": body,
                "input_tokens": 10,
                "output_tokens": 5,
            }
        )
    return made


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("operation", PATHS)
def test_a_conversation_is_a_valid_trajectory(operation: str, streams: bool) -> None:
    whole = Trajectory.model_validate(trajectory(rows(operation, streams=streams), AGENT, "run/0"))
    assert [(step.source, step.message) for step in whole.steps] == [
        ("system", "Be good."),
        ("user", "Do it."),
        ("agent", "I look."),
        ("agent", "Done."),
    ]
    step = whole.steps[2]
    assert step.tool_calls is not None
    assert (step.tool_calls[0].function_name, step.tool_calls[0].arguments) == ("bash", {"command": "ls"})
    assert step.observation is not None
    assert (step.observation.results[0].content or "").strip('"') == "a b"
    assert step.model_name == "model-1-x"
    assert whole.final_metrics is not None
    assert (whole.final_metrics.total_prompt_tokens, whole.final_metrics.total_completion_tokens) == (20, 10)


def test_what_was_not_answered_is_no_step() -> None:
    made = rows("chat", streams=False)
    made[0]["outcome"] = "failed"
    made[1]["response"] = b"{"
    assert trajectory(made, AGENT, "run/0")["steps"] == []


@pytest.mark.parametrize("request_", [b"", b"[]", b'{"messages": 7}', b'{"messages": [7, {"role": "user"}]}', b"\xff"])
@pytest.mark.parametrize("operation", PATHS)
def test_odd_requests_do_no_harm(operation: str, request_: bytes) -> None:
    made = rows(operation, streams=False)[:1]
    made[0]["request"] = request_.replace(b"messages", b"input" if operation == "responses" else b"messages")
    assert len(trajectory(made, AGENT, "run/0")["steps"]) == 1
