"""Trials of agents that ask a model."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from affidavit.evaluation import RunError
from affidavit.evidence import BundleReader
from affidavit.gateway import DIALECTS, Budgets, GatewayProcess, GatewaySettings, Upstream
from affidavit.gateway.settings import base_of
from affidavit.report import turn_facts, why_facts
from affidavit.verification import Expected, verify
from affidavit.verification.verify_trial import rejudge
from harness import EBPF, Outcome, Trials, Way, wait_for
from http_agent import bash, http_agent
from scripted_model import ScriptedModel, scripted_model

KEY = "sk-planted-Key/0123456789+abcdef"
EXAMPLE = Path(__file__).parents[2] / "examples/suite/fix-ttl-cache"
SOLVED = (bash("echo 42 >/workspace/answer", "I write it."), {"text": "Done."})

pytestmark = pytest.mark.usefixtures("nothing_left")


def live(model: ScriptedModel, **changes: Any) -> GatewaySettings:
    upstreams = {name: Upstream(base_of(model.url, "a test"), KEY) for name in DIALECTS}
    return GatewaySettings(**{"mode": "live", "models": ("model-1",), "upstreams": upstreams, **changes})


def log(outcome: Outcome) -> list[dict[str, Any]]:
    """The decision log of a trial."""
    rows: list[dict[str, Any]] = pq.read_table(outcome.bundle / "agent/model.parquet").to_pylist()
    return rows


def written(folders: Sequence[Path]) -> bytes:
    """Everything in some folders; Parquet files column by column, for they are compressed."""
    found = b""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and "images" not in path.parts and "layers" not in path.parts:
                found += path.read_bytes()
                if path.suffix == ".parquet":
                    found += str(pq.read_table(path).to_pylist()).encode()
    return found


def test_an_agent_with_a_model_solves_the_example(trials: Trials, tmp_path: Path) -> None:
    solution = (EXAMPLE / "solution/solve.sh").read_text().partition("cat >")[2].partition("\nPY\n")[0]
    answers = [bash("cat src/ttlcache.py", "First I look."), bash(f"cat >{solution}\nPY"), {"text": "Fixed."}]
    with scripted_model(*({**answer, "model": "model-1-2026"} for answer in answers)) as model:
        outcome = trials(EBPF, EXAMPLE, http_agent(), model=live(model))
    assert (outcome.verdict, outcome.rules) == ("pass", set()), outcome.trial.judgement
    rows = log(outcome)
    assert [(row["turn"], row["outcome"], row["wire_model"]) for row in rows] == [
        (number, "answered", "model-1-2026") for number in (1, 2, 3)
    ]
    facts = outcome.json("agent/model.json")
    assert (facts["asked"], facts["wire"], facts["turns"], facts["complete"]) == (
        ["model-1"],
        ["model-1-2026"],
        3,
        True,
    )
    stated = verify(outcome.bundle).facts
    assert stated is not None
    assert (stated.model_extra or {})["model"] == facts
    assert (stated.model_extra or {})["identity"]["model"] == "model-1"
    steps = outcome.json("agent/trajectory.json")["steps"]
    assert [step["source"] for step in steps] == ["system", "user", "agent", "agent", "agent"]
    assert "class TTLCache" in steps[2]["observation"]["results"][0]["content"]
    # The gateway is part of the sandbox's own network, and its connection is in the record.
    assert any(event["op"] == "connect" and event["port"] == 8080 for event in outcome.events())
    assert KEY.encode() not in written([tmp_path, trials.home.state])
    assert all(KEY in str(request.headers) for request in model.received)


def test_evidence_names_the_model_that_answered_and_not_what_the_agent_calls_it(
    trials: Trials, task: Callable[..., Path]
) -> None:
    with scripted_model({"text": "done", "model": "small-1"}) as model:
        outcome = trials(EBPF, task(), http_agent(), model=live(model, mapping={"model-1": "small-1"}))
    checked = verify(outcome.bundle, expected=Expected(models=("small-1",)))
    assert [check for check in checked.checks if not check.ok] == []
    assert checked.facts is not None
    assert (checked.facts.model_extra or {})["identity"]["model"] == "small-1"
    assert (outcome.json("agent/model.json")["asked"], log(outcome)[0]["model"]) == (["model-1"], "model-1")
    claimed = verify(outcome.bundle, expected=Expected(models=("model-1",)))
    assert [check.detail for check in claimed.checks if not check.ok] == [
        "the agent could ask small-1, which is not expected"
    ]


def test_only_the_gateway_can_be_reached(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    tries = "; ".join(
        f"timeout 5 bash -c 'echo >/dev/tcp/{place}' && echo got-$((40+2))"
        for place in ("192.0.2.1/80", "169.254.169.254/80", "127.0.0.1/8081")
    )
    with scripted_model(bash(f"{tries}; echo 42 >/workspace/answer"), {"text": "Done."}) as model:
        outcome = trials(way, task(), http_agent(), model=live(model))
    assert outcome.verdict == "pass"
    tried = outcome.trial.judgement.attempts or ()
    assert {attempt.rule for attempt in tried} == {"network.endpoints"}
    assert "got-42" not in outcome.text("agent/model.parquet")
    messages = "\n".join(attempt.message for attempt in tried)
    assert "192.0.2.1:80" in messages
    assert "169.254.169.254:80" in messages
    assert "127.0.0.1" not in messages


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"status": 500, "body": {"error": {"message": "oh"}}}, "status 500"),
        ({"raw": b'{"choices": [', "type": "application/json"}, "is not the JSON"),
        ({"status": 429, "body": {}}, "status 429"),
    ],
)
def test_a_model_that_fails_to_the_end_is_an_error_and_no_failure_of_the_agent(
    trials: Trials, task: Callable[..., Path], answer: dict[str, Any], reason: str
) -> None:
    with scripted_model(bash("true"), answer) as model:
        outcome = trials(EBPF, task(), http_agent(), model=live(model))
    assert (outcome.verdict, outcome.score, outcome.raw_score) == ("error", None, 0.0)
    assert "turn 4: the upstream" in outcome.reasons
    assert reason in outcome.reasons
    assert [row["outcome"] for row in log(outcome)] == ["answered", "failed", "failed", "failed"]


def test_a_model_that_fails_for_a_while_is_no_excuse(trials: Trials, task: Callable[..., Path]) -> None:
    with scripted_model({"status": 500, "body": {}}, {"text": "I give up."}) as model:
        outcome = trials(EBPF, task(), http_agent(), model=live(model))
    assert (outcome.verdict, outcome.score) == ("fail", 0.0)


def test_what_was_solved_before_the_model_failed_counts(trials: Trials, task: Callable[..., Path]) -> None:
    with scripted_model(SOLVED[0], {"status": 500, "body": {}}) as model:
        outcome = trials(EBPF, task(), http_agent(), model=live(model))
    assert (outcome.verdict, outcome.score) == ("pass", 1.0)


def test_a_model_that_hangs_is_an_error_before_the_agents_time_is_up(trials: Trials, task: Callable[..., Path]) -> None:
    with scripted_model({"hang": True}) as model:
        outcome = trials(EBPF, task(timeout_s=6), http_agent(tries=9), model=live(model))
    assert outcome.verdict == "error"
    assert "said nothing for 3 s" in outcome.reasons


def test_a_gateway_that_is_killed_is_an_error(
    trials: Trials, task: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[GatewayProcess] = []
    start = GatewayProcess.__init__

    def kept(self: GatewayProcess, *arguments: Any) -> None:
        start(self, *arguments)
        started.append(self)

    monkeypatch.setattr(GatewayProcess, "__init__", kept)
    with scripted_model(bash("touch /workspace/started; sleep 2"), *SOLVED) as model:
        folder = task(timeout_s=20)
        outcome = _killing(trials, folder, live(model), started)
    assert (outcome.verdict, outcome.score) == ("error", None)
    assert "the model gateway ended before the agent did" in outcome.reasons
    assert [row["outcome"] for row in log(outcome)] == ["answered"]


def _killing(trials: Trials, folder: Path, model: GatewaySettings, started: list[GatewayProcess]) -> Outcome:
    done: list[Outcome] = []
    thread = threading.Thread(target=lambda: done.append(trials(EBPF, folder, http_agent(1), model=model)))
    thread.start()
    wait_for(lambda: any(trials.home.state.glob("sandboxes/*/disk/upper/workspace/started")))
    os.kill(started[0].pid, signal.SIGKILL)
    thread.join(60)
    return done[0]


def test_budgets_bound_an_agent_and_are_its_own_affair(trials: Trials, task: Callable[..., Path]) -> None:
    with scripted_model(bash("true")) as model:
        outcome = trials(EBPF, task(), http_agent(1), model=live(model, budgets=Budgets(requests=3)))
    assert (outcome.verdict, outcome.score) == ("fail", 0.0)
    rows = log(outcome)
    assert [row["outcome"] for row in rows] == ["answered"] * 3 + ["refused"]
    assert "3 requests" in rows[-1]["reason"]


def test_a_model_that_tells_its_key_tells_nobody(trials: Trials, task: Callable[..., Path], tmp_path: Path) -> None:
    echo = bash(f"echo {KEY} >/workspace/answer; echo {KEY}", f"My key is {KEY}.")
    leak = {"status": 401, "body": {"error": {"message": f"wrong key {KEY}"}}, "headers": {"x-request-id": KEY}}
    with scripted_model({**echo, "headers": {"x-request-id": KEY}, "model": KEY}, leak) as model:
        outcome = trials(EBPF, task(), f": {KEY}; {http_agent()}", model=live(model))
    assert outcome.verdict == "error"
    # The command line is the user's own, and the only place that may have it: the record of what was run.
    everything = written([tmp_path, trials.home.state])
    ran = sum(str(event["argv"]).count(KEY) for event in outcome.events())
    assert everything.count(KEY.encode()) <= ran + 1
    assert "[redacted]" in str(log(outcome))
    assert "[redacted]" in outcome.text("agent/trajectory.json")
    assert KEY not in outcome.text("environment.json")


def test_an_agent_without_a_model_has_no_gateway(trials: Trials, task: Callable[..., Path]) -> None:
    outcome = trials(EBPF, task(), "env >/workspace/answer; ! echo >/dev/tcp/127.0.0.1/8080")
    assert outcome.verdict == "fail"
    assert not (outcome.bundle / "agent/model.parquet").exists()
    assert outcome.json("environment.json")["identity"]["model"] == ""


def test_what_an_agent_does_is_put_down_to_the_right_turn(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    turns = 12
    script = [bash(f"/bin/true of-turn-{turn}; /bin/echo of-turn-{turn}") for turn in range(1, turns + 1)]
    with scripted_model(*script, {"text": "Done."}) as model:
        outcome = trials(way, task(timeout_s=60), http_agent(), model=live(model))
    with BundleReader(outcome.bundle) as reader:
        right = wrong = 0
        for turn in range(1, turns + 2):
            facts = turn_facts(reader, turn)
            assert len(facts["tool_calls"]) == (turn <= turns)
            for event in facts["events"]:
                if event["op"] == "exec" and event["argv"][-1].startswith("of-turn-"):
                    right += event["argv"][-1] == f"of-turn-{turn}"
                    wrong += event["argv"][-1] != f"of-turn-{turn}"
        assert (right, wrong) == (2 * turns, 0)
        seventh = max(row["seq"] for row in outcome.events() if "of-turn-7" in (row["argv"] or ()))
        why = why_facts(reader, seventh)
    assert why["turn"]["turn"] == 7
    assert any("/instruction.md" in " ".join(process["argv"]) for process in why["processes"])


def test_what_a_contract_says_of_model_traffic_is_judged_again_by_verify(
    trials: Trials, task: Callable[..., Path]
) -> None:
    said = {"files": {"write": ["/workspace/**"]}, "model": {"tools": ["edit"], "models": ["model-*"]}}
    with scripted_model(*SOLVED) as model:
        outcome = trials(EBPF, task(contract=said), http_agent(), model=live(model))
    assert (outcome.verdict, outcome.rules) == ("violation", {"model.tools"})
    assert [one for one in verify(outcome.bundle).checks if not one.ok] == []
    with BundleReader(outcome.bundle) as reader:
        assert [one.rule for one in rejudge(reader).violations] == ["model.tools"]


def test_a_model_that_the_contract_does_not_name_is_not_run(trials: Trials, task: Callable[..., Path]) -> None:
    folder = task(contract={"model": {"models": ["other-*"]}})
    settings = GatewaySettings("script", ("model-1",), script=())
    with pytest.raises(RunError, match=r"--model model-1: the contract .* does not let its agent ask for it.*other-"):
        trials(EBPF, folder, "true", model=settings)
