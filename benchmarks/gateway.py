"""What the model gateway adds to a request and to each streamed event, beside the same upstream asked directly.

    python benchmarks/gateway.py [--requests N] [--streams N] [--at-once N] [--long SECONDS]

The upstream is a scripted one on loopback that answers at once, so all that is measured is the gateway. Requests go to
the one and to the other by turns, on connections that stay open. With `--at-once`, so many requests are made at a time;
with `--long`, one stream goes on for so many seconds, and the gateway's memory is looked at all the while.
"""

import argparse
import contextlib
import http.client
import json
import os
import socket
import socketserver
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from affidavit.gateway import GatewayProcess, GatewaySettings, Upstream

PATH = "/v1/chat/completions"
EVENTS = 20
_PAUSE_S = 0.01
_ANSWER = json.dumps(
    {
        "model": "model-1",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "I look. " * 40}}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100},
    }
).encode()
_TOOLS = [{"type": "function", "function": {"name": "bash", "description": "Runs a command. " * 20}}]
_HISTORY = [{"role": "user", "content": "The output of a command, which may be long. " * 40} for _ in range(20)]


class _Upstream(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while head := b"".join(iter(self.rfile.readline, b"\r\n")):
            size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = self.rfile.read(size)
            if b'"stream": true' in body:
                self._stream(json.loads(body).get("max_tokens", EVENTS))
            else:
                self._send(b"content-length: %d\r\ncontent-type: application/json\r\n" % len(_ANSWER), _ANSWER)

    def _send(self, headers: bytes, body: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + body)

    def _stream(self, events: int) -> None:
        self._send(b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n", b"")
        for number in range(events):
            time.sleep(_PAUSE_S)
            delta = {"content": str(time.monotonic_ns())}
            self._chunk({"model": "m", "choices": [{"delta": delta, "finish_reason": "stop" if number else None}]})
        self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _chunk(self, value: object) -> None:
        event = b"data: " + json.dumps(value).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024


class _Client:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)

    def request_ms(self, body: bytes) -> float:
        """How long one request takes, to the end of its answer."""
        began = time.perf_counter()
        self._connection.request("POST", PATH, body, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        answer.read()
        taken = (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise SystemExit(f"status {answer.status}")
        return taken

    def events_ms(self, body: bytes) -> list[float]:
        """How old each event of a stream is when it arrives."""
        return [*self.events(body)]

    def events(self, body: bytes) -> Iterator[float]:
        """The same, as they arrive."""
        self._connection.request("POST", PATH, body, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        while line := answer.readline():
            now = time.monotonic_ns()
            if b"content" in line:
                sent = json.loads(line[6:])["choices"][0]["delta"]["content"]
                yield (now - int(sent)) / 1e6


@contextlib.contextmanager
def upstream() -> Iterator[str]:
    """A scripted model server on loopback; its URL."""
    with _Server(("127.0.0.1", 0), _Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def processor_ms(pid: int) -> float:
    """Processor time of a process so far, milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """What a process has in memory, megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _at_once(url: str, pid: int, body: bytes, number: int) -> None:
    before = memory_mb(pid)
    with ThreadPoolExecutor(number) as pool:
        taken = [*pool.map(lambda _: _Client(url).request_ms(body), range(number))]
    middle, most = statistics.median(taken), max(taken)
    print(f"{number} requests at once: all answered, median {middle:.0f} ms, at most {most:.0f} ms; ", end="")
    print(f"memory of the gateway {before:.1f} MB before, {memory_mb(pid):.1f} MB after")


def _long(url: str, pid: int, asked: dict[str, object], seconds: int) -> None:
    body = json.dumps({**asked, "stream": True, "max_tokens": round(seconds / _PAUSE_S)}).encode()
    ages, memory, began = [], [memory_mb(pid)], time.monotonic()
    for age in _Client(url).events(body):
        ages.append(age)
        if time.monotonic() - began > 10 * len(memory):
            memory.append(memory_mb(pid))
    taken = time.monotonic() - began
    print(
        f"a stream of {taken:.0f} s: {len(ages)} events, age at the median {statistics.median(ages):.2f} ms, ", end=""
    )
    print(f"99th percentile {statistics.quantiles(ages, n=100)[98]:.2f} ms; memory of the gateway ", end="")
    print(f"{memory[0]:.1f} MB at first, {max(memory):.1f} MB at most, {memory_mb(pid):.1f} MB in the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=0)
    parser.add_argument("--long", type=int, default=0, metavar="SECONDS")
    options = parser.parse_args()
    with upstream() as url, tempfile.TemporaryDirectory() as folder:
        listener = socket.create_server(("127.0.0.1", 0))
        gateway_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = GatewaySettings("live", ("model-1",), {"openai": Upstream(url)})
        with GatewayProcess(settings, listener, Path(folder) / "spool") as gateway:
            clients = {"direct": _Client(url), "gateway": _Client(gateway_url)}
            short = {"model": "model-1", "messages": [{"role": "user", "content": "hi"}]}
            long = {"model": "model-1", "tools": _TOOLS, "messages": _HISTORY}
            for name, asked in (("short", short), ("36 kB", long)):
                body = json.dumps(asked).encode()
                before = processor_ms(gateway.pid)
                _report(f"request, {name}", options.requests, clients, lambda one, body=body: [one.request_ms(body)])
                used = (processor_ms(gateway.pid) - before) / (options.requests + 1)
                print(f"    processor time of the gateway: {used:.2f} ms a request")
            body = json.dumps({**short, "stream": True}).encode()
            _report("streamed event", options.streams, clients, lambda one: one.events_ms(body))
            if options.at_once:
                _at_once(gateway_url, gateway.pid, json.dumps(long).encode(), options.at_once)
            if options.long:
                _long(gateway_url, gateway.pid, short, options.long)
            gateway.stop()
    print(f"load {os.getloadavg()[0]:.1f}")


def _report(what: str, times: int, clients: dict[str, _Client], ask: Callable[[_Client], list[float]]) -> None:
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for one in clients.values():
        ask(one)
    for _ in range(times):
        for name, one in clients.items():
            taken[name] += ask(one)
    direct, gateway = (statistics.median(taken[name]) for name in ("direct", "gateway"))
    print(f"{what}: direct {direct:.2f} ms, through the gateway {gateway:.2f} ms: {gateway - direct:.2f} ms more")


if __name__ == "__main__":
    main()
