"""Starts the service, asks it, kills it and asks again."""

import http.client
import json
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

PROGRAM = "/workspace/serve.py"


class Service:
    def __init__(self, process, port):
        self.process = process
        self.port = port

    def ask(self, method, path, body=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request(method, path, body)
            answer = link.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if answer.status == 200 else None
        finally:
            link.close()


@contextmanager
def service(file):
    process = subprocess.Popen([PROGRAM, "0", str(file)], stdout=subprocess.PIPE, text=True)
    try:
        said = process.stdout.readline().split()
        assert said[:2] == ["listening", "on"]
        yield Service(process, int(said[2]))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def test_counts(tmp_path):
    with service(tmp_path / "counters.json") as it:
        said = [
            it.ask("GET", "/counters"),
            it.ask("POST", "/counters/hits"),
            it.ask("POST", "/counters/hits", "41"),
            it.ask("GET", "/counters/hits"),
            it.ask("POST", "/counters/a-1", "-7"),
            it.ask("GET", "/counters"),
            it.ask("DELETE", "/counters/hits"),
            it.ask("GET", "/counters/hits"),
            it.ask("DELETE", "/counters/hits"),
        ]
    assert said == [
        (200, {}),
        (200, 1),
        (200, 42),
        (200, 42),
        (200, -7),
        (200, {"a-1": -7, "hits": 42}),
        (204, None),
        (404, None),
        (404, None),
    ]


def test_refuses(tmp_path):
    with service(tmp_path / "counters.json") as it:
        it.ask("POST", "/counters/kept", "5")
        bodies = [it.ask("POST", "/counters/kept", body)[0] for body in ("x", "1.5", "1e3", "--1", "0x10", "5 5")]
        paths = [it.ask("GET", path)[0] for path in ("/", "/counter", "/counters/", "/counters/a/b", "/counters/UP")]
        long = [it.ask("POST", f"/counters/{'n' * size}")[0] for size in (32, 33)]
        methods = [it.ask(*asked)[0] for asked in (("PUT", "/counters/kept"), ("DELETE", "/counters"))]
        assert it.ask("GET", "/counters/kept") == (200, 5)
    assert (bodies, paths, long, methods) == ([400] * 6, [404] * 5, [200, 404], [405] * 2)


def test_loses_nothing(tmp_path):
    file = tmp_path / "counters.json"
    with service(file) as it, ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda n: it.ask("POST", "/counters/many", "1")[1], range(120)))
    assert sorted(values) == list(range(1, 121))
    assert json.loads(file.read_text()) == {"many": 120}


def test_goes_on_after_a_kill(tmp_path):
    file = tmp_path / "counters.json"
    with service(file) as it:
        it.ask("POST", "/counters/b", "2")
        it.ask("POST", "/counters/a", "3")
    with service(file) as it:
        assert it.ask("POST", "/counters/b", "2") == (200, 4)
        assert list(it.ask("GET", "/counters")[1]) == ["a", "b"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counters.json"]
