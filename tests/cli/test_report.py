"""``affidavit report``."""

from pathlib import Path

from harness import Command
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


def test_a_run_is_not_compared_with_itself(affidavit: Command, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [trial()])
    ran = affidavit("compare", run, run)
    assert ran.status == 2
    assert "is named twice" in ran.err
