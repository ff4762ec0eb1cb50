"""``affidavit run --model``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Command
from http_agent import bash, http_agent
from scripted_model import scripted_model

Make = Callable[..., Path]
KEY = "sk-planted-Key-0123456789"
SOLVED = (bash("echo 42 >/workspace/answer", "I write it."), {"text": "Done."})


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"answers": SOLVED}))
    return path


def test_an_agent_is_run_with_a_script(affidavit: Command, task: Make, script: Path) -> None:
    arguments = ("--agent-cmd", http_agent(), "--model", "model-1", "--model-script", script, "--runtime", "runc")
    ran = affidavit("run", task(), *arguments, "--json")
    assert ran.status == 0, ran.out + ran.err
    (trial,) = ran.json["trials"]
    facts = json.loads((Path(trial["bundle"]) / "agent/model.json").read_text())
    assert (facts["mode"], facts["turns"], facts["upstreams"]) == ("script", 2, {})
    assert affidavit("verify", trial["bundle"]).status == 0


def test_the_key_comes_from_the_environment(affidavit: Command, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_model(*SOLVED) as model:
        monkeypatch.setenv("AFFIDAVIT_MODEL_URL", model.url)
        monkeypatch.setenv("AFFIDAVIT_MODEL_KEY", KEY)
        ran = affidavit("run", task(), "--agent-cmd", http_agent(), "--model", "model-1", "--runtime", "runc")
    assert ran.status == 0, ran.out + ran.err
    assert [request.headers["authorization"] for request in model.received] == [f"Bearer {KEY}"] * 2
    assert KEY not in ran.out + ran.err


def test_evidence_is_compared_with_what_is_expected(
    affidavit: Command, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nonce = "5a" * 32
    arguments = ("--agent-cmd", http_agent(), "--model", "model-1", "--runtime", "runc", "--nonce", nonce)
    with scripted_model(*SOLVED) as model:
        monkeypatch.setenv("AFFIDAVIT_MODEL_URL", model.url)
        ran = affidavit("run", task(), *arguments, "--json")
    assert ran.status == 0, ran.out + ran.err
    (trial,) = ran.json["trials"]
    (run,) = (tmp_path / "runs").iterdir()
    right = ("--expect-agent", "cmd", "--expect-model", "model-1", "--expect-task", trial["task_id"], "--nonce", nonce)
    for evidence in (run, trial["bundle"]):
        held = affidavit("verify", evidence, *right)
        assert held.status == 0, held.out
    for wrong, said in (
        (("--expect-agent", "codex"), "not codex"),
        (("--expect-model", "model-2"), "model-1"),
        (("--expect-task", "other"), "not other"),
        (("--nonce", "5b" * 32), "not 5b"),
    ):
        for evidence in (run, trial["bundle"]):
            refused = affidavit("verify", evidence, *wrong)
            assert refused.status == 1, (wrong, refused.out)
            assert said in refused.out
    assert affidavit("verify", run, "--nonce", "x").status == 2


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--model-url", "http://h"], "--model-url: is of no use without --model NAME"),
        (["--provider-tools"], "--provider-tools: is of no use without --model NAME"),
        (["--model", "m"], "no model can be reached: give --model-url or AFFIDAVIT_MODEL_URL"),
        (["--model", "m", "--model-url", "host"], "--model-url: must be a URL"),
        (["--model", "m", "--model-url", f"http://u:{KEY}@h"], "--model-url: may hold no user"),
        (["--model", "m", "--model-script", "missing.json"], "missing.json: can't be read"),
        (["--model", "m", "--model-url", "http://h", "--model-budget", "euros=3"], "--model-budget: 'euros=3'"),
        (["--model", " ", "--model-url", "http://h"], "--model ' ': is no name"),
    ],
)
def test_what_can_not_be_used_is_named(
    affidavit: Command, task: Make, arguments: list[str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AFFIDAVIT_MODEL_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    ran = affidavit("run", task(), "--agent-cmd", "true", *arguments)
    assert ran.status == 2
    assert ran.err.startswith(f"affidavit: {wrong}")
    assert KEY not in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.fixture
def bundle(affidavit: Command, task: Make, script: Path) -> str:
    arguments = ("--agent-cmd", http_agent(), "--model", "model-1", "--model-script", script, "--runtime", "runc")
    return str(affidavit("run", task(), *arguments, "--json").json["trials"][0]["bundle"])


def test_a_trial_can_be_replayed_until_something_differs(affidavit: Command, task: Make, bundle: str) -> None:
    arguments = ("--model", "model-1", "--model-replay", bundle, "--runtime", "runc", "--json")
    same = affidavit("run", task(), "--agent-cmd", http_agent(), *arguments)
    assert same.status == 0, same.out + same.err
    facts = json.loads((Path(same.json["trials"][0]["bundle"]) / "agent/model.json").read_text())
    assert (facts["mode"], facts["outcomes"]) == ("replay", {"answered": 2})
    other = affidavit("run", task(), "--agent-cmd", http_agent().replace("solve tasks", "do things"), *arguments)
    (trial,) = other.json["trials"]
    assert trial["verdict"] == "error"
    assert "request 1 is not the one that was recorded" in " ".join(trial["reasons"])
    without = affidavit("run", task(), "--agent-cmd", "true", "--model", "m", "--model-replay", "nowhere")
    assert (without.status, "nowhere" in without.err) == (2, True)


def test_trace_tells_what_a_turn_led_to_and_why(affidavit: Command, bundle: str) -> None:
    turn = affidavit("trace", bundle, "--turn", 1)
    assert "turn 1: chat model-1: answered, 10 + 5 tokens" in turn.out
    assert "I write it." in turn.out
    assert "echo 42 >/workspace/answer" in turn.out
    query = "SELECT seq FROM events WHERE path = '/workspace/answer' AND ret >= 0 LIMIT 1"
    (made,) = affidavit("trace", bundle, "--sql", query, "--json").json
    why = affidavit("trace", bundle, "--why", made["seq"])
    assert (why.status, "turn 1: chat" in why.out, "python3" in why.out) == (0, True, True)
    assert affidavit("trace", bundle, "--why", 0).out.rstrip().endswith("before the model had answered anything")
    rows = affidavit("trace", bundle, "--sql", "SELECT turn, outcome FROM model", "--json").json
    assert rows == [{"turn": 1, "outcome": "answered"}, {"turn": 2, "outcome": "answered"}]


@pytest.mark.parametrize(
    ("flags", "wrong"),
    [
        (["--turn", "9"], "has no turn 9"),
        (["--why", "999999"], "has no event 999999"),
        (["--turn", "1", "--why", "1"], "exclude each other"),
    ],
)
def test_a_turn_that_is_not_there_is_one_line(affidavit: Command, bundle: str, flags: list[str], wrong: str) -> None:
    ran = affidavit("trace", bundle, *flags)
    assert (ran.status, wrong in ran.err, len(ran.err.splitlines())) == (2, True, 1)
