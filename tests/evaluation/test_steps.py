"""Tasks of several steps: what one step leaves to the next, what they come to together, and what ``verify`` says where
a step is missing or in the wrong place."""

import json
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation import Agent, Job, RunError, RunOptions, run_jobs
from affidavit.evidence import EvidenceError, bundle_digest
from affidavit.report import read_run
from affidavit.runs import LEDGER, RUN_STATEMENT, RunVerification, verify_run
from affidavit.session import open_session
from affidavit.signing import load_key
from affidavit.tasks import load_task
from affidavit.verification import check_chain, verify
from harness import EBPF, Command, Home, Outcome, Silent, Trials, write_task

pytestmark = pytest.mark.usefixtures("nothing_left")

# The tests of the first step hold a word that nothing else does.
SECRET = "quahog-71"
REWARD = "&& reward=1 || reward=0\necho $reward >/logs/verifier/reward.txt\n"
TEST_1 = f'# {SECRET}\nread -r answer </workspace/answer.txt\n[ "$answer" = 42 ] {REWARD}'
TEST_2 = f"[ \"$(tr -d ' \\n' </workspace/sum.txt)\" = 50 ] {REWARD}"
SOLVE_1 = "echo 42 >/workspace/answer.txt\n"
SOLVE_2 = "echo $(($(cat /workspace/answer.txt) + $(cat /workspace/given))) >/workspace/sum.txt\n"
STEPS = '[[steps]]\nname = "one"\n{first}[[steps]]\nname = "two"\n'
ONE_RUN = 'control = false\n[[affidavit.graders]]\nkind = "test_run"\nseparate = false\n'


def write_steps(
    folder: Path, first: str = "", before: str = ONE_RUN, files: Mapping[str, str] | None = None, **settings: Any
) -> Path:
    """A task of two steps: write 42, then add a given number to it.

    Args:
        folder: is made.
        first: further keys of the first step.
        before: what stands in task.toml after the keys of ``[affidavit]``.
        files: as in `write_task`.
    """
    steps = {
        "steps/one/instruction.md": "Write 42 into the file answer.txt.\n",
        "steps/one/tests/test.sh": f"#!/bin/bash\n{TEST_1}",
        "steps/one/solution/solve.sh": f"#!/bin/bash\n{SOLVE_1}",
        "steps/two/instruction.md": "Write the sum of answer.txt and given into the file sum.txt.\n",
        "steps/two/tests/test.sh": f"#!/bin/bash\n{TEST_2}",
        "steps/two/solution/solve.sh": f"#!/bin/bash\n{SOLVE_2}",
        "steps/two/workdir/given": "8\n",
    }
    graders = before + STEPS.format(first=first)
    task = write_task(folder, solve=None, graders=graders, files={**steps, **(files or {})}, **settings)
    for name in ("tests/test.sh", "instruction.md"):
        (task / name).unlink()
    with suppress(OSError):
        (task / "tests").rmdir()
    return task


def by_step(one: str, two: str) -> str:
    """The command of an agent that does one thing in each step, and knows by its instruction which it is in."""
    return f'case "$AFFIDAVIT_INSTRUCTION" in *42*)\n{one};; *)\n{two};; esac'


def run_folder(outcome: Outcome) -> Path:
    return outcome.bundle.parents[3]


def steps_of(outcome: Outcome) -> list[tuple[str, str]]:
    return [(one.step, str(one.judgement.verdict)) for one in outcome.trial.steps]


def checked(run: Path, home: Home) -> RunVerification:
    return verify_run(run, [load_key(home.keys).public])


def faults(verification: RunVerification) -> str:
    return "; ".join(f"{check.name}: {check.detail}" for check in verification.checks if not check.ok)


def test_both_steps_pass(trials: Trials, tmp_path: Path) -> None:
    # A step's tests lie over those that all steps share.
    paid = TEST_2.replace("reward=1 ||", ". /tests/pay.sh ||")
    shared = {"tests/pay.sh": "reward=1\n", "steps/two/tests/test.sh": f"#!/bin/bash\n{paid}"}
    task = write_steps(tmp_path / "sums", "min_reward = 1.0\n", files=shared)
    outcome = trials(EBPF, task)
    assert (outcome.verdict, outcome.score, outcome.raw_score) == ("pass", 1.0, 1.0), outcome.reasons
    assert steps_of(outcome) == [("one", "pass"), ("two", "pass")]
    first = outcome.trial.steps[0].bundle
    assert first is not None
    [said] = [check.detail for check in verify(outcome.bundle, task=task).checks if check.name == "task"]
    assert said.endswith(f"; step 2 of 2, two, after the bundle {bundle_digest(first)}")
    verification = checked(run_folder(outcome), trials.home)
    assert verification.ok, faults(verification)
    assert verification.bundles == {"sums/0/1/bundle", "sums/0/2/bundle"}
    assert verification.facts is not None
    [end] = verification.facts.trials
    assert [step.bundle for step in end.steps or ()] == [bundle_digest(first), bundle_digest(outcome.bundle)]
    [trial] = read_run(run_folder(outcome)).trials
    assert (trial.verdict, trial.score, trial.evidence.discrepancy, len(trial.bundles)) == ("pass", 1.0, "", 2)

    run = Path(shutil.copytree(run_folder(outcome), tmp_path / "copy" / run_folder(outcome).name))
    missing_and_swapped(run, trials.home)
    interrupted(run, task, trials.home)


def missing_and_swapped(run: Path, home: Home) -> None:
    """What is done to the bundles of steps shows by name."""
    one, two, aside = run / "sums/0/1", run / "sums/0/2", run / "aside"
    one.rename(run.parent / "aside")
    assert "trial sums/oracle/0 step one: sums/0/1/bundle: is missing" in faults(checked(run, home))
    (run.parent / "aside").rename(aside)
    two.rename(one)
    aside.rename(two)
    said = faults(checked(run, home))
    assert "sums/0/1/bundle: holds the bundle of sums/oracle/0 step two" in said
    assert "sums/0/2/bundle: holds the bundle of sums/oracle/0 step one" in said
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def interrupted(run: Path, task: Path, home: Home) -> None:
    """A run that was killed after the first step plays it again."""
    (run / RUN_STATEMENT).unlink()
    (run / "run.json").unlink()
    [trial] = read_run(run).trials
    assert (trial.verdict, trial.raw_score, len(trial.steps)) == ("pass", 1.0, 2)
    shutil.rmtree(run / "sums/0/2")
    assert read_run(run).trials == ()
    lines = (run / LEDGER).read_bytes().splitlines(keepends=True)
    sealed = next(number for number, line in enumerate(lines) if b'"kind":"step_sealed"' in line)
    (run / LEDGER).write_bytes(b"".join(lines[: sealed + 2]))
    options = RunOptions("runc", "ebpf", 1, 1, run.parent)
    again = run_jobs([Job(load_task(task), Agent.named("oracle"))], replace(options, resume=run), Silent())
    assert [(str(one.judgement.verdict), one.judgement.raw_score) for one in again.trials] == [("pass", 1.0)]
    verification = checked(run, home)
    assert verification.ok, faults(verification)
    assert verification.facts is not None
    assert [end.attempts for end in verification.facts.trials] == [2]


def test_a_step_below_its_min_reward_ends_the_trial(trials: Trials, tmp_path: Path) -> None:
    outcome = trials(EBPF, write_steps(tmp_path / "sums", "min_reward = 0.5\n"), "true")
    assert (outcome.verdict, outcome.score, outcome.raw_score) == ("fail", 0.0, 0.0)
    assert steps_of(outcome) == [("one", "fail")]
    assert outcome.reasons == "step one: its score of 0 is below min_reward, 0.5; not reached, and counted as 0: two"
    verification = checked(run_folder(outcome), trials.home)
    assert verification.ok, faults(verification)


def test_what_is_left_goes_on_to_the_next_step_and_no_test_does(trials: Trials, tmp_path: Path) -> None:
    """The first step fails, which without min_reward ends nothing. Its leavings are not in what the second one is
    compared with: the task's own solution would fail over them."""
    left = "echo 7 >/workspace/answer.txt; echo kept >/tmp/notes; ln -s notes /tmp/link; sleep 1000 &"
    look = (
        f"grep -rlsq {SECRET} / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr && echo found;"
        f"cat /tmp/link given more; pgrep -x sleep; {SOLVE_1}{SOLVE_2}"
    )
    setup = {"steps/two/workdir/setup.sh": "[ ! -e answer.txt ] && mv given more && cp more given\n"}
    solve = {"steps/two/solution/solve.sh": f"#!/bin/bash\n[ -e /workspace/more ] && {SOLVE_2}"}
    task = write_steps(tmp_path / "sums", before="", files={**setup, **solve})
    outcome = trials(EBPF, task, by_step(left, look))
    assert (outcome.verdict, outcome.score, outcome.raw_score) == ("fail", 0.5, 0.5), outcome.reasons
    assert steps_of(outcome) == [("one", "fail"), ("two", "pass")]
    second = Outcome(outcome.trial.steps[1])
    assert second.text("agent/stdout").split() == ["kept", "8", "8"]
    assert second.json("grade.json")["verifier"]["separation"]["separate"] is True
    # Its diff is what its agent has changed since the first step, and nothing that the task brought.
    changed = {"/workspace/answer.txt", "/workspace/sum.txt", "/tmp/notes", "/tmp/link"}
    assert changed == {*second.changed()} - {"/workspace", "/tmp"}
    earlier = {change["path"] for change in second.json("earlier.json")["changed"]}
    assert earlier == {*changed} - {"/workspace/sum.txt"}
    assert "mv" in {row["comm"] for row in second.events("setup")}
    begins_elsewhere(outcome, tmp_path)


def begins_elsewhere(outcome: Outcome, folder: Path) -> None:
    """A step that does not begin with what the one before left is named."""
    one, two = (Outcome(step).bundle for step in outcome.trial.steps)
    check_chain(one, two)
    copy = Path(shutil.copytree(two, folder / "two"))
    document = json.loads((copy / "earlier.json").read_bytes())
    [notes] = [change for change in document["changed"] if change["path"] == "/tmp/notes"]
    for wrong, message in (
        ({"changed": []}, "/tmp/link is not as"),
        ({"changed": [*document["changed"], {**notes, "path": "/tmp/more"}]}, "/tmp/more is not as"),
        ({"changed": [{**notes, "sha256": "0" * 64}], "gone": ["/tmp/link", "/workspace/answer.txt"]}, "/tmp/notes is"),
        ({"rules": {"it": [1]}}, "its rules are not"),
    ):
        (copy / "earlier.json").write_text(json.dumps({**document, **wrong}))
        with pytest.raises(EvidenceError, match=message):
            check_chain(one, copy)


def test_a_violation_in_a_step_is_one_of_the_trial(trials: Trials, tmp_path: Path) -> None:
    contract = {"files": {"write": ["/workspace/**"], "deny": ["/workspace/forbidden"]}}
    task = write_steps(tmp_path / "sums", contract=contract)
    outcome = trials(EBPF, task, by_step(f"echo >/workspace/forbidden; {SOLVE_1}", SOLVE_2))
    assert (outcome.verdict, outcome.score, outcome.raw_score) == ("violation", 0.0, 0.5)
    assert steps_of(outcome) == [("one", "violation")]
    assert outcome.trial.judgement.violations[0].message.startswith("step one: ")
    verification = checked(run_folder(outcome), trials.home)
    assert verification.ok, faults(verification)


def test_nothing_lies_in_wait_for_a_later_steps_tests(trials: Trials, tmp_path: Path) -> None:
    task = write_steps(tmp_path / "sums", before=f'profile = "container"\n{ONE_RUN}')
    toml = task / "task.toml"
    toml.write_text(toml.read_text().replace("[agent]\n", '[agent]\nuser = "root"\n'))
    trojan = "printf '#!/bin/sh\\nprintf 50\\n' >/usr/local/bin/tr; chmod +x /usr/local/bin/tr"
    outcome = trials(EBPF, task, by_step(f"{trojan}; {SOLVE_1}", "echo 3 >sum.txt; tr -d x <sum.txt"))
    assert steps_of(outcome) == [("one", "pass"), ("two", "fail")], outcome.reasons
    # The agent still has it.
    assert Outcome(outcome.trial.steps[1]).text("agent/stdout") == "50"


def test_a_verifier_of_its_own_gets_the_artifacts_of_all_steps(trials: Trials, tmp_path: Path) -> None:
    test = f"[ ! -e /workspace/other ] && [ -e /workspace/answer.txt ] && {TEST_2}"
    task = write_steps(tmp_path / "sums", files={"steps/two/tests/test.sh": f"#!/bin/bash\n{test}"})
    toml = task / "task.toml"
    head = 'artifacts = ["/workspace/answer.txt", "/workspace/sum.txt"]\n'
    toml.write_text(head + toml.read_text().replace("[verifier]\n", '[verifier]\nenvironment_mode = "separate"\n'))
    outcome = trials(EBPF, task, by_step(f"echo >/workspace/other; {SOLVE_1}", SOLVE_2))
    assert (outcome.verdict, outcome.score) == ("pass", 1.0), outcome.reasons


def test_a_script_that_fails_is_an_error_of_the_trial(trials: Trials, tmp_path: Path) -> None:
    task = write_steps(tmp_path / "sums", files={"steps/two/workdir/setup.sh": "echo no >&2; exit 3\n"})
    outcome = trials(EBPF, task)
    assert (outcome.verdict, outcome.score) == ("error", None)
    said = "sums/steps/two/workdir/setup.sh: exited with 3: no; it runs over the task's own files, not over what an"
    assert said in outcome.reasons
    # Before any agent began.
    assert outcome.trial.steps == ()


def test_what_does_not_take_steps_yet_says_so(affidavit: Command, tmp_path: Path) -> None:
    task = write_steps(tmp_path / "sums")
    said = "task.toml: has [[steps]], with which {} does not work yet"
    for command in (["redteam", task], ["redteam", task, "--scripts", tmp_path / "scripts"], ["task", "warm", task]):
        ran = affidavit(*command)
        name = "redteam" if command[0] == "redteam" else "task warm"
        assert (ran.status, said.format(name) in ran.err) == (2, True), ran.err
    with pytest.raises(RunError, match=re.escape(said.format("a session"))):
        open_session(task)
