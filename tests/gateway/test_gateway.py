"""The gateway between a client and a scripted model server."""

import base64
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import brotli
import httpx
import pytest

from affidavit.gateway import Budgets, HostDoor, Price, read_answer, read_script
from affidavit.gateway.sources import request_digest
from gateway.conftest import KEY, chat
from harness import state_of, wait_for
from scripted_model import scripted_model

TOOL = {"name": "bash", "arguments": {"command": "ls"}}
MESSAGES = {"model": "model-1", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}

REQUESTS = {
    "chat": ("/v1/chat/completions", chat()),
    "responses": ("/openai/v1/responses", {"model": "model-1", "input": "hi"}),
    "messages": ("/anthropic/v1/messages?beta=true", MESSAGES),
    "generate": ("/gemini/v1beta/models/model-1:generateContent", CONTENTS),
}


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": lambda data: zlib.compress(data, 1),
    "br": lambda data: bytes(brotli.compress(data, quality=1)),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("operation", REQUESTS)
def test_passes_each_dialect_through(gateway: Callable[..., Any], operation: str, stream: bool) -> None:
    path, body = REQUESTS[operation]
    if stream:
        body = body if operation == "generate" else {**body, "stream": True}
        path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    with scripted_model({"text": "I look.", "tool_calls": [TOOL], "model": "model-1-0613"}) as model:
        running = gateway(model.url)
        answer = running.client.post(path, json=body, headers={"authorization": "Bearer of-the-agent"})
        (exchange,) = running.stop()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == ("text/event-stream" if stream else "application/json")
    (received,) = model.received
    assert received.json == body
    assert KEY in "".join(received.headers.values())
    assert "of-the-agent" not in str(received.headers)
    said = read_answer(operation, answer.headers["content-type"], answer.content)
    assert said is not None
    assert "".join(said.texts) == "I look."
    assert [(name, json.loads(arguments)) for _, name, arguments in said.tool_calls] == [("bash", {"command": "ls"})]
    assert (exchange.operation, exchange.outcome, exchange.status) == (operation, "answered", 200)
    assert (exchange.model, exchange.wire_model) == ("model-1", "model-1-0613")
    assert (exchange.input_tokens, exchange.output_tokens, exchange.estimated) == (10, 5, False)
    assert json.loads(exchange.request) == body
    assert exchange.response == answer.content
    assert exchange.answered_ns is not None
    assert exchange.started_ns < exchange.answered_ns <= exchange.ended_ns
    assert running.complete


KEYS = {
    "chat": lambda key: {"authorization": f"Bearer {key}"},
    "responses": lambda key: {"authorization": f"Bearer {key}"},
    "messages": lambda key: {"x-api-key": key},
    "generate": lambda key: {"x-goog-api-key": key},
}


@pytest.mark.parametrize("operation", REQUESTS)
def test_programs_outside_the_sandbox_need_the_key(gateway: Callable[..., Any], operation: str) -> None:
    door = HostDoor()
    path, body = REQUESTS[operation]
    with scripted_model({"text": "hello"}) as model, httpx.Client(base_url=door.url, trust_env=False) as outside:
        running = gateway(model.url, door)
        for headers in ({}, KEYS[operation]("affidavit"), KEYS[operation](f"{door.key}x"), {"cookie": door.key}):
            assert outside.post(path, json=body, headers=headers).status_code == 401
        assert model.received == []
        assert outside.post(path, json=body, headers=KEYS[operation](door.key)).status_code == 200
        # The sandbox's own port wants none.
        assert running.client.post(path, json=body).status_code == 200
        assert [door.key in str(one.headers) for one in model.received] == [False, False]
    assert [exchange.outcome for exchange in running.stop()] == ["answered"] * 2


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_model_may_have_another_name_upstream(gateway: Callable[..., Any], operation: str) -> None:
    path, body = REQUESTS[operation]
    with scripted_model({"text": "x", "model": "qwen:7"}) as model:
        running = gateway(model.url, models=("model-1", "model-2"), mapping={"model-1": "qwen:7"})
        answers = [
            running.client.post(path, json=body),
            running.client.post(path.replace("model-1", "qwen:7"), json={**body, "model": "qwen:7"}),
        ]
        passed, refused = running.stop()
    assert [answer.status_code for answer in answers] == [200, 403]
    (received,) = model.received
    assert received.json == ({**body, "model": "qwen:7"} if "model" in body else body)
    assert ("/qwen:7:" in received.path) == (operation == "generate")
    assert json.loads(passed.request) == received.json
    assert (passed.model, passed.wire_model) == ("model-1", "qwen:7")
    assert refused.outcome == "refused"


def test_events_are_passed_on_as_they_come(gateway: Callable[..., Any]) -> None:
    with scripted_model({"text": "first"}) as model:
        # Half an event, and then silence: what came must be there all the same.
        event = b'data: {"model": "m", "choices": [{"delta": {"content": "now"}}]}\n\n'
        model.answers = [{"raw": event * 2, "type": "text/event-stream", "cut": len(event)}]
        running = gateway(model.url)
        with running.client.stream("POST", "/v1/chat/completions", json=chat(stream=True)) as answer:
            chunks = answer.iter_bytes()
            got = next(chunks)
            with pytest.raises(httpx.HTTPError):
                next(chunks)
        (exchange,) = running.stop()
    assert got == event
    assert exchange.outcome == "failed"
    assert exchange.response == event


def test_a_stream_without_its_end_is_a_failure(gateway: Callable[..., Any]) -> None:
    event = b'data: {"model": "m", "choices": [{"delta": {"content": "now"}}]}\n\n'
    with scripted_model({"raw": event, "type": "text/event-stream"}) as model:
        running = gateway(model.url)
        with pytest.raises(httpx.RemoteProtocolError):
            running.client.post("/v1/chat/completions", json=chat(stream=True))
        (exchange,) = running.stop()
    assert (exchange.outcome, exchange.reason) == ("failed", "the upstream's stream ended before its end")


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        ({"status": 500, "body": {"error": {"message": "oh"}}}, 500, "status 500"),
        ({"status": 429, "body": {}}, 429, "status 429"),
        ({"status": 401, "body": {}}, 401, "status 401"),
        ({"raw": b"{", "type": "application/json"}, 502, "is not the JSON"),
        ({"raw": b"<html>", "type": "text/html"}, 502, "is not the JSON"),
        ({"raw": b'{"choices": 7}', "type": "application/json"}, 502, "is not the JSON"),
        ({"raw": b"{}" * 100, "type": "application/json", "cut": 10}, 502, "broke off"),
        ({"status": 302, "body": {}, "headers": {"location": "http://192.0.2.1/"}}, 502, "redirects"),
        ({"text": "x", "headers": {"content-encoding": "zstd"}}, 502, "compresses"),
        ({"text": "x", "headers": {"content-encoding": "br"}}, 502, "can't be decompressed"),
        ({"raw": b'{"error": {"message": "overloaded"}}', "type": "application/json"}, 200, "overloaded"),
    ],
)
def test_failures_of_the_upstream_are_its_own(
    gateway: Callable[..., Any], answer: dict[str, Any], status: int, reason: str
) -> None:
    with scripted_model(answer) as model:
        running = gateway(model.url)
        got = running.client.post("/v1/chat/completions", json=chat())
        (exchange,) = running.stop()
    assert got.status_code == status
    assert exchange.outcome == "failed"
    assert reason in exchange.reason
    assert exchange.status == status


def test_what_the_agent_did_wrong_is_no_failure_of_the_upstream(gateway: Callable[..., Any]) -> None:
    with scripted_model({"status": 400, "body": {"error": {"message": "too long"}}}) as model:
        running = gateway(model.url)
        got = running.client.post("/v1/chat/completions", json=chat())
        (exchange,) = running.stop()
    assert (got.status_code, got.json()) == (400, {"error": {"message": "too long"}})
    assert exchange.outcome == "answered"


def test_an_upstream_that_is_silent_or_away_has_failed(gateway: Callable[..., Any]) -> None:
    with scripted_model({"hang": True}) as model:
        running = gateway(model.url, idle_s=0.3)
        got = running.client.post("/v1/chat/completions", json=chat())
        (exchange,) = running.stop()
    assert (got.status_code, exchange.outcome) == (504, "failed")
    assert "said nothing for 0.3 s" in exchange.reason


def test_an_upstream_that_is_not_there_has_failed(gateway: Callable[..., Any]) -> None:
    with scripted_model() as model:
        pass
    running = gateway(model.url)
    got = running.client.post("/v1/messages", json=MESSAGES, headers={"anthropic-version": "2023-06-01"})
    (exchange,) = running.stop()
    assert (got.status_code, exchange.outcome) == (502, "failed")
    assert got.json()["error"]["message"].startswith("Affidavit's gateway: the upstream can't be reached")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/files", chat(), 404),
        ("POST", "/v1/embeddings", chat(), 404),
        ("GET", "/v1/chat/completions", None, 404),
        ("POST", "/v1/../v1/chat/completions", chat(), 404),
        ("POST", "/v1/chat%2fcompletions", chat(), 404),
        ("POST", "/anthropic/v1/chat/completions", chat(), 404),
        ("POST", "/v1beta/models/model-1:generateContent/../../files", CONTENTS, 404),
        ("POST", "/v1/chat/completions", chat(model="model-2"), 403),
        ("POST", "/v1beta/models/model-2:generateContent", CONTENTS, 403),
        ("POST", "/v1/chat/completions", {"messages": []}, 400),
        ("POST", "/v1/chat/completions", [], 400),
        ("POST", "/v1/responses", {"model": "model-1", "input": "x", "previous_response_id": "r"}, 400),
    ],
)
def test_refuses_what_is_not_granted(
    gateway: Callable[..., Any], method: str, path: str, body: Any, status: int
) -> None:
    with scripted_model() as model:
        running = gateway(model.url)
        # Not by httpx, which tidies paths up.
        request = httpx.Request(method, running.client.base_url, json=body)
        request.extensions["target"] = path.encode()
        got = running.client.send(request)
        (exchange,) = running.stop()
    assert got.status_code == status
    assert (exchange.outcome, exchange.status) == ("refused", status)
    assert exchange.reason
    assert model.received == []


def test_a_name_that_stands_twice_has_one_meaning(gateway: Callable[..., Any]) -> None:
    with scripted_model() as model:
        running = gateway(model.url)
        text = '{"model": "other", "tools": [{"type": "web_search"}], "messages": [], "model": "model-1", "tools": []}'
        running.client.post("/v1/chat/completions", content=text)
        running.stop()
    assert model.received[0].json == {"model": "model-1", "messages": []}
    assert b"other" not in model.received[0].body


@pytest.mark.parametrize("coding", COMPRESS)
def test_bodies_are_bounded_also_when_compressed(gateway: Callable[..., Any], coding: str) -> None:
    compress, headers = COMPRESS[coding], {"content-encoding": coding}
    whole = compress(json.dumps(chat()).encode())
    with scripted_model() as model:
        running = gateway(model.url)
        bodies = (compress(b" " * (65 << 20)), whole[:-1], whole + b"x", b"{}", whole)
        answers = [running.client.post("/v1/chat/completions", content=body, headers=headers) for body in bodies]
        exchanges = running.stop()
    assert [answer.status_code for answer in answers] == [413, 400, 400, 400, 200]
    assert [exchange.outcome for exchange in exchanges] == ["refused"] * 4 + ["answered"]
    (received,) = model.received
    assert received.json == chat()


def test_an_unknown_coding_is_refused(gateway: Callable[..., Any]) -> None:
    with scripted_model() as model:
        running = gateway(model.url)
        answer = running.client.post("/v1/chat/completions", content=b"x", headers={"content-encoding": "zstd"})
        running.stop()
    assert answer.status_code == 415
    assert "send it as it is, or as gzip, deflate, br" in answer.text


@pytest.mark.parametrize("coding", COMPRESS)
def test_answers_that_come_compressed_are_passed_on_plain(gateway: Callable[..., Any], coding: str) -> None:
    event = b'data: {"model": "m", "choices": [{"delta": {"content": "now"}, "finish_reason": "stop"}]}\n\n'
    packed = {"raw": COMPRESS[coding](event), "type": "text/event-stream", "headers": {"content-encoding": coding}}
    with scripted_model(packed, {**packed, "raw": packed["raw"][:-1]}) as model:
        running = gateway(model.url)
        got = running.client.post("/v1/chat/completions", json=chat(stream=True))
        with pytest.raises(httpx.RemoteProtocolError):
            running.client.post("/v1/chat/completions", json=chat(stream=True))
        whole, broken = running.stop()
    assert (got.content, got.headers.get("content-encoding")) == (event, None)
    assert (whole.outcome, whole.response) == ("answered", event)
    assert (broken.outcome, broken.reason) == (
        "failed",
        "the upstream's answer can't be decompressed: it ends before its end",
    )


def test_a_small_answer_may_not_unpack_to_a_huge_one(gateway: Callable[..., Any]) -> None:
    bomb = COMPRESS["br"](b" " * (1 << 30))
    with scripted_model({"raw": bomb, "type": "application/json", "headers": {"content-encoding": "br"}}) as model:
        running = gateway(model.url)
        got = running.client.post("/v1/chat/completions", json=chat())
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        (exchange,) = running.stop()
    assert got.status_code == 502
    assert "larger than 64 MiB" in exchange.reason
    assert int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) < 400_000  # type: ignore[index]


@pytest.mark.parametrize(
    ("budgets", "reason"),
    [
        (Budgets(requests=2), "2 requests"),
        (Budgets(tokens=30), "30 tokens"),
        (Budgets(seconds=0.0), "0 seconds"),
        (Budgets(cost=0.00003), "3e-05 US dollars"),
    ],
)
def test_budgets_end_what_may_be_asked(gateway: Callable[..., Any], budgets: Budgets, reason: str) -> None:
    with scripted_model({"text": "x"}) as model:
        running = gateway(model.url, budgets=budgets, prices={"model-1": Price(1.0, 2.0)})
        answers = [running.client.post("/v1/chat/completions", json=chat()) for _ in range(3)]
        exchanges = running.stop()
    assert answers[-1].status_code == 403
    assert reason in exchanges[-1].reason
    assert len(model.received) == (0 if budgets.seconds == 0 else 2)


def test_tokens_are_estimated_where_nobody_counts_them(gateway: Callable[..., Any]) -> None:
    whole = {"choices": [{"message": {"content": "x" * 400}, "finish_reason": "stop"}]}
    with scripted_model({"raw": json.dumps(whole).encode(), "type": "application/json"}) as model:
        running = gateway(model.url)
        running.client.post("/v1/chat/completions", json=chat())
        (exchange,) = running.stop()
    assert exchange.estimated
    assert exchange.output_tokens >= 100


SPELLINGS = (
    KEY,
    quote(KEY, safe=""),
    base64.b64encode(b"x" + KEY.encode()).decode(),
    base64.b64encode(b"Bearer " + KEY.encode()).decode(),
    KEY.encode().hex(),
)


def _told(data: str) -> bool:
    """Whether a key can be read in some text."""
    core = KEY[4:-4]
    found = core in data or quote(core, safe="") in data or core.encode().hex() in data
    return found or any(base64.b64encode(bytes(n) + core.encode())[4:-4].decode() in data for n in range(3))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_key_that_the_upstream_tells_reaches_nobody(
    gateway: Callable[..., Any], tmp_path: Path, stream: bool
) -> None:
    echo = " ".join(SPELLINGS)
    with scripted_model({"text": echo, "model": KEY, "headers": {"x-request-id": KEY, "openai-version": KEY}}) as model:
        if stream:
            # In one piece: the script would cut it into many.
            event = {"model": KEY, "choices": [{"delta": {"content": echo}, "finish_reason": "stop"}]}
            text = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
            model.answers = [{**model.answers[0], "raw": text.encode(), "type": "text/event-stream"}]
        running = gateway(model.url)
        answer = running.client.post(
            f"/v1/chat/completions?key={quote(KEY)}&alt={quote(KEY)}",
            json=chat(stream=stream, user=KEY, messages=[{"role": "user", "content": echo}]),
            headers={"x-api-key": KEY, "user-agent": KEY, "cookie": KEY},
        )
        refused = running.client.post(f"/{quote(KEY, safe='')}", json={})
        error = running.client.post("/v1/chat/completions", json=chat(model=KEY))
        model.answers = [{"status": 401, "body": {"error": {"message": f"Incorrect API key provided: {KEY}"}}}]
        wrong = running.client.post("/v1/chat/completions", json=chat())
        running.stop()
    assert KEY in "".join(model.received[0].headers.values())
    for got in (answer, refused, error, wrong):
        assert not _told(got.text), got.text
        assert not _told(str(got.headers))
    assert "[redacted]" in answer.text
    for line in (tmp_path / "spool").read_text().splitlines():
        value = json.loads(line)
        for name in ("request", "response"):
            value[name] = base64.b64decode(value.get(name, "")).decode()
        assert not _told(json.dumps(value)), value


def test_the_key_is_in_no_command_line_and_no_environment(gateway: Callable[..., Any]) -> None:
    with scripted_model() as model:
        running = gateway(model.url)
        process = Path(f"/proc/{running.process.pid}")
        assert KEY.encode() not in (process / "cmdline").read_bytes()
        assert KEY.encode() not in (process / "environ").read_bytes()
        status = (process / "status").read_text()
        if os.geteuid() == 0:
            assert "Uid:\t65533\t65533\t65533\t65533" in status


def test_a_gateway_that_is_killed_leaves_what_it_wrote(gateway: Callable[..., Any]) -> None:
    with scripted_model() as model:
        running = gateway(model.url)
        running.client.post("/v1/chat/completions", json=chat())
        os.kill(running.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, running.process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(httpx.ConnectError):
            httpx.post(running.client.base_url, trust_env=False)
        exchanges = running.stop()
    assert [exchange.outcome for exchange in exchanges] == ["answered"]
    assert not running.complete


def test_who_hangs_up_and_what_is_unfinished_is_written_down(gateway: Callable[..., Any]) -> None:
    with scripted_model({"hang": True}) as model:
        running = gateway(model.url)
        with pytest.raises(httpx.ReadTimeout):
            running.client.post("/v1/chat/completions", json=chat(), timeout=0.3)
        (exchange,) = running.stop()
    assert exchange.outcome in ("left", "unfinished")
    assert running.complete


def test_clients_that_look_whether_anybody_is_there_are_answered(gateway: Callable[..., Any]) -> None:
    with scripted_model() as model:
        running = gateway(model.url)
        assert running.client.head("/").status_code == 200
        listed = running.client.get("/v1/models")
        counted = running.client.post("/v1/messages/count_tokens", json=MESSAGES)
        exchanges = running.stop()
    assert (listed.status_code, counted.json()["input_tokens"]) == (200, 7)
    assert [exchange.operation for exchange in exchanges] == ["", "models", "count_tokens"]


def test_a_script_answers_in_turn_and_then_fails(gateway: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"answers": [{"text": "one"}, {"status": 500, "body": {"error": {"message": "two"}}}]}))
    running = gateway(mode="script", script=read_script(path))
    answers = [running.client.post("/v1/chat/completions", json=chat()) for _ in range(3)]
    models = running.client.get("/v1/models", headers={"anthropic-version": "2023-06-01"})
    exchanges = running.stop()
    assert answers[0].json()["choices"][0]["message"]["content"] == "one"
    assert [answer.status_code for answer in answers] == [200, 500, 500]
    assert "no more than 2 answers" in exchanges[2].reason
    assert models.json()["data"][0]["id"] == "model-1"


def test_a_replay_answers_the_very_same_request(gateway: Callable[..., Any]) -> None:
    body = json.dumps(chat()).encode()
    recorded = {
        "request": request_digest("chat", body),
        "status": 200,
        "content_type": "application/json",
        "body": base64.b64encode(b'{"choices": [{"message": {"content": "as then"}}]}').decode(),
    }
    running = gateway(mode="replay", script=(recorded, recorded))
    same = running.client.post("/v1/chat/completions", json=chat())
    other = running.client.post("/v1/chat/completions", json=chat(temperature=1))
    running.stop()
    assert same.json()["choices"][0]["message"]["content"] == "as then"
    assert other.status_code == 500
    assert "request 2 is not the one" in other.text


_OWNER = """
import socket, sys, time
from pathlib import Path
from affidavit.gateway import GatewayProcess, GatewaySettings
process = GatewayProcess(GatewaySettings("script", ("m",)), socket.create_server(("127.0.0.1", 0)), Path(sys.argv[1]))
print(process.pid, flush=True)
time.sleep(600)
"""


def test_a_gateway_ends_with_whoever_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OWNER, str(tmp_path / "spool")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        owner.kill()
    wait_for(lambda: state_of(pid) in ("", "Z"))
    assert json.loads((tmp_path / "spool").read_text()) == {"end": 0}
