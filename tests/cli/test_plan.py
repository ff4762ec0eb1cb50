"""``affidavit plan`` and ``affidavit run --plan``."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence import BundleReader, Identity, bundle_digest, keys_dir, load_key, new_key
from affidavit.evidence.statement import read_statement
from affidavit.runs import Checkpoint, read_ledger, read_plan
from affidavit.signing import read_envelope
from harness import Command

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
AGENT = "echo 42 >answer"


def statement(bundle: Path) -> dict[str, Any]:
    with BundleReader(bundle) as reader:
        data = reader.read("statement.dsse.json")
    return read_statement(read_envelope(data).payload).facts.model_dump()


def test_a_planned_run_names_its_plan_in_every_bundle(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task()
    named = ("--agent-cmd", AGENT, "--agent-name", "echo-1.0")
    planned = affidavit("plan", folder, *named, "--trials", 2, "--out", "plan.json", "--json")
    assert planned.status == 0, planned.err
    assert (planned.json["trials"], planned.json["minimum_detectable_effect"]["independent"]) == (2, None)
    plan = read_plan(tmp_path / "plan.json").plan
    ran = affidavit("run", folder, "--plan", "plan.json", "--json")
    assert ran.status == 0, ran.err
    trials = ran.json["trials"]
    assert len(trials) == 2
    for trial, expected in zip(trials, plan.in_order, strict=True):
        facts = statement(Path(trial["bundle"]))
        said = {"digest": plan.digest, "trial": expected.name, "attempt": 1, "seed": expected.seed}
        assert facts["plan"].items() >= said.items()
        ledger = read_ledger(Path(trial["bundle"]).parents[2] / "ledger.jsonl", load_key(keys_dir()).public)
        assert ledger.history.closed
        assert ledger.holds(Checkpoint(**facts["plan"]["ledger"]))
        end = ledger.history.end_of(expected.name)
        assert end is not None
        assert (end.bundle, end.verdict) == (bundle_digest(Path(trial["bundle"])), "pass")
        assert end.kinds == ["started", "sandbox", "finished", "verdict", "sealed"]
        assert affidavit("verify", trial["bundle"]).status == 0
    run = Path(trials[0]["bundle"]).parents[2]
    assert affidavit("verify", run).out.splitlines()[-1] == "verified"
    (digest,) = {Identity.read("identity", statement(Path(trial["bundle"]))["identity"]).digest for trial in trials}
    assert f"the agent is {digest}" in affidavit("verify", trials[0]["bundle"]).out
    for agent, status in (("echo-1.0", 0), (digest, 0), ("cmd", 1), ("sha256:" + "0" * 64, 1)):
        assert affidavit("verify", run, "--expect-agent", agent).status == status, agent
    checked = affidavit("verify", run, "--json").json
    assert (checked["ok"], checked["statement"]["aggregate"]["pass_rate"]["value"]) == (True, 1)
    assert affidavit("verify", run, "--task", folder).status == 2
    assert affidavit("verify", trials[0]["bundle"], "--public").status == 2
    assert (run / "plan.dsse.json").read_bytes() == (tmp_path / "plan.json").read_bytes()


def test_a_plan_is_run_once(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task()
    assert affidavit("plan", folder, "--agent-cmd", AGENT, "--out", "plan.json").status == 0
    assert affidavit("run", folder, "--plan", "plan.json").status == 0
    again = affidavit("run", folder, "--plan", "plan.json")
    assert again.status == 2
    [run] = (tmp_path / "runs").iterdir()
    assert f"was run already, as {run.name}" in again.err


def test_the_agent_finds_its_seed(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task(test='test "$(cat answer)" = 42 && echo 1 >/logs/verifier/reward.txt')
    ran = affidavit("run", folder, "--agent-cmd", "echo $AFFIDAVIT_SEED", "--json")
    bundle = Path(ran.json["trials"][0]["bundle"])
    plan = read_plan(bundle.parents[2] / "plan.dsse.json").plan
    assert (bundle / "agent/stdout").read_text() == f"{plan.in_order[0].seed}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--trials", 3), "trials is 3, the plan says 1"),
        (("--agent-cmd", "true"), "agents.cmd on tiny.command_digest is "),
        (("--agent", "oracle"), "agents.oracle on tiny.command_digest is .*, and the plan has none"),
        (("--runtime", "runc"), "runtime is runc, the plan says auto"),
        (("--profile", "rnd"), "profile.id is rnd, and the plan has none"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(
    affidavit: Command, task: Make, tmp_path: Path, arguments: tuple[object, ...], says: str
) -> None:
    folder = task(solve=AGENT)
    assert affidavit("plan", folder, "--agent-cmd", AGENT, "--out", "plan.json").status == 0
    ran = affidavit("run", folder, "--plan", "plan.json", *arguments)
    assert ran.status == 2
    [line] = ran.err.splitlines()
    assert line.startswith("affidavit: --plan plan.json: this run is not the planned one: ")
    assert re.search(says, line), line
    assert not (tmp_path / "runs").exists()


def test_a_changed_task_does_not_fit(affidavit: Command, task: Make) -> None:
    folder = task()
    assert affidavit("plan", folder, "--agent-cmd", AGENT, "--out", "plan.json").status == 0
    (folder / "instruction.md").write_text("Write 43 into the file answer.\n")
    ran = affidavit("run", folder, "--plan", "plan.json")
    assert (ran.status, "tasks.tiny.digest is sha256:" in ran.err) == (2, True)


def test_a_changed_plan_and_anothers_plan_are_refused(
    affidavit: Command, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = task()
    assert affidavit("plan", folder, "--agent-cmd", AGENT, "--out", "plan.json").status == 0
    path = tmp_path / "plan.json"
    envelope = json.loads(path.read_bytes())
    good = path.read_bytes()
    signature = bytearray(good)
    signature[good.index(b'"sig":"') + 20] ^= 1
    path.write_bytes(signature)
    assert affidavit("run", folder, "--plan", "plan.json").status == 2
    path.write_bytes(good)
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "other"))
    new_key(keys_dir())
    ran = affidavit("run", folder, "--plan", "plan.json")
    assert (ran.status, "must be run with the signing key" in ran.err) == (2, True)
    assert envelope["payloadType"] == "application/vnd.affidavit.plan+json"


def test_a_plan_is_never_replaced(affidavit: Command, task: Make, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("x")
    ran = affidavit("plan", task(), "--agent", "nop", "--out", "plan.json")
    assert (ran.status, (tmp_path / "plan.json").read_text()) == (2, "x")
    assert affidavit("plan", task(), "--out", "other.json").status == 2


def test_what_is_no_plan_is_refused(affidavit: Command, task: Make, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    ran = affidavit("run", task(), "--plan", "plan.json")
    assert ran.status == 2
    assert "affidavit: --plan plan.json: is not a plan: " in ran.err
