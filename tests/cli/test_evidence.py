"""``affidavit verify``, ``trace``, ``doctor`` and ``keys``."""

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest

from affidavit.evidence import beside, locate
from harness import AFFIDAVIT, Command, Home, Outcome

PARTS = (
    "agent/counts.parquet",
    "agent/events.parquet",
    "agent/exit.json",
    "agent/stdout",
    "agent/summary.json",
    "contract.json",
    "diff.json",
    "environment.json",
    "grade.json",
    "grades.json",
    "grader/events.parquet",
    "statement.dsse.json",
    "submission/files.tar",
    "task.json",
    "texts.json",
    "verdict.json",
)


@pytest.mark.parametrize("verdict", ["pass", "fail", "violation"])
def test_a_bundle_verifies_with_ones_own_key(affidavit: Command, judged: dict[str, Outcome], verdict: str) -> None:
    ran = affidavit("verify", judged[verdict].bundle)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "verified"
    assert "WRONG" not in ran.out


def test_a_bundle_verifies_elsewhere_with_the_public_key_alone(
    affidavit: Command, at_home: Home, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "none"))
    unknown = affidavit("verify", bundle)
    assert unknown.status == 1
    assert "WRONG signer: signed by unknown key" in unknown.out
    assert affidavit("verify", bundle, "--key", at_home.keys / "signing.pub.pem").status == 0
    assert not (tmp_path / "none").exists()


def test_another_key_does_not_verify(
    affidavit: Command, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "other"))
    assert affidavit("keys", "new").status == 0
    ran = affidavit("verify", bundle, "--key", tmp_path / "other/signing.pub.pem")
    assert ran.status == 1
    assert ran.out.splitlines()[-1] == "NOT verified"


def test_verify_as_json(affidavit: Command, at_home: Home, bundle: Path) -> None:
    shown = affidavit("keys", "show", "--json").json
    document = affidavit("verify", bundle, "--json").json
    assert (document["ok"], document["signer"], document["bundle"]) == (True, shown["key_id"], str(bundle))
    assert {check["ok"] for check in document["checks"]} == {True}
    assert (document["statement"]["verdict"], document["statement"]["score"]) == ("pass", 1.0)


@pytest.mark.parametrize("part", PARTS)
def test_a_changed_byte_is_found_and_named(affidavit: Command, bundle: Path, part: str) -> None:
    path = locate(bundle, part)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    ran = affidavit("verify", bundle, "--json")
    assert ran.status == 1
    assert ran.json["ok"] is False
    named = {name for check in ran.json["checks"] for name in check["parts"]}
    # The statement tells of all others.
    assert part in named if part == "statement.dsse.json" else named == {part}
    assert part in affidavit("verify", bundle).out


def test_the_list_of_parts_is_the_whole_bundle(bundle: Path) -> None:
    places = (bundle, beside(bundle))
    files = [(place, path) for place in places for path in place.rglob("*") if path.is_file() and path.stat().st_size]
    found = {str(path.relative_to(place)) for place, path in files} - {"key"}
    assert found - {"grader/counts.parquet", "grader/exit.json", "grader/summary.json"} == set(PARTS)


def test_a_missing_and_an_added_file_are_found(affidavit: Command, bundle: Path) -> None:
    (bundle / "agent/stdout").rename(bundle / "agent/more")
    ran = affidavit("verify", bundle)
    assert ran.status == 1
    assert "agent/stdout: is missing" in ran.out
    assert "agent/more: does not belong to the bundle" in ran.out


def test_trace_sums_up_by_operation(affidavit: Command, judged: dict[str, Outcome]) -> None:
    bundle = judged["pass"].bundle
    rows = affidavit("trace", bundle, "--json").json
    by_op = {row["op"]: row for row in rows}
    assert {"open_read", "exec", "exit"} <= set(by_op)
    assert sum(row["events"] for row in rows) == judged["pass"].trial.record.events
    ran = affidavit("trace", bundle)
    assert (ran.status, ran.out.split()[:4]) == (0, ["op", "events", "failed", "paths"])


def test_trace_answers_sql(affidavit: Command, judged: dict[str, Outcome]) -> None:
    bundle = judged["pass"].bundle
    query = "SELECT path, ret >= 0 AS done FROM events WHERE op IN ('create', 'open_write') AND path LIKE '%answer'"
    ran = affidavit("trace", bundle, "--sql", query, "--json")
    assert ran.json == [{"path": "/workspace/answer", "done": True}]
    for table in ("grader_events", "counts"):
        assert affidavit("trace", bundle, "--sql", f"SELECT count(*) AS n FROM {table}", "--json").json[0]["n"] > 0


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELEC 1", "the query failed: .*SELEC"),
        ("SELECT nothing FROM events", "the query failed: .*nothing"),
        ("DROP TABLE events", "not one SELECT"),
        ("SELECT 1; SELECT 2", "not one SELECT"),
        ("", "not one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "the query failed: .*(disabled|Permission)"),
        ("COPY (SELECT 1) TO 'out.csv'", "not one SELECT"),
    ],
)
def test_a_query_that_is_none_is_refused(
    affidavit: Command, judged: dict[str, Outcome], tmp_path: Path, query: str, says: str
) -> None:
    ran = affidavit("trace", judged["pass"].bundle, "--sql", query)
    assert (ran.status, ran.out) == (2, "")
    [line] = ran.err.splitlines()
    assert re.search(says, line), line
    assert list(tmp_path.iterdir()) == []


def test_trace_shows_the_process_tree(affidavit: Command, judged: dict[str, Outcome]) -> None:
    bundle = judged["pass"].bundle
    ran = affidavit("trace", bundle, "--process-tree")
    first, *rest = ran.out.splitlines()
    assert "/bin/sh -c echo 42" in first
    assert any(re.match(r"└── \d+ cat answer", line) for line in rest)
    rows = affidavit("trace", bundle, "--process-tree", "--json").json
    shell, cat = rows[0], rows[-1]
    assert (cat["argv"], cat["ppid"], cat["exit_code"]) == (["cat", "answer"], shell["pid"], 0)


def test_a_damaged_trace_is_one_line(affidavit: Command, bundle: Path) -> None:
    (bundle / "agent/events.parquet").write_bytes(b"PAR1 no more")
    for flags in ([], ["--process-tree"]):
        ran = affidavit("trace", bundle, *flags)
        assert (ran.status, ran.out, len(ran.err.splitlines())) == (2, "", 1)
        assert "events.parquet" in ran.err


def test_a_reader_that_leaves_is_no_error(affidavit: Command, judged: dict[str, Outcome]) -> None:
    query = "SELECT range AS n FROM range(200000)"
    done = subprocess.run(
        [
            "/bin/sh",
            "-c",
            '"$@" | head -n 1',
            "sh",
            AFFIDAVIT,
            "trace",
            judged["pass"].bundle,
            "--sql",
            query,
            "--json",
        ],
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_doctor_says_what_works_and_what_is_chosen(affidavit: Command) -> None:
    ran = affidavit("doctor", "--json")
    assert (ran.status, ran.err) == (0, "")
    report = ran.json
    assert set(report["runtimes"]) == {"runc", "gvisor"}
    assert set(report["recorders"]) == {"ebpf", "gvisor", "ptrace"}
    for item in (*report["runtimes"].values(), *report["recorders"].values()):
        assert item["works"] or item["fix"]
    assert report["runtimes"]["runc"]["works"]
    assert (report["auto"]["runtime"], report["auto"]["recorder"]) == ("runc", "ebpf")
    text = affidavit("doctor")
    assert text.status == 0
    for name in ("runtime runc", "runtime gvisor", "recorder ebpf", "recorder gvisor", "recorder ptrace"):
        assert name in text.out
    assert "auto: runc + ebpf" in text.out
    for recorder in report["recorders"].values():
        for gap in recorder["gaps"]:
            assert gap in text.out


def test_doctor_says_how_to_get_what_is_missing(affidavit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ran = affidavit("doctor", "--json")
    assert ran.status == 0
    strace = ran.json["recorders"]["ptrace"]
    assert (strace["works"], strace["fix"]) == (False, "apt install strace (6.1 or later)")


def test_keys_are_made_once_and_shown(affidavit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "keys"))
    absent = affidavit("keys", "show")
    assert (absent.status, absent.out) == (2, "")
    folder = tmp_path / "keys"
    wanted = f"{folder}/signing.pem: there is no signing key; make one with: affidavit keys new --keys {folder}"
    assert wanted in absent.err
    made = affidavit("keys", "new")
    assert made.status == 0
    private, public = tmp_path / "keys/signing.pem", tmp_path / "keys/signing.pub.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    again = affidavit("keys", "new")
    assert (again.status, again.out) == (2, "")
    assert re.search("a key already exists; move it away first", again.err)
    assert private.read_bytes() == before
    shown = affidavit("keys", "show", "--json").json
    assert shown["public_key"] == str(public)
    for text in (made.out, affidavit("keys", "show").out):
        assert shown["key_id"] in text
        assert str(public) in text
    other = tmp_path / "other"
    assert affidavit("keys", "new", "--keys", other).status == 0
    assert affidavit("keys", "show", "--keys", other, "--json").json["public_key"] == str(other / "signing.pub.pem")
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"], capture_output=True, check=True
    )
    digest = subprocess.run(["sha256sum"], input=der.stdout, capture_output=True, check=True).stdout
    assert shown["key_id"] == f"sha256:{digest.split()[0].decode()}"


def test_nothing_private_is_printed(affidavit: Command, at_home: Home, judged: dict[str, Outcome]) -> None:
    assert "PRIVATE" not in json.dumps(affidavit("keys", "show", "--json").json)
    for path in judged["pass"].bundle.rglob("*"):
        assert path.is_dir() or b"PRIVATE KEY" not in path.read_bytes()


def test_names_are_text_and_no_style(affidavit: Command, bundle: Path) -> None:
    query = "select '[red]a[/red] [/] :smile:' as \"[/b]\", chr(27) || '[31m' || chr(8238) as c"
    ran = affidavit("trace", bundle, "--sql", query)
    assert (ran.status, ran.err) == (0, "")
    head, row = (line.split("  ") for line in ran.out.splitlines())
    assert head[0].strip() == "[/b]"
    assert row[0] == "[red]a[/red] [/] :smile:"
    assert "\\x1b[31m\\u202e" in row[-1]


def test_a_folder_in_place_of_a_file(affidavit: Command, bundle: Path, tmp_path: Path) -> None:
    for arguments in (("verify", bundle, "--trust", tmp_path), ("contract", "lint", tmp_path)):
        ran = affidavit(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err == f"affidavit: {tmp_path}: is not a regular file\n"
