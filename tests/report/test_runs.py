"""Reading runs: what is believed, what is refused and in which words."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from affidavit.report import ReportError, make_report, read_run, read_runs
from affidavit.report.runs import EvidenceView
from affidavit.tasks import Labels
from run_folders import RUN_ID, MakeRun, trial, violation


def rewrite(folder: Path, **keys: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_a_run_is_read_with_its_bundles_wherever_it_lies_now(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run([trial("a/b", 0, labels={"category": "c", "tags": ["t"]}), trial("a/b", 1, "violation")])
    moved = folder.rename(tmp_path / "moved")
    run = read_run(moved)
    first, second = run.trials
    assert (run.run_id, first.task_id, first.verdict, first.score) == (RUN_ID, "a/b", "pass", 1.0)
    assert first.labels == Labels("c", None, ("t",), False)
    assert first.evidence == EvidenceView(moved / "a__b/0/bundle", "sha256:aa")
    assert (second.counted, second.raw, second.judged.violations[0].rule) == (0.0, 1.0, "files.write")


def test_the_bundle_is_believed_where_run_json_says_otherwise(make_run: MakeRun) -> None:
    stated = {"verdict": "violation", "score": 0.0, "violations": [violation()]}
    found = read_run(make_run([trial(stated=stated)])).trials[0]
    assert (found.verdict, found.score, len(found.judged.violations)) == ("violation", 0.0, 1)
    assert "verdict is pass in run.json and violation in the bundle" in found.evidence.discrepancy


def test_a_bundle_of_another_run_shows(make_run: MakeRun) -> None:
    folder = make_run([trial()])
    rewrite(folder, run_id="another")
    assert "of another task or run" in read_run(folder).trials[0].evidence.discrepancy


def test_a_trial_without_a_bundle_says_so(make_run: MakeRun) -> None:
    found = read_run(make_run([trial(bundled=False)])).trials[0]
    assert found.evidence.bundle is None
    assert "not signed" in found.evidence.discrepancy


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"verdict": "pass"}', b"\xff"])
def test_a_damaged_bundle_is_named_and_run_json_stands(make_run: MakeRun, damage: bytes) -> None:
    folder = make_run([trial()])
    (folder / "tiny/0/bundle/verdict.json").write_bytes(damage)
    found = read_run(folder).trials[0]
    assert found.verdict == "pass"
    assert "can't be read" in found.evidence.discrepancy


def test_links_to_elsewhere_are_not_followed(make_run: MakeRun) -> None:
    folder, other = make_run([trial(bundled=False)]), make_run([trial()], name="other")
    (folder / "tiny").symlink_to(other / "tiny")
    assert read_run(folder).trials[0].evidence.bundle is None


@pytest.mark.parametrize("name", ["..", ".", "x\0y", "../other/tiny"])
def test_names_that_lead_elsewhere_have_no_bundle(make_run: MakeRun, name: str) -> None:
    make_run([trial()], name="other")
    folder = make_run([trial(name, bundled=False)])
    assert read_run(folder).trials[0].evidence.bundle is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"trials": None}, "trials: Input should be a valid list"),
        ({"run_id": ""}, "run_id: must not be empty"),
        ({"trials": [trial(verdict="won")]}, "trials.0.verdict: Input should be 'pass'"),
        ({"trials": [trial(score=1.5)]}, "trials.0.score: Input should be less than or equal to 1"),
        ({"trials": [trial(score="1")]}, "trials.0.score: Input should be a valid number"),
        ({"trials": [trial(duration_ms=-1)]}, "trials.0.duration_ms"),
        ({"trials": [trial(), trial()]}, "trial 0 of tiny stands there twice"),
    ],
)
def test_a_run_that_is_not_well_formed_is_refused_by_place(make_run: MakeRun, keys: Any, said: str) -> None:
    folder = make_run([])
    rewrite(folder, **keys)
    with pytest.raises(ReportError) as caught:
        read_run(folder)
    assert said in str(caught.value)
    assert str(folder / "run.json") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": NaN}', b"[" * 5000, b"\xff\xfe"])
def test_what_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ReportError, match=r"run\.json"):
        read_run(tmp_path)


def test_the_folder_above_runs_leads_to_them(make_run: MakeRun) -> None:
    folder = make_run([trial()])
    with pytest.raises(ReportError, match=f"it holds runs: give one of them, such as {folder}"):
        read_run(folder.parent)


def test_run_json_as_a_link_or_a_fifo_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    import os

    linked, waiting = tmp_path / "linked", tmp_path / "waiting"
    linked.mkdir()
    waiting.mkdir()
    (linked / "run.json").symlink_to(make_run([trial()]) / "run.json")
    os.mkfifo(waiting / "run.json")
    for folder in (linked, waiting):
        with pytest.raises(ReportError):
            read_run(folder)


def test_a_run_counts_once(make_run: MakeRun) -> None:
    folder = make_run([trial()])
    with pytest.raises(ReportError, match="named twice"):
        read_runs([folder, folder])


def test_a_run_without_run_json_is_what_its_bundles_say(make_run: MakeRun) -> None:
    labels = {"labels": {"category": "c"}}
    folder = make_run([trial("a/b", 0, **labels), trial("z", 2, "violation")])
    whole = read_run(folder)
    (folder / "run.json").unlink()
    run = read_run(folder)
    assert (run.run_id, run.finished, run.notes) == (RUN_ID, False, ())
    # The wall time stands in run.json alone.
    assert run.trials == tuple(replace(one, duration_ms=None) for one in whole.trials)
    limits = make_report([run]).subjects[0].limits
    assert limits[0].startswith("The run is not finished, or was interrupted")


def test_of_an_unfinished_run_a_damaged_bundle_is_named(make_run: MakeRun) -> None:
    folder = make_run([trial("a"), trial("b")])
    (folder / "run.json").unlink()
    (folder / "b/0/bundle/statement.dsse.json").write_text('{"payload": "?"}')
    run = read_run(folder)
    assert [one.task_id for one in run.trials] == ["a"]
    assert len(run.notes) == 1
    assert "b/0/bundle: can't be read" in run.notes[0]


def test_bundles_of_several_runs_are_no_run(make_run: MakeRun, tmp_path: Path) -> None:
    folder, other = make_run([trial("a")]), make_run([trial("b")], "another", "other")
    (other / "b").rename(folder / "b")
    (folder / "run.json").unlink()
    with pytest.raises(ReportError, match="holds bundles of 2 runs"):
        read_run(folder)
