"""``affidavit report``."""

import json
import shutil
from pathlib import Path

import pytest

from harness import Command, Outcome
from run_folders import trial, write_run


def test_a_run_is_reported_on_the_terminal_as_json_and_as_csv(affidavit: Command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [trial("a"), trial("b", 0, "violation")])
    ran = affidavit("report", run, "--csv", tmp_path / "figures.csv")
    assert (ran.status, ran.err) == (0, "")
    assert "1 of 2 trials earned points that do not count: 1 broke the contract." in ran.out
    assert (tmp_path / "figures.csv").read_text().startswith("run,agent,section,")
    document = affidavit("report", run, "--json").json
    assert (document["schema"], document["subjects"][0]["not_counted"]) == ("affidavit.report/v1", 1)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_what_is_no_run_is_wrong_use(affidavit: Command, tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        ran = affidavit("report", folder)
        assert (ran.status, ran.out) == (2, "")
        assert ran.err.startswith(f"affidavit: {folder}: is not a folder of a run")
        assert ran.err.count("\n") == 1


def test_a_place_that_cannot_be_written_to_is_named(affidavit: Command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [trial()])
    ran = affidavit("report", run, "--csv", tmp_path / "none/figures.csv")
    assert ran.status == 2
    assert "figures.csv: can't be written: No such file or directory" in ran.err


def test_two_runs_are_compared(affidavit: Command, tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", [trial(f"t{n}", agent="a") for n in range(8)], "a")
    second = write_run(tmp_path / "b", [trial(f"t{n}", 0, "fail", agent="b") for n in range(8)], "b")
    ran = affidavit("compare", first, second)
    assert (ran.status, ran.err) == (0, "")
    assert "a solves more." in ran.out
    assert affidavit("compare", first, second, "--json").json["overall"]["shown"] is True
    third = write_run(tmp_path / "c", [trial(f"t{n}", agent="c") for n in range(8)], "c")
    ran = affidavit("compare", first, second, third, "--html", tmp_path / "c.html")
    assert (ran.status, ran.err) == (0, "")
    assert "No difference shown between a and c." in ran.out
    assert affidavit("compare", first).status == 2


def test_a_run_is_not_compared_with_itself(affidavit: Command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [trial()])
    ran = affidavit("compare", run, run)
    assert ran.status == 2
    assert "is named twice" in ran.err


@pytest.fixture
def signed(judged: dict[str, Outcome], tmp_path: Path) -> Path:
    """A copy of a finished, signed run of one trial that passed, to be spoilt."""
    bundle = judged["pass"].trial.bundle
    assert bundle is not None
    return Path(shutil.copytree(bundle.parents[2], tmp_path / "signed"))


def test_verify_says_that_the_figures_rest_on_evidence_that_holds(
    affidavit: Command, signed: Path, tmp_path: Path
) -> None:
    ran = affidavit("report", signed, "--verify", "--html", tmp_path / "page.html", "--csv", tmp_path / "figures.csv")
    text = " ".join(ran.out.split())
    assert (ran.status, ran.err) == (0, "")
    assert "The bundle verifies: signature, files and records are as signed" in text
    assert "show that these are all the trials of the run" in text
    assert "Signatures were not checked" not in text
    page = (tmp_path / "page.html").read_text()
    assert "The bundle verifies" in page
    assert "not verified" not in page
    assert "<ins>+42</ins>" in page
    assert ",verified,yes," in (tmp_path / "figures.csv").read_text()
    (subject,) = affidavit("report", signed, "--verify", "--json").json["subjects"]
    assert (subject["verified"]["trials"], subject["verified"]["run"]) == (1, [])
    assert subject["trials"][0]["checked"] == {"ok": True, "faults": []}


def test_verify_shows_a_verdict_that_was_forged(affidavit: Command, signed: Path, tmp_path: Path) -> None:
    (verdict,) = signed.rglob("verdict.json")
    forged = json.loads(verdict.read_bytes()) | {"verdict": "fail", "score": 0.5}
    verdict.write_text(json.dumps(forged))
    ran = affidavit("report", signed, "--verify", "--html", tmp_path / "page.html")
    text = " ".join(ran.out.split())
    assert ran.status == 1
    assert "1 of 1 trial rests on no bundle that verifies" in text
    assert "The counted score with these as 0 is 0 %." in text
    page = (tmp_path / "page.html").read_text()
    assert "<bdi>files: verdict.json: " in page
    assert "not verified" in page
    (subject,) = affidavit("report", signed, "--verify", "--json").json["subjects"]
    assert (subject["counted"]["value"], subject["verified"]["counted"]["value"]) == (0.5, 0.0)


def test_verify_says_so_where_nothing_shows_that_these_are_all_trials(affidavit: Command, signed: Path) -> None:
    (signed / "plan.dsse.json").unlink()
    ran = affidavit("report", signed, "--verify")
    text = " ".join(ran.out.split())
    assert ran.status == 1
    assert "The bundle verifies" in text
    assert "The run as a whole does not verify: plan: plan.dsse.json: is missing" in text


def test_verify_does_not_take_the_good_bundle_of_another_trial(affidavit: Command, signed: Path) -> None:
    (signed / "plan.dsse.json").unlink()
    document = json.loads((signed / "run.json").read_bytes())
    (stated,) = document["trials"]
    shutil.copytree(signed / stated["task_id"] / "0", signed / stated["task_id"] / "1")
    document["trials"].append({**stated, "trial": 1})
    (signed / "run.json").write_text(json.dumps(document))
    (subject,) = affidavit("report", signed, "--verify", "--json").json["subjects"]
    assert [one["checked"]["ok"] for one in subject["trials"]] == [True, False]
    assert subject["trials"][1]["checked"]["faults"] == ["its bundle is of the trial 0"]


def test_a_key_is_for_verifying(affidavit: Command, signed: Path, tmp_path: Path) -> None:
    assert "--key and --trust are for --verify" in affidavit("report", signed, "--key", "x").err
    ran = affidavit("report", signed, "--verify", "--key", tmp_path / "none.pem")
    assert ran.status == 2
    assert "none.pem" in ran.err
