"""Sessions: many commands in one recorded sandbox, and one bundle."""

import contextlib
import json
import os
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import affidavit
from affidavit.evaluation import choose_runtime
from affidavit.evaluation.trial import Trial
from affidavit.evidence import locate
from affidavit.runs import LEDGER, PLAN, read_ledger, read_plan, verify_run
from affidavit.trace import read_execs, read_trace
from affidavit.verification import own_keys, verify
from harness import EBPF, Home, Way, parent, processes, wait_until_gone

Make = Callable[..., Path]
Open = Callable[..., affidavit.Session]
DENIES = {"files": {"read": ["/**"], "write": ["/workspace/**"], "deny": ["/workspace/secret"]}}
SOLVE = ("sh", "-c", "echo 42 >answer")


@pytest.fixture
def opened(at_home: Home, tmp_path: Path, way: Way) -> Open:
    def make(task: Path, **options: Any) -> affidavit.Session:
        chosen = {"runtime": way.runtime, "recorder": way.recorder, **options}
        return affidavit.open_session(task, out=tmp_path / "runs", **chosen)

    return make


def holds(bundle: Path) -> None:
    """Every check of a bundle holds."""
    assert [check for check in verify(bundle).checks if not check.ok] == []


def test_a_session_is_judged_graded_and_sealed_like_a_trial(
    opened: Open, task: Make, way: Way, nothing_left: None
) -> None:
    with opened(task()) as session:
        seen = session.exec(["sh", "-c", "cat /instruction.md; pwd; id -u; echo $A; cat"], env={"A": "b"}, input=b"in")
        assert seen.stdout == b"Write 42 into the file answer.\n/workspace\n1000\nb\nin"
        assert (seen.id, seen.exit_code, seen.timed_out, seen.truncated) == (1, 0, False, False)
        assert session.exec(["sh", "-c", "echo wrong >&2; exit 7"], cwd="/tmp").exit_code == 7
        assert session.exec(["id", "-u"], user="root").stdout == b"0\n"
        assert session.exec(["no-such-command"]).exit_code == 127
        session.exec(SOLVE)
        session.freeze()
        judgement = session.grade()
        assert (judgement.verdict, judgement.score) == ("pass", 1.0), judgement
        bundle = session.seal()
    holds(bundle)
    execs = sorted(read_execs(bundle / "agent" / "execs.parquet").to_pylist(), key=lambda row: row["id"])
    assert [(row["id"], row["phase"], row["origin"]) for row in execs[:2]] == [
        (0, "setup", "harness"),
        (1, "agent", "agent"),
    ]
    assert [row["exit_code"] for row in execs[1:]] == [0, 7, 0, 127, 0]
    assert execs[2]["argv"] == ["sh", "-c", "echo wrong >&2; exit 7"]
    assert (execs[2]["cwd"], execs[2]["uid"], execs[3]["uid"]) == ("/tmp", 1000, 0)
    # A sentry lets a process in before the program is looked for.
    assert (execs[4]["pid"] is None) is (way.runtime == "runc")
    assert json.loads((bundle / "verdict.json").read_text())["verdict"] == "pass"
    assert {"path": "/workspace/answer", "before": None, "after": "42\n"} in json.loads(
        (bundle / "texts.json").read_text()
    )["files"]


def test_a_wrong_answer_fails(opened: Open, task: Make) -> None:
    with opened(task()) as session:
        session.exec(["sh", "-c", "echo 41 >answer"])
        bundle = session.seal()
    assert json.loads((bundle / "verdict.json").read_text())["verdict"] == "fail"
    holds(bundle)


def test_files_are_written_whole_and_read_bounded(opened: Open, task: Make) -> None:
    with opened(task()) as session:
        session.exec(["ln", "-s", "/etc/passwd", "/workspace/link"])
        content = bytes(range(256)) * 4096
        session.write_file("/workspace/link", content)
        assert session.read_file("/workspace/link") == content
        assert session.exec(["sh", "-c", "test -L link; echo $?; ls -A; head -c 4 /etc/passwd"]).stdout == (
            b"1\nlink\nroot"
        )
        with pytest.raises(affidavit.SessionError, match="larger than 1000 bytes"):
            session.read_file("/workspace/link", most=1000)
        with pytest.raises(affidavit.SessionError, match=r"/workspace/none: can't be read: .*No such file"):
            session.read_file("/workspace/none")
        with pytest.raises(affidavit.SessionError, match="/etc/new: can't be written"):
            session.write_file("/etc/new", b"")
        with pytest.raises(affidavit.SessionError, match="not an absolute path"):
            session.read_file("workspace/link")


def test_only_the_agents_own_commands_are_judged(opened: Open, task: Make) -> None:
    contract = DENIES
    with opened(task(contract=contract)) as session:
        session.setup(["sh", "-c", "echo hidden >secret"])
        session.write_file("/workspace/given", b"given\n")
        assert session.exec(["cat", "given"]).stdout == b"given\n"
        assert session.exec(["cat", "secret"], origin="harness").stdout == b"hidden\n"
        session.exec(SOLVE)
        bundle = session.seal()
    verdict = json.loads((bundle / "verdict.json").read_text())
    assert (verdict["verdict"], verdict["violations"]) == ("pass", [])
    assert {change["path"] for change in json.loads((bundle / "setup.json").read_text())} >= {
        "/workspace/given",
        "/workspace/secret",
    }
    assert [change["path"] for change in json.loads((bundle / "diff.json").read_text())] == ["/workspace/answer"]
    holds(bundle)


def test_what_an_agents_command_breaks_is_a_violation(opened: Open, task: Make) -> None:
    with opened(task(contract=DENIES)) as session:
        session.setup(["sh", "-c", "echo hidden >secret"])
        session.exec(SOLVE)
        session.exec(["sh", "-c", "(cat secret; sleep 0.1) | cat"])
        judgement = session.grade()
        bundle = session.seal()
    assert (judgement.verdict, {one.rule for one in judgement.violations}) == ("violation", {"files.deny"})
    holds(bundle)


def test_what_is_left_running_in_setup_is_not_the_agents_and_the_reverse(opened: Open, task: Make) -> None:
    wait = "(while [ ! -e go ]; do sleep 0.02; done; cat secret >/dev/null; touch %s) >/dev/null 2>&1 &"
    contract = DENIES
    for phase, verdict in (("setup", "pass"), ("exec", "violation")):
        with opened(task(f"tasks/{phase}", contract=contract)) as session:
            session.setup(["sh", "-c", "echo hidden >secret"])
            getattr(session, phase)(["sh", "-c", wait % "done"])
            session.exec(["sh", "-c", "touch go; while [ ! -e done ]; do sleep 0.02; done; echo 42 >answer"])
            assert session.grade().verdict == verdict


def test_in_the_aftermath_the_harness_looks_at_what_was_left_and_changes_nothing(
    opened: Open, task: Make, nothing_left: None
) -> None:
    """Neither a daemon that the agent left nor what it planted for the harness to run reaches the grading."""
    plant = "mkdir bin; printf '#!/bin/sh\\necho 42 >/workspace/answer; echo planted\\n' >bin/tool; chmod +x bin/tool"
    daemon = "(setsid sh -c 'while :; do sleep 0.2; done; echo 42 >answer' >/dev/null 2>&1 &)"
    with opened(task()) as session:
        session.exec(["sh", "-c", f"echo 41 >answer; echo log >/tmp/log; ln -s answer link; {plant}; {daemon}"])
        session.freeze()
        assert session.read_file("/tmp/log") == b"log\n"
        with pytest.raises(affidavit.SessionError, match=r"/workspace/link: can't be read: is no regular file"):
            session.read_file("/workspace/link")
        seen = session.aftermath(["sh", "-c", "cat answer /tmp/log; cat /proc/[0-9]*/comm | grep -c sleep; id -u"])
        assert (seen.id, seen.stdout, seen.exit_code) == (1, b"41\nlog\n0\n1000\n", 0)
        planted = session.aftermath(["tool"], user="root", env={"PATH": "/workspace/bin:/usr/bin:/bin"})
        assert planted.stdout == b"planted\n"
        assert session.aftermath(["cat", "answer"]).stdout == b"41\n"
        assert session.aftermath(["sleep", "1000"], timeout_s=0.5).timed_out
        with pytest.raises(affidavit.SessionError, match="no command can run"):
            session.exec(["true"])
        judgement = session.grade()
        with pytest.raises(affidavit.SessionError, match="aftermath comes before the grading"):
            session.aftermath(["true"])
        bundle = session.seal()
    assert (judgement.verdict, judgement.violations) == ("fail", ())
    holds(bundle)
    commands = read_trace(locate(bundle, "aftermath-1/events.parquet"))["exe"].to_pylist()
    assert any(name and name.endswith("/cat") for name in commands)


def test_a_rule_that_halts_ends_the_session(opened: Open, task: Make) -> None:
    contract = {**DENIES, "actions": ["flag", "halt"]}
    with opened(task(contract=contract)) as session:
        session.setup(["sh", "-c", "echo hidden >secret"])
        result = session.exec(["sh", "-c", "cat secret; sleep 1000"], timeout_s=60)
        assert not result.timed_out
        with pytest.raises(affidavit.SessionError, match="halted"):
            session.exec(["true"])
        judgement = session.grade()
        bundle = session.seal()
    assert judgement.verdict == "violation"
    holds(bundle)


def test_a_timeout_ends_one_command_and_the_tasks_time_all(opened: Open, task: Make) -> None:
    with opened(task(timeout_s=6)) as session:
        thread = threading.Thread(target=session.exec, args=(["sh", "-c", "sleep 1; touch other"],))
        thread.start()
        late = session.exec(["sh", "-c", "setsid sleep 1000 & sleep 1000"], timeout_s=0.5)
        assert (late.timed_out, late.exit_code) == (True, 137)
        thread.join()
        assert session.exec(["test", "-e", "other"]).exit_code == 0
        assert session.exec(["sleep", "1000"], timeout_s=100).timed_out
        with pytest.raises(affidavit.SessionError, match="time, 6 s, is up"):
            session.exec(["true"])
        judgement = session.grade()
        holds(session.seal())
    assert judgement.verdict == "fail"
    assert any("time limit" in reason for reason in judgement.reasons), judgement


def test_phases_come_in_their_order(opened: Open, task: Make) -> None:
    with opened(task()) as session:
        session.exec(SOLVE)
        with pytest.raises(affidavit.SessionError, match="setup comes before"):
            session.setup(["true"])
        for wrong in ([], "true", ["a\0b"]):
            with pytest.raises(affidavit.SessionError, match="is a list of words"):
                session.exec(wrong)  # type: ignore[arg-type]
        with pytest.raises(affidavit.SessionError, match="no such user"):
            session.exec(["true"], user="nobody-of-that-name")
        session.freeze()
        with pytest.raises(affidavit.SessionError, match="no command can run"):
            session.exec(["true"])
        session.grade()
        with pytest.raises(affidavit.SessionError, match="graded, once"):
            session.grade()
        session.seal()
    with pytest.raises(affidavit.SessionError, match="entered once"), session:
        pass


def test_after_the_agents_work_the_harness_looks_at_it_in_a_sandbox_of_its_own(
    opened: Open, task: Make, nothing_left: None, tmp_path: Path
) -> None:
    with opened(task(contract=DENIES)) as session:
        session.exec(["sh", "-c", "echo 42 >answer; sleep 1000 & sleep 1000 &"])
        session.freeze()
        with pytest.raises(affidavit.SessionError, match="no command can run but the harness's"):
            session.write_file("/workspace/answer", b"41\n")
        with pytest.raises(affidavit.SessionError, match="no such user"):
            session.exec(["true"], user="nobody-of-that-name", origin="harness")
        running = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 10[0]0'"
        seen = session.exec(["sh", "-c", f"cat answer; {running}; cat; echo 41 >answer"], origin="harness", input=b"x")
        assert (seen.stdout, seen.exit_code) == (b"42\n0\nx", 0), seen
        assert session.exec(["id", "-u"], origin="harness", user="root").stdout == b"0\n"
        session.write_file("/workspace/more", b"more", origin="harness")
        judgement = session.grade()
        assert (judgement.verdict, judgement.score) == ("pass", 1.0), judgement
        assert session.read_file("/workspace/more", origin="harness") == b"more"
        late = session.exec(["sh", "-c", "sleep 1000 & cat secret"], origin="harness", timeout_s=20)
        assert late.exit_code == 1
        bundle = session.seal()
    holds(bundle)
    assert (bundle.parent / "private/scoring/events.parquet").is_file()
    shutil.copytree(bundle, tmp_path / "published")
    holds(tmp_path / "published")


def test_a_session_that_is_killed_while_commands_enter_it_ends(
    at_home: Home, task: Make, tmp_path: Path, nothing_left: None
) -> None:
    """What the runtime had begun by then holds up no end, and leaves no process behind."""
    if EBPF.missing:
        pytest.skip(f"{EBPF.missing}: not installed")

    def enter(session: affidavit.Session) -> None:
        with contextlib.suppress(affidavit.AffidavitError):
            while True:
                session.exec(["true"])

    def ended() -> set[int]:
        return {*processes(lambda pid, line: parent(pid) == os.getpid() and not line)}

    # Other tests may have left some.
    made, before = task(), ended()
    for number in range(6):
        with affidavit.open_session(made, runtime="runc", out=tmp_path / "runs") as session:
            threads = [threading.Thread(target=enter, args=(session,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.1 + number / 50)
            began = time.monotonic()
            session.kill("the test has had enough")
            assert time.monotonic() - began < 60
            for thread in threads:
                thread.join(60)
    # What ends later than its sandbox goes with the next one.
    with affidavit.open_session(made, runtime="runc", out=tmp_path / "runs"):
        pass
    wait_until_gone(lambda: [str(pid) for pid in sorted(ended() - before)])


def test_a_session_that_is_left_leaves_nothing(opened: Open, task: Make, nothing_left: None, tmp_path: Path) -> None:
    def leave() -> None:
        with opened(task()) as session:
            session.exec(["sh", "-c", "sleep 1000 &"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave()
    assert list(tmp_path.rglob("bundle")) == []


def test_the_ledger_tells_of_a_session_that_was_left(at_home: Home, task: Make, tmp_path: Path) -> None:
    """Nobody can try until a result pleases, nor leave a violation behind by leaving the session."""
    if EBPF.missing:
        pytest.skip(f"{EBPF.missing}: not installed")
    for name, command, verdict in (("tidy", SOLVE, "error"), ("rude", ("cat", "secret"), "violation")):
        runs = tmp_path / name
        with affidavit.open_session(task(f"tasks/{name}", contract=DENIES), recorder="ebpf", out=runs) as session:
            session.setup(["sh", "-c", "echo hidden >secret"])
            session.exec(command)
            if verdict == "violation":
                session.grade()
        (folder,) = runs.iterdir()
        (attempt,) = read_ledger(folder / LEDGER, own_keys()[0]).history.attempts[f"{name}/session/0"]
        assert (attempt.verdict, attempt.bundle, attempt.ended) == (verdict, None, True)
        assert attempt.why == "the session was left before it was sealed"
        assert not verify_run(folder, own_keys()).ok


def test_what_breaks_in_a_session_that_was_killed_is_no_other_reason(
    at_home: Home, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = affidavit.open_session(task(), out=tmp_path / "runs")

    def killed(*_: object) -> None:
        session.kill("the client has gone")
        raise affidavit.AffidavitError("the sandbox's process 7 is gone: No such file or directory")

    monkeypatch.setattr(Trial, "learn_footprint", killed)
    with pytest.raises(affidavit.AffidavitError, match="process 7"):
        session.__enter__()
    (folder,) = (tmp_path / "runs").iterdir()
    ((attempt,),) = read_ledger(folder / LEDGER, own_keys()[0]).history.attempts.values()
    assert attempt.why == "the client has gone"


def test_a_session_is_a_planned_run_of_one_trial(at_home: Home, task: Make, tmp_path: Path) -> None:
    if EBPF.missing:
        pytest.skip(f"{EBPF.missing}: not installed")
    with affidavit.open_session(task(), recorder="ebpf", out=tmp_path / "runs", agent="mine") as session:
        seed = session.exec(["sh", "-c", "printf %s $AFFIDAVIT_SEED; echo 42 >answer"]).stdout
        bundle = session.seal()
    (folder,) = (tmp_path / "runs").iterdir()
    verification = verify_run(folder, own_keys())
    assert [check for check in verification.checks if not check.ok] == []
    assert verification.facts is not None
    assert [(trial.verdict, trial.attempts) for trial in verification.facts.trials] == [("pass", 1)]
    plan = read_plan(folder / PLAN).plan
    (planned,) = plan.in_order
    assert (planned.agent_name, str(planned.seed).encode()) == ("mine", seed)
    facts = verify(bundle).facts
    assert facts is not None
    assert (facts.model_extra or {})["plan"]["digest"] == plan.digest


def test_a_bundle_whose_table_of_commands_was_changed_does_not_hold(at_home: Home, task: Make, tmp_path: Path) -> None:
    if EBPF.missing:
        pytest.skip(f"{EBPF.missing}: not installed")
    with affidavit.open_session(task(), runtime="runc", recorder="ebpf", out=tmp_path / "runs") as session:
        session.exec(SOLVE)
        bundle = session.seal()
    holds(bundle)
    (bundle / "agent" / "execs.parquet").unlink()
    assert not verify(bundle).ok


def test_what_the_filter_refuses_is_refused_to_a_command(opened: Open, task: Make, way: Way) -> None:
    with opened(task(contract={**DENIES, "syscalls": {"deny": ["unshare", "mkdir"]}})) as session:
        session.exec(SOLVE)
        # Nor can the command do without the filter: it stays on what it starts.
        refused = session.exec(["sh", "-c", "unshare -Urm true; mkdir /workspace/made; ls /workspace"])
        judgement = session.grade()
        bundle = session.seal()
    assert b"made" not in refused.stdout
    assert (b"unshare failed" in refused.stderr, b"cannot create directory" in refused.stderr) == (True, True)
    # A sentry does not show what its filter refused.
    assert judgement.verdict == ("pass" if way.runtime == "gvisor" else "violation")
    gaps = json.loads((bundle / "agent" / "summary.json").read_text())["gaps"]
    assert not any("not under the sandbox's own filter" in gap for gap in gaps)
    holds(bundle)


def test_what_gvisor_does_not_filter_is_said_and_judged(
    opened: Open, task: Make, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program that puts the filter on commands was not built, what a contract denies is done, and seen."""
    if way.runtime != "gvisor":
        pytest.skip("runc puts the filter on every command")
    monkeypatch.setattr("affidavit.sandbox.runtime.ENTER", Path("/nonexistent"))
    monkeypatch.setattr("affidavit.evaluation.preflight.choose_runtime", choose_runtime)
    with opened(task(contract={**DENIES, "syscalls": {"deny": ["unshare"]}})) as session:
        session.exec(SOLVE)
        session.exec(["unshare", "-Urm", "true"])
        judgement = session.grade()
        bundle = session.seal()
    assert judgement.verdict == "violation"
    assert "syscalls.deny" in {one.rule for one in judgement.violations}
    gaps = json.loads((bundle / "agent" / "summary.json").read_text())["gaps"]
    assert any("not under the sandbox's own filter" in gap for gap in gaps)
    holds(bundle)


def ask(url: str, key: str, model: str = "model-1") -> tuple[int, str]:
    """A request in OpenAI's dialect: the status, and what the model said or the whole answer."""
    request = urllib.request.Request(
        f"{url}/chat/completions",
        json.dumps({"model": model, "messages": [{"role": "user", "content": "Which number?"}]}).encode(),
        {"authorization": f"Bearer {key}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


ASK_INSIDE = """\
import json, os, urllib.request
body = json.dumps({"model": os.environ["AFFIDAVIT_MODEL"], "messages": [{"role": "user", "content": "And now?"}]})
url, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
request = urllib.request.Request(f"{url}/chat/completions", body.encode(), {"authorization": f"Bearer {key}"})
print(json.loads(urllib.request.urlopen(request).read())["choices"][0]["message"]["content"])
"""


def test_harness_and_agent_ask_the_sessions_model_and_all_of_it_is_recorded(
    opened: Open, task: Make, tmp_path: Path, nothing_left: None
) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"answers": [{"text": "42"}, {"text": "the same"}]}))
    access = affidavit.AccessOptions(affidavit.open_models(["model-1"], script=script))
    with opened(task(), access=access) as session:
        reach = session.model_environment
        url, key = reach["OPENAI_BASE_URL"], reach["OPENAI_API_KEY"]
        assert reach["AFFIDAVIT_MODEL"] == "model-1"
        # Whoever else is on the machine can reach the port, and has no key; a sandbox's placeholder is none.
        assert [ask(url, wrong)[0] for wrong in ("", "affidavit", key[:-1])] == [401] * 3
        assert ask(url, key) == (200, "42")
        assert ask(url, key, "model-2")[0] == 403
        assert session.exec(["python3", "-c", ASK_INSIDE]).stdout == b"the same\n"
        # From inside, nothing of the host's is there, that port as little as any other.
        port = url.split(":")[2].partition("/")[0]
        inside = session.exec(["bash", "-c", f"echo >/dev/tcp/127.0.0.1/{port}"], origin="harness")
        assert inside.exit_code != 0
        session.exec(SOLVE)
        session.freeze()
        with pytest.raises(urllib.error.URLError):
            ask(url, key)
        assert session.grade().verdict == "pass"
        bundle = session.seal()
    holds(bundle)
    asked = pq.read_table(bundle / "agent" / "model.parquet").to_pylist()
    assert [(row["turn"], row["outcome"], row["model"]) for row in asked] == [
        (1, "answered", "model-1"),
        (2, "refused", "model-2"),
        (3, "answered", "model-1"),
    ]
    assert all(key.encode() not in path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())


def test_a_session_has_no_model_unless_it_is_given_one(at_home: Home, task: Make, tmp_path: Path) -> None:
    with affidavit.open_session(task(), out=tmp_path / "runs", runtime="runc", recorder="ebpf") as session:
        assert session.model_environment == {}
        assert session.exec(["sh", "-c", "echo ${OPENAI_BASE_URL-none}"]).stdout == b"none\n"
    with pytest.raises(affidavit.GatewayError, match="name at least one model"):
        affidavit.open_models([])
