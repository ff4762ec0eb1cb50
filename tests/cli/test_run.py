"""``affidavit run``: what it prints, what it writes, and its exit status."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import AFFIDAVIT, Command, Home, loaders

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

# The agent does what the task's own file says, so that each task ends in the way it is named after.
AGENT = ". ./todo"
TODO = {
    "pass": "echo 42 >answer",
    "fail": "echo 41 >answer",
    "violation": "echo 42 >answer; cat /tests/test.sh",
    "error": "echo 42 >answer",
}
STATUS = {"pass": 0, "fail": 1, "violation": 3, "error": 4}


@pytest.fixture
def suite(task: Make, tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of tasks that end in the given verdicts."""

    def make(*verdicts: str) -> Path:
        for verdict in verdicts:
            content = {"files": {"environment/root/workspace/todo": TODO[verdict]}}
            if verdict == "error":
                content["test"] = "echo nan >/logs/verifier/reward.txt\n"
            task(f"suite/{verdict}", **content)
        return tmp_path / "suite"

    return make


@pytest.mark.parametrize(
    "verdicts",
    [("pass",), ("fail",), ("violation",), ("error",), ("fail", "pass"), ("fail", "violation"), ("error", "violation")],
    ids=", ".join,
)
def test_the_gravest_verdict_decides_the_exit_status(
    affidavit: Command, suite: Callable[..., Path], verdicts: tuple[str, ...]
) -> None:
    ran = affidavit("run", suite(*verdicts), "--agent-cmd", AGENT, "--runtime", "runc")
    assert ran.status == max(STATUS[verdict] for verdict in verdicts)
    for verdict in verdicts:
        assert re.search(rf"^{verdict} +0 +cmd +{verdict} ", ran.out, re.MULTILINE)
    assert "Traceback" not in ran.err


def test_json_is_one_document_and_nothing_else(
    affidavit: Command, suite: Callable[..., Path], tmp_path: Path, at_home: Home
) -> None:
    ran = affidavit.alone("run", suite("pass", "violation"), "--agent-cmd", AGENT, "--trials", "2", "--json")
    assert ran.status == 3
    document = ran.json
    assert ran.out.endswith("}\n")
    assert document["summary"] == {"pass": 2, "fail": 0, "violation": 2, "inconclusive": 0, "error": 0}
    assert set(document) == {"run_id", "summary", "notes", "alerts", "terms", "keep_until", "trials"}
    assert [(trial["task_id"], trial["trial"]) for trial in document["trials"]] == [
        ("pass", 0),
        ("pass", 1),
        ("violation", 0),
        ("violation", 1),
    ]
    passed, _, broken, _ = document["trials"]
    assert (passed["verdict"], passed["score"], passed["raw_score"], passed["violations"]) == ("pass", 1.0, 1.0, [])
    assert (broken["verdict"], broken["score"], broken["raw_score"]) == ("violation", 0.0, 1.0)
    violation = broken["violations"][0]
    assert (violation["rule"], violation["severity"], violation["action"]) == ("files.deny", "high", "flag")
    assert "/tests/test.sh" in violation["message"]
    assert violation["events"]
    for trial in document["trials"]:
        assert set(trial) >= {"agent", "reasons", "duration_ms"}
        evidence, contract = trial["evidence"], trial["contract"]
        assert (evidence["runtime"], evidence["recorder"]) == ("runc", "ebpf")
        assert (evidence["lost"], evidence["complete"]) == (0, True)
        assert evidence["events"] > 0
        assert (contract["id"], contract["signed_by"]) == ("affidavit/default", None)
        assert re.fullmatch("sha256:[0-9a-f]{64}", contract["digest"])
        assert (tmp_path / trial["bundle"] / "statement.dsse.json").is_file()
    assert document == json.loads((tmp_path / "runs" / document["run_id"] / "run.json").read_text())
    assert loaders(os.getpid()) == []


def test_the_table_and_the_reasons_are_for_people(affidavit: Command, suite: Callable[..., Path]) -> None:
    ran = affidavit("run", suite("violation"), "--agent-cmd", AGENT)
    head, row, *rest = ran.out.splitlines()
    assert head.split() == ["task", "trial", "agent", "verdict", "score", "raw", "assurance", "violations",
                            "attempts", "recorded", "by",
                            "events", "lost", "time"]  # fmt: skip
    assert row.split()[:8] == ["violation", "0", "cmd", "violation", "0.00", "1.00", "outcome", "1"]
    assert any("files.deny [high]" in line and "/tests/test.sh" in line for line in rest)
    assert rest[-1].startswith("1 violation · evidence in runs/")
    assert "default contract" in ran.err


def test_what_an_agent_makes_of_names_does_not_reach_the_terminal(affidavit: Command, task: Make) -> None:
    agent = (
        "name=$(printf 'a\\033]0;owned\\007\\nb\\302\\233c'); echo 42 >answer; "
        'printf x >"/workspace/$name"; printf x >"/tests/$name"; /bin/echo "$name"'
    )
    folder = task()
    ran = affidavit("run", folder, "--agent-cmd", agent)
    assert ran.status == 3
    [bundle] = Path("runs").glob("*/tiny/0/bundle")
    tree = affidavit("trace", bundle, "--process-tree")
    paths = affidavit(
        "trace", bundle, "--sql", "SELECT path, argv FROM events WHERE path LIKE '%owned%' OR op = 'exec'"
    )
    for shown in (ran.out + ran.err, tree.out, paths.out):
        assert "owned" in shown
        assert {"\033", "\007", "\u009b"} & set(shown) == set()


def test_a_key_is_made_on_the_first_run_and_said_so_once(
    affidavit: Command, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "keys"))
    folder = task()
    first, second = (affidavit("run", folder, "--agent", "oracle") for _ in range(2))
    assert (first.status, second.status) == (0, 0)
    shown = affidavit("keys", "show", "--json").json
    assert f"made the signing key {shown['key_id']}" in first.err
    assert shown["public_key"] in first.err
    assert "made the signing key" not in second.err


def test_a_task_is_found_by_its_folder_its_file_and_from_within(
    affidavit: Command, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = task("somewhere/tiny")
    assert affidavit("run", folder / "task.toml", "--agent", "oracle").status == 0
    monkeypatch.chdir(folder)
    ran = affidavit("run", ".", "--agent", "oracle", "--out", tmp_path / "out", "--json")
    assert (ran.status, ran.json["trials"][0]["task_id"]) == (0, "tiny")


def test_what_a_task_asks_for_in_vain_is_said(affidavit: Command, task: Make) -> None:
    folder = task()
    with (folder / "task.toml").open("a") as file:
        file.write("[verifier.colour]\nred = 1\n")
    ran = affidavit("run", folder, "--agent", "oracle")
    assert ran.status == 0
    assert "[verifier].colour is unknown and is ignored" in ran.err


def test_names_that_can_not_be_encoded_are_no_obstacle(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task(os.fsdecode("tasks/d\u00e9j\u00e0".encode()))
    strange = tmp_path / os.fsdecode(b"caf\xe9")
    for flags in ([], ["--json"]):
        done = subprocess.run(
            [AFFIDAVIT, "run", folder, "--agent", "oracle", "--out", strange, *flags],
            capture_output=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    [trial] = json.loads(done.stdout)["trials"]
    assert trial["task_id"] == "d\u00e9j\u00e0"
    assert Path(trial["bundle"]).is_dir()


def test_a_reader_that_leaves_is_no_error(affidavit: Command, task: Make) -> None:
    process = affidavit.start("run", task(), "--agent", "oracle", "--json")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_trials_side_by_side_keep_their_records_apart(affidavit: Command, task: Make, tmp_path: Path) -> None:
    names = [f"marker-{letter}" for letter in "abcd"]
    for name in names:
        todo = f"for i in $(seq 30); do : >{name}-$i; cat {name}-$i; done; echo 42 >answer"
        task(f"many/{name}", files={"environment/root/workspace/todo": todo})
    for runtime in ("runc", "gvisor"):
        ran = affidavit("run", tmp_path / "many", "--agent-cmd", AGENT, "--workers", 4, "--runtime", runtime, "--json")
        assert ran.status == 0
        assert [trial["task_id"] for trial in ran.json["trials"]] == names
        for name, trial in zip(names, ran.json["trials"], strict=True):
            query = "SELECT DISTINCT regexp_extract(path, 'marker-.') AS m FROM events WHERE path LIKE '%/marker-%'"
            assert affidavit("trace", trial["bundle"], "--sql", query, "--json").json == [{"m": name}]
