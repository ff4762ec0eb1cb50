"""Runs that need not be kept any longer: found, and removed when asked for; all else is let be."""

import json
from datetime import date
from pathlib import Path

import pytest

from affidavit.evaluation import RunError, expired_runs, remove_run
from harness import Command

TODAY = date(2027, 1, 31)


def made(runs: Path, number: int, keep_until: object, name: str = "", **facts: object) -> Path:
    run_id = f"20261231T235959Z-{number:06x}"
    folder = runs / (name or run_id)
    (folder / "task" / "0" / "bundle").mkdir(parents=True)
    (folder / "task" / "0" / "bundle" / "x").write_text("x")
    (folder / "task" / "link").symlink_to(runs.parent / "kept")
    (folder / "run.json").write_text(json.dumps({"run_id": run_id, "keep_until": keep_until, **facts}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs that have expired, one of them half removed, and what looks like such."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    folder = tmp_path / "runs"
    made(folder, 1, "2027-01-30")
    made(folder, 2, "2026-12-01", name=".removing-20261231T235959Z-000002")
    made(folder, 3, "2027-01-31")
    made(folder, 4, None)
    made(folder, 5, "2020-01-01", run_id="20261231T235959Z-ffffff")
    made(folder, 6, "2020-01-01", name="notes")
    made(folder, 7, ["2020-01-01"])
    made(tmp_path, 8, "2020-01-01", name="elsewhere")
    (folder / "20261231T235959Z-000008").symlink_to(tmp_path / "elsewhere")
    (folder / "20261231T235959Z-000009").mkdir()
    (folder / "20261231T235959Z-00000a").write_text("")
    (folder / "20261231T235959Z-00000b").mkdir()
    (folder / "20261231T235959Z-00000b" / "run.json").symlink_to("/dev/zero")
    return folder


def test_what_has_expired(runs: Path) -> None:
    assert [(run.run_id[-1], str(run.keep_until)) for run in expired_runs(runs, TODAY)] == [
        ("2", "2026-12-01"),
        ("1", "2027-01-30"),
    ]
    with pytest.raises(RunError, match="can't be read: No such file"):
        expired_runs(runs / "none", TODAY)


def test_only_that_is_removed(runs: Path) -> None:
    before = {path.name for path in runs.iterdir()}
    for run in expired_runs(runs, TODAY):
        remove_run(run)
    assert before - {path.name for path in runs.iterdir()} == {
        "20261231T235959Z-000001",
        ".removing-20261231T235959Z-000002",
    }
    assert (runs.parent / "kept" / "file").exists()
    assert expired_runs(runs, TODAY) == []


def test_who_is_interrupted_goes_on_later(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = expired_runs(runs, TODAY)[1]
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda path: (_ for _ in ()).throw(OSError(5, "bad disk", str(path))))
        with pytest.raises(RunError, match="can't be removed: bad disk"):
            remove_run(run)
    assert not run.folder.exists()
    assert [one.run_id for one in expired_runs(runs, TODAY)][1] == run.run_id


def test_the_command(affidavit: Command, runs: Path) -> None:
    listed = affidavit("prune", runs)
    assert (listed.status, listed.err) == (0, "")
    found = affidavit("prune", runs, "--json").json
    assert found["removed"] is False
    assert all(run["folder"] in listed.out for run in found["runs"])
    assert all(Path(run["folder"]).exists() for run in found["runs"])
    assert affidavit("prune", runs, "--remove").out.endswith(f"{len(found['runs'])} runs removed\n")
    assert not any(Path(run["folder"]).exists() for run in found["runs"])
    assert affidavit("prune", runs).out == "0 runs to remove\n"
    none = affidavit("prune", runs / "none")
    assert (none.status, none.out) == (2, "")
