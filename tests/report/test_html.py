"""Pages: self-contained, whole without scripts, and the same figures as everywhere."""

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from affidavit.report import (
    ReportError,
    compare,
    make_report,
    print_report,
    read_behaviour,
    read_runs,
    write_comparison,
    write_page,
    write_pages,
)
from page_reader import Page, read_page
from run_folders import MakeRun, attempt, event, events, trial, turn

LABELS = {"labels": {"category": "easy-things", "tags": ["shared"]}}


def page_of(folder: Path, *more: Path) -> Page:
    path = folder.with_suffix(".html")
    write_page(make_report(read_runs([folder, *more]), read_behaviour), path)
    return read_page(path)


def rich() -> list[dict[str, Any]]:
    """A run in which everything that a page shows is there."""
    digest = "ab" * 32
    changes = [
        {"kind": "added", "path": "/workspace/answer", "type": "file", "size": 3, "sha256": digest, "target": None},
        {"kind": "deleted", "path": "/workspace/old", "type": "file", "size": 3, "sha256": None, "target": None},
        {
            "kind": "added",
            "path": "/workspace/ln",
            "type": "symlink",
            "size": 0,
            "sha256": None,
            "target": "/etc/passwd",
        },
    ]
    grade = {
        "name": "tests", "kind": "test_run", "score": 0.5, "weight": 1.0, "gate": None, "message": "1 of 2 parts",
        "components": [{"name": "1", "score": 1.0, "weight": 1.0}, {"name": "2", "score": 0.0, "weight": 1.0}],
        "findings": [{"message": "the result was forged"}], "deterministic": False, "error": None,
    }  # fmt: skip
    turns = [turn(1, input_tokens=34567), turn(2, "Done <b>now</b>", "cat x", outcome="failed", reason="overloaded")]
    entered = {"uid": 0, "gid": 0, "cwd": "/", "exit_code": 3, "began_ns": 1_000_000_000, "ended_ns": 1_002_000_000}
    entered |= {"timed_out": False, "stdout_bytes": 0, "stderr_bytes": 0, "dropped_bytes": 0, "pid": 10}
    execs = [
        {"id": 0, "phase": "setup", "origin": "harness", "argv": ["the-idle-one"], **entered},
        {"id": 1, "phase": "agent", "origin": "agent", "argv": ["make", "it"], **entered},
    ]
    tried = {"attempts": [attempt(rule="network.tried", outcome="set_aside")]}
    return [
        trial("easy", 0, **LABELS, turns=turns, execs=execs),
        trial("easy", 1, "fail", **LABELS),
        trial(
            "hard", 0, "violation", changes=changes, content={digest: b"41\n42\n"}, grades=[grade], stated=tried,
            reasons=["it cheated"], instruction="Write <42>\nnow.", gaps=["a gap of its own"], **tried,
        ),
    ]  # fmt: skip


def test_a_page_is_well_formed_and_leads_nowhere_outside(make_run: MakeRun) -> None:
    page = page_of(make_run(rich()))
    assert page.unclosed == []
    assert len(page.ids) == len(set(page.ids))
    assert {link[0] for link in page.links} == {"#"}
    assert {link[1:] for link in page.links} <= set(page.ids)
    for tag, attributes in page.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "form", "base", "foreignobject", "use", "image")
        assert not {
            name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")
        }


def test_the_policy_allows_the_one_style_and_the_one_script(make_run: MakeRun) -> None:
    page = page_of(make_run(rich()))
    assert page.policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        (content,) = page.raw[kind]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in page.policy
    assert "unsafe" not in page.policy
    assert "http" not in page.policy


def test_the_page_shows_the_pair_first_and_the_gap_in_words(make_run: MakeRun) -> None:
    text = " ".join(page_of(make_run(rich())).text.split())
    assert re.search(r"Counted score 33 % 95 % interval .* Raw score 67 %", text)
    assert text.index("Counted score") < text.index("One mark for each trial")
    assert "1 of 3 trials earned points that do not count: 1 broke the contract. In all, 33 of 100 points" in text


def test_many_agents_share_one_table_and_the_best_comes_first(make_run: MakeRun) -> None:
    verdicts = {"idle": "f", "good": "Pf", "cheat": "V", "odd": "e", "fair": "f", "other": "PP"}
    names = {"P": "pass", "f": "fail", "V": "violation", "e": "error"}
    runs = [
        make_run([trial(f"t{n}", 0, names[one], agent=agent) for n, one in enumerate(marks)], agent, agent)
        for agent, marks in verdicts.items()
    ]
    text = " ".join(page_of(*runs).text.split())
    assert "6 agents, 8 trials of 2 tasks, 6 runs Score" in text
    order = [
        text.index(f" {agent} {score} %") for agent, score in (("other", 100), ("good", 50), ("cheat", 0), ("idle", 0))
    ]
    assert order == sorted(order)
    assert "Points that do not count (1 agent)cheat: 1 of 1 trial earned points that do not count" in text
    out = io.StringIO()
    print_report(make_report(read_runs(runs)), out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "6 agents: 8 trials of 2 tasks"
    assert [line.split()[0] for line in lines[2:8]][:2] == ["other", "good"]
    assert re.fullmatch(r"  good +50 % +\d+ to \d+ +50 %  1P 1f *", lines[3])
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    "said",
    [
        "easy-things",
        "One of k passes",
        "files.write",
        "By action: flag 1",
        "network.tried",
        "set_aside",
        "35,567",
        "big-model",
        "Turns of the model (2)",
        "34567, 20",
        "I will.",
        "bash cat x",
        "failed: overloaded",
        "agentagentmake itexit status 3",
        "Signatures were not checked",
        "cp (pid 11) created /workspace/answer",
        "it cheated",
        "1: 1.00",
        "the result was forged",
        "its score can't be recomputed from the bundle",
        "symlink to /etc/passwd",
        "+41",
        "Write <42>",
        "10 sh -c go",
        "cp (pid 11) tried to connect to 10.0.0.1:80 (network is unreachable)",
        "The recorder's limits: a gap.",
        "exit status 0",
        "programs started",
    ],
)
def test_everything_is_there_without_a_script(make_run: MakeRun, said: str) -> None:
    assert said in " ".join(page_of(make_run(rich())).text.split())


def test_what_changed_in_a_text_is_shown_where_its_digest_fits(make_run: MakeRun) -> None:
    digest = hashlib.sha256(b"one\ntwo\n").hexdigest()
    paths = ("/w/true", "/w/forged")
    changes = [{"kind": "modified", "path": path, "type": "file", "size": 8, "sha256": digest} for path in paths]
    changes.append({"kind": "deleted", "path": "/w/gone", "type": "file", "size": 4, "sha256": None})
    texts = [
        {"path": "/w/true", "before": "one\n2\n", "after": "one\ntwo\n"},
        {"path": "/w/forged", "before": "", "after": "harmless\n"},
        {"path": "/w/gone", "before": "secret\n", "after": None},
        {"path": "/w/true\ud800", "before": "\ud800", "after": None},
    ]
    page = page_of(make_run([trial(changes=changes, texts={"files": texts, "left_out": 3})]))
    text = " ".join(page.text.split())
    assert "Difference in /w/true one -2 +two" in text
    assert "Difference in /w/gone-secret" in text
    assert "harmless" not in text
    assert "Of 3 changed files the bundle holds no text" in text
    assert ("del", {}) in page.elements


def test_a_verdict_is_never_said_by_colour_alone(make_run: MakeRun) -> None:
    page = page_of(make_run(rich()))
    for verdict, mark in (("pass", "✓"), ("fail", "✗"), ("violation", "!")):
        assert re.search(f"{mark}\\s*trial \\d: {verdict}", page.text)


def test_tokens_show_only_where_they_were_recorded(make_run: MakeRun) -> None:
    text = page_of(make_run([trial()])).text
    assert "Tokens in" not in text
    assert "No model traffic was recorded" in text
    assert "turns of the model" not in text


def test_the_waiting_process_of_a_session_is_no_command(make_run: MakeRun) -> None:
    assert "the-idle-one" not in page_of(make_run(rich())).text


def test_drawings_have_words_for_who_does_not_see_them(make_run: MakeRun) -> None:
    elements = page_of(make_run(rich())).elements
    drawings = [attributes for tag, attributes in elements if tag in ("svg", "g")]
    assert drawings
    for attributes in drawings:
        assert attributes["role"] in ("img", "group")
        assert attributes["aria-label"]


def test_each_bar_of_a_timeline_has_its_command_as_its_name(make_run: MakeRun) -> None:
    page = page_of(make_run([trial()]))
    named = [attributes["aria-label"] for tag, attributes in page.elements if tag == "g"]
    assert "sh -c go, from 0.00 to 0.01 s, exit status not 0" in named
    assert "cp a /workspace/answer, from 0.00 to 0.01 s" in named
    # On the bar itself, as far as it fits; and a failure is not a matter of colour.
    assert re.search(r"✗ sh\s+sh -c go\s+", page.text)
    assert re.search(r"cp\s+cp a /workspace/answer\s+", page.text)


def test_a_folder_gets_an_index_and_a_page_for_each_trial(make_run: MakeRun, tmp_path: Path) -> None:
    report, folder = make_report(read_runs([make_run(rich())]), read_behaviour), tmp_path / "pages"
    write_pages(report, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.html", "trial-00001.html", "trial-00002.html", "trial-00003.html",
    ]  # fmt: skip
    for path in folder.iterdir():
        page = read_page(path)
        assert page.unclosed == []
        for link in page.links:
            assert link.startswith("#") or (folder / link).is_file()
    assert "41" not in read_page(folder / "index.html").text
    assert "+41" in read_page(folder / "trial-00003.html").text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_holds_something_is_left_alone(make_run: MakeRun, tmp_path: Path) -> None:
    report, folder = make_report(read_runs([make_run([trial()])])), tmp_path / "pages"
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.raises(ReportError, match="is not empty"):
        write_pages(report, folder)
    assert [path.name for path in folder.iterdir()] == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pages", "run"]


def test_too_many_trials_for_one_file_are_refused_with_the_way_out(make_run: MakeRun, tmp_path: Path) -> None:
    report = make_report(read_runs([make_run([trial("a", n, bundled=False) for n in range(301)])]))
    with pytest.raises(ReportError, match=r"301 trials are too many for one file .* name a folder"):
        write_page(report, tmp_path / "page.html")


def test_a_place_that_cannot_be_written_to_leaves_nothing_behind(make_run: MakeRun, tmp_path: Path) -> None:
    report = make_report(read_runs([make_run([trial()])]))
    with pytest.raises(ReportError, match="can't be written: No such file or directory"):
        write_page(report, tmp_path / "none/page.html")
    (tmp_path / "taken.html").mkdir()
    with pytest.raises(ReportError, match="can't be written"):
        write_page(report, tmp_path / "taken.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "taken.html"]


def test_two_agents_are_compared_on_the_page_and_apart(make_run: MakeRun, tmp_path: Path) -> None:
    folders = [
        make_run([trial(f"t{n}", 0, verdict, agent=agent) for n in range(8)], agent, agent)
        for agent, verdict in (("weak", "fail"), ("strong", "pass"))
    ]
    assert "strong solves more." in page_of(*folders).text
    write_comparison(compare(make_report(read_runs(folders))), tmp_path / "compared.html")
    page = read_page(tmp_path / "compared.html")
    assert page.unclosed == []
    assert "strong solves more." in page.text
    assert "+100 points" in page.text


def test_a_trial_without_a_bundle_or_with_a_damaged_record_has_a_page(make_run: MakeRun) -> None:
    folder = make_run([trial("a", bundled=False), trial("b", 0, "violation"), trial("c")])
    (folder / "b/0/bundle/agent/events.parquet").write_bytes(b"no")
    (folder / "c/0/bundle/diff.json").write_bytes(b"{")
    page = page_of(folder)
    assert "there is no bundle" in page.text
    assert "The record can't be read: agent/events.parquet" in page.text
    assert "diff.json: is not JSON" in page.text


def test_huge_records_make_no_huge_page(make_run: MakeRun) -> None:
    record = [*events()[:-1]]
    for number in range(len(record), 6000):
        record.append(event(number, "create", path=f"/workspace/{number}"))
    changes = [{"kind": "added", "path": f"/workspace/{number}", "type": "file", "size": 1} for number in range(5000)]
    folder = make_run([trial(record=record, changes=changes, stdout=b"x" * (10 << 20), instruction="y\n" * 200_000)])
    page_of(folder)
    assert folder.with_suffix(".html").stat().st_size < 400_000


def test_nothing_of_the_private_part_is_shown(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run(rich())
    private = folder / "hard/0/private"
    (private / "grader").mkdir(parents=True)
    for name in ("grade.json", "grader/stdout", "key", "grader/events.parquet"):
        (private / name).write_text('"the-hidden-answer"')
    # A bundle of version 0.1 holds it inside.
    (folder / "easy/0/bundle/grades.json").unlink()
    (folder / "easy/0/bundle/grade.json").write_text('{"graders": [{"name": "the-hidden-answer"}]}')
    page_of(folder)
    write_pages(make_report(read_runs([folder]), read_behaviour), tmp_path / "pages")
    for path in (folder.with_suffix(".html"), *(tmp_path / "pages").iterdir()):
        assert "the-hidden-answer" not in path.read_text()
    assert "its grades are not shown" in read_page(folder.with_suffix(".html")).text
