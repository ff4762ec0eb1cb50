"""A scripted model server on loopback: what stands in for a provider in tests."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from affidavit.gateway.dialects import operation_of
from affidavit.gateway.script import render


@dataclass
class Received:
    """A request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedModel:
    """A running server.

    Attributes:
        url: its base.
        answers: what it says in turn, as a script's answers; the last one for ever. Beside those, ``raw`` is sent as it
            is (bytes, with ``type``), ``cut`` breaks off after so many bytes, ``hang`` says nothing any more,
            ``headers`` are added.
        received: what came.
    """

    url: str
    answers: Sequence[Mapping[str, Any]]
    received: list[Received] = field(default_factory=list)
    hanging: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> list[Received]:
        """Those for a completion."""
        return [one for one in self.received if one.method == "POST" and "count" not in one.path]


@contextlib.contextmanager
def scripted_model(*answers: Mapping[str, Any]) -> Iterator[ScriptedModel]:
    """Serve a script on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("content-length", "0"))))

        def _answer(self, body: bytes) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            with model.lock:
                model.received.append(Received(self.command, self.path, headers, body))
                number = len(model.requests)
            operation = operation_of(self.command, urlsplit(self.path).path, headers)
            assert operation is not None, self.path
            if not operation.generates:
                return self._send(200, "application/json", b'{"data": [], "input_tokens": 7}', {})
            entry = dict(model.answers[min(number, len(model.answers)) - 1])
            if entry.get("hang"):
                model.hanging.wait(60)
                self.close_connection = True
                return None
            if "raw" in entry:
                return self._send(entry.get("status", 200), entry["type"], entry["raw"], entry)
            value = json.loads(body)
            answer = {"text": "", "tool_calls": [], "model": None, "status": 200, "body": None, **entry}
            answer["usage"] = {"input_tokens": 10, "output_tokens": 5, **entry.get("usage", {})}
            answer["tool_calls"] = [{"arguments": {}, **call} for call in answer["tool_calls"]]
            streams = operation.streams or value.get("stream") is True
            asked = operation.model or value["model"]
            return self._send(*render(answer, operation, number, asked, streams=streams), entry)

        def _send(self, status: int, kind: str, body: bytes, entry: Mapping[str, Any]) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            for name, value in entry.get("headers", {}).items():
                self.send_header(name, value)
            self.end_headers()
            cut = entry.get("cut")
            self.wfile.write(body if cut is None else body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model = ScriptedModel(f"http://127.0.0.1:{server.server_port}/v1", answers or ({"text": "hello"},))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        model.hanging.set()
        server.shutdown()
        server.server_close()
        thread.join()
