"""Health checks: what must succeed in a sandbox before its agent begins."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from affidavit.evaluation import CheckRun, await_health
from affidavit.evidence import locate
from affidavit.gateway import EgressSettings
from affidavit.sandbox import SandboxError
from affidavit.session import open_session
from affidavit.tasks import HealthCheck
from harness import EBPF, Home, Trials, Way

# Succeeds the third time, and leaves something running that does what the contract forbids the agent.
CHECK = """
echo x >>/tmp/tries
[ "$(wc -l </tmp/tries)" -ge 3 ] || { echo not yet; exit 7; }
echo theirs >/workspace/forbidden
(until [ -e /workspace/begun ]; do sleep 0.05; done; cat /workspace/forbidden >/tmp/seen) >/dev/null 2>&1 &
"""
WORKSPACE = {"write": ["/workspace/**", "/tmp/**"], "deny": ["/workspace/forbidden"]}
AGENT = (
    '[ "$(wc -l </tmp/tries)" = 3 ] && touch /workspace/begun || exit 1; '
    "until [ -s /tmp/seen ]; do sleep 0.05; done; echo 42 >/workspace/answer; echo said"
)
ONE_RUN = 'control = false\n[[affidavit.graders]]\nkind = "test_run"\nseparate = false\n'


def table(command: str, **keys: float) -> str:
    """``[environment.healthcheck]``."""
    rest = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f"[environment.healthcheck]\ncommand = '''{command}'''\n{rest}"


def test_the_agent_begins_once_its_sandbox_is_healthy(way: Way, trials: Trials, task: Callable[..., Path]) -> None:
    folder = task(graders=table(CHECK, interval_sec=0), contract={"files": WORKSPACE})
    outcome = trials(way, folder, AGENT)
    assert (outcome.verdict, outcome.score) == ("pass", 1.0), outcome.reasons
    rows = pq.read_table(locate(outcome.bundle, "agent/execs.parquet")).to_pylist()
    assert [(row["phase"], row["exit_code"]) for row in rows if row["argv"][0] != "sync"] == [
        ("setup", 7),
        ("setup", 7),
        ("setup", 0),
        ("agent", 0),
    ]
    # What was there when it began is not the agent's.
    assert {change["path"] for change in outcome.json("setup.json")} >= {"/tmp/tries", "/workspace/forbidden"}
    assert {"/tmp/tries", "/workspace/forbidden"}.isdisjoint(outcome.changed())
    assert outcome.text("agent/stdout") == "said\n"


def test_the_agent_is_judged_as_ever(trials: Trials, task: Callable[..., Path]) -> None:
    folder = task(graders=table("true"), contract={"files": WORKSPACE})
    outcome = trials(EBPF, folder, "echo mine >/workspace/forbidden; echo 42 >/workspace/answer")
    assert (outcome.verdict, outcome.score) == ("violation", 0.0), outcome.reasons


def test_a_sandbox_that_does_not_become_healthy_is_an_error(
    way: Way, trials: Trials, task: Callable[..., Path]
) -> None:
    folder = task(graders=table("echo still starting; exit 7", interval_sec=0, retries=2))
    outcome = trials(way, folder, "echo 42 >/workspace/answer")
    assert (outcome.verdict, outcome.score) == ("error", None)
    reason = outcome.reasons
    assert "task.toml" in reason
    assert "[environment.healthcheck]: the sandbox did not become healthy" in reason
    assert "echo still starting; exit 7" in reason
    assert "in 2 attempts in a row; the last: exit status 7: still starting" in reason


def test_a_check_that_takes_too_long_is_killed(trials: Trials, task: Callable[..., Path]) -> None:
    folder = task(graders=table("sleep 60 & sleep 60", timeout_sec=0.3, retries=1))
    outcome = trials(EBPF, folder, "true")
    assert outcome.verdict == "error"
    assert "failed in 1 attempt; the last: it took too long, and it said nothing" in outcome.reasons


def test_a_session_is_healthy_when_it_is_open(at_home: Home, tmp_path: Path, task: Callable[..., Path]) -> None:
    folder = task(graders=table("touch /tmp/healthy"))
    with open_session(folder, out=tmp_path / "runs") as session:
        assert session.exec(["test", "-e", "/tmp/healthy"]).exit_code == 0


class Clock:
    """Time that passes only when somebody pauses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.pauses = 0.0, []
        monkeypatch.setattr("affidavit.evaluation.health.time.monotonic", lambda: self.now)

    def pause(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


def attempts(*codes: int) -> Callable[[HealthCheck], CheckRun]:
    left: Iterator[int] = iter(codes)
    return lambda check: CheckRun(next(left), timed_out=False, said=b"")


def test_failures_in_the_start_period_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    check = HealthCheck("x", "x", ("x",), interval_s=5, start_period_s=3, start_interval_s=1, retries=2)
    await_health([check], attempts(1, 1, 1, 1, 0), clock.pause)
    # Three attempts in the start period, one after it.
    assert clock.pauses == [1, 1, 1, 5]


def test_too_many_failures_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    check = HealthCheck("x", "x", ("x",), interval_s=5, start_period_s=1, start_interval_s=1, retries=2)
    with pytest.raises(SandboxError, match="in 2 attempts in a row"):
        await_health([check], attempts(1, 1, 1, 0), clock.pause)
    assert clock.pauses == [1, 5]


def test_commands_enter_a_container_that_reaches_hosts(trials: Trials, task: Callable[..., Path]) -> None:
    folder = task(graders=f'profile = "container"\n{ONE_RUN}{table("touch /tmp/healthy")}')
    agent = "[ -e /tmp/healthy ] && echo 42 >/workspace/answer"
    outcome = trials(EBPF, folder, agent, allowed=EgressSettings(("example.com",)))
    assert (outcome.verdict, outcome.score) == ("pass", 1.0), outcome.reasons
