"""Trials of agents that may reach hosts by name."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation import AccessOptions, Agent, Job, RunOptions, run_jobs
from affidavit.gateway import EgressProcess, EgressSettings, read_allowed
from affidavit.tasks import load_task
from affidavit.verification import verify
from harness import EBPF, GVISOR, Silent, Trials, Way

HOST = "mirror.example"
# Follows redirects; says where it was led and why it could not go on.
FETCH = """
import sys, urllib.request
for url in sys.argv[1:]:
    try:
        print("got", urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10).read().decode())
    except OSError as error:
        print("not", url, error)
"""

pytestmark = pytest.mark.usefixtures("nothing_left")


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        to = self.path.partition("?to=")[2]
        self.send_response(302 if to else 200)
        if to:
            self.send_header("location", to)
        self.send_header("content-length", "0" if to else "2")
        self.end_headers()
        if not to:
            self.wfile.write(b"42")

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    """A web server on this machine's loopback, whose page says 42; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def contract(*endpoints: str, **more: Any) -> dict[str, Any]:
    files = {"write": ["/workspace/**", "/tmp/**"], "deny": ["/tests/**", "/solution/**"]}
    return {"files": files, "network": {"endpoints": [*endpoints]}, **more}


def fetch(*urls: str) -> str:
    return f"python3 - {' '.join(urls)} <<'PY' >/tmp/said; cat /tmp/said; cut -d' ' -f2 /tmp/said >answer\n{FETCH}\nPY"


@pytest.mark.parametrize("way", [EBPF, GVISOR], ids=str)
def test_an_agent_reaches_what_contract_and_user_allow(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")
    with web_server() as port:
        folder = task(contract=contract(f"{HOST}:{port}"))
        allowed = read_allowed([f"{HOST}:{port}=127.0.0.1", f"other.example:{port}=127.0.0.1"])
        outcome = trials(way, folder, fetch(f"http://{HOST}:{port}/"), allowed=allowed)
    assert (outcome.verdict, outcome.rules) == ("pass", set()), (outcome.trial.judgement, outcome.text("agent/stdout"))
    connected = [event for event in outcome.events() if event["op"] == "connect" and event["port"] == port]
    assert {(event["addr"], event["path2"]) for event in connected} == {("198.18.0.1", HOST)}
    facts = outcome.json("agent/network.json")
    assert (facts["endpoints"], facts["names"]) == ([f"{HOST}:{port}"], {"198.18.0.1": HOST})
    assert [(one["name"], one["address"], one["outcome"]) for one in facts["connections"]] == [
        (HOST, "127.0.0.1", "passed")
    ]
    stated = verify(outcome.bundle).facts
    assert stated is not None
    assert (stated.model_extra or {})["network"] == {
        "endpoints": [f"{HOST}:{port}"],
        "addresses": {HOST: "127.0.0.1"},
        "hosts": 1,
        "connections": {"passed": 1, "refused": 0, "failed": 0},
        "complete": True,
    }
    assert f"NETWORK: the agent can reach {HOST}:{port}" in "\n".join(outcome.notes)


def test_no_redirect_leads_elsewhere(trials: Trials, task: Callable[..., Path]) -> None:
    with web_server() as port:
        base = f"http://{HOST}:{port}/"
        toml = f'version = "1.0"\n[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["{HOST}:{port}"]\n'
        folder = task(files={"task.toml": f'{toml}[affidavit]\nrootfs = "host"\n'})
        places = ("http://169.254.169.254/", "http://other.example/", "http://192.0.2.1/", f"http://127.0.0.1:{port}/")
        deeds = fetch(base, *(f"'{base}?to={place}'" for place in places))
        outcome = trials(EBPF, folder, deeds, allowed=read_allowed([f"{HOST}:{port}=127.0.0.1"]))
    said = outcome.text("agent/stdout")
    assert said.count("got 42") == 1, said
    assert said.count("not http") == len(places), said
    # The default contract records attempts.
    tried = "\n".join(attempt.message for attempt in outcome.trial.judgement.attempts or ())
    assert outcome.rules == set(), outcome.trial.judgement
    for place in ("169.254.169.254:80", "other.example", "192.0.2.1:80"):
        assert place in tried
    assert HOST not in tried


def test_what_the_contract_does_not_allow_can_not_be_reached(trials: Trials, task: Callable[..., Path]) -> None:
    with web_server() as port:
        folder = task(contract=contract(f"{HOST}:{port}"))
        allowed = read_allowed([f"other.example:{port}=127.0.0.1"])
        outcome = trials(EBPF, folder, fetch(f"http://other.example:{port}/"), allowed=allowed)
    assert "network.endpoints" in outcome.rules
    assert "got" not in outcome.text("agent/stdout")
    assert "the contract allows none of it" in "\n".join(outcome.notes)
    assert not (outcome.bundle / "agent/network.json").exists()


def test_a_program_whose_scope_may_reach_nothing_breaks_the_contract(trials: Trials, task: Callable[..., Path]) -> None:
    with web_server() as port:
        scope = {"id": "python", "for": ["/usr/bin/python3*"], "network": {"endpoints": []}}
        folder = task(contract=contract(f"{HOST}:{port}", scopes=[scope]))
        allowed = read_allowed([f"{HOST}:{port}=127.0.0.1"])
        outcome = trials(EBPF, folder, fetch(f"http://{HOST}:{port}/"), allowed=allowed)
    assert outcome.verdict == "violation"
    assert any(f"connected to {HOST}:{port}" in one.message for one in outcome.trial.judgement.violations)


def test_a_proxy_that_is_killed_is_an_error(
    trials: Trials, task: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = EgressProcess.__init__

    def killed(self: EgressProcess, settings: EgressSettings, *arguments: Any) -> None:
        start(self, settings, *arguments)
        os.kill(self.pid, signal.SIGKILL)

    monkeypatch.setattr(EgressProcess, "__init__", killed)
    allowed = read_allowed([f"{HOST}:8000=127.0.0.1"])
    outcome = trials(EBPF, task(contract=contract(f"{HOST}:8000")), "echo 42 >answer", allowed=allowed)
    assert (outcome.verdict, outcome.score) == ("error", None)
    assert "the egress proxy ended before the agent did" in outcome.reasons


def test_none_closes_what_a_task_asks_for(trials: Trials, task: Callable[..., Path]) -> None:
    toml = f'version = "1.0"\n[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["{HOST}"]\n'
    folder = task(files={"task.toml": f'{toml}[affidavit]\nrootfs = "host"\n'})
    options = RunOptions(
        EBPF.runtime, EBPF.recorder, 1, 1, trials.folder / "none", access=AccessOptions(network="none")
    )
    result = run_jobs([Job(load_task(folder), Agent.shell("echo 42 >answer; ls /etc"))], options, Silent())
    (trial,) = result.trials
    assert trial.bundle is not None
    assert str(trial.judgement.verdict) == "pass"
    assert not (trial.bundle / "agent/network.json").exists()
