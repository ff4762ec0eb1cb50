"""What is evaluated chooses names, output, messages and paths: put through every format, each stays text."""

import csv
import io
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from affidavit.report import (
    Report,
    compare,
    csv_text,
    make_report,
    print_comparison,
    print_report,
    read_behaviour,
    read_runs,
    write_comparison,
    write_page,
    write_pages,
)
from injections import INJECTIONS
from page_reader import Page, read_page
from run_folders import MakeRun, attempt, event, trial, turn, violation, write_run

DIGEST = "ab" * 32
# Columns of a record take no more than this, and no lone surrogate.
LONGEST_NAME = 4000


def command(name: str) -> dict[str, Any]:
    """A row of a session's commands."""
    return {
        "id": 1, "phase": name, "origin": name, "argv": [name, name], "uid": 0, "gid": 0, "cwd": "/", "pid": 10,
        "exit_code": 0, "timed_out": False, "began_ns": 1_000_000_000, "ended_ns": 1_001_000_000, "stdout_bytes": 0,
        "stderr_bytes": 0, "dropped_bytes": 0,
    }  # fmt: skip


def poisoned(text: str) -> list[dict[str, Any]]:
    """Trials with `text` wherever something other than Affidavit's own machinery could have put it."""
    name = text[:LONGEST_NAME].encode("utf-8", "replace").decode()
    acts = {"exe": name, "comm": name}
    record = [
        event(0, "exec", **acts, path=name, argv=[name, name]),
        event(1, "fork", ret=11),
        event(2, "create", **acts, path=name),
        event(3, "rename", **acts, path=name, path2=name),
        event(4, "connect", **acts, addr=name, port=80, ret=-101),
        event(5, "dns", **acts, path2=name),
    ]
    broken = [violation(rule=text, message=text, action=text, stage="agent", events=[2, 3], count=2)]
    broken.append(violation(rule=text, message=text, action=text, stage=text, events=[], count=1))
    attempts = [attempt(rule=text, message=text, outcome=text)]
    grade = {
        "name": text, "kind": text, "score": 0.5, "message": text, "error": text, "abstained": text, "unproven": text,
        "components": [{"name": text, "score": 1.0}], "findings": [{"message": text}],
    }  # fmt: skip
    change = {"kind": text, "path": text, "type": text, "size": 1, "sha256": DIGEST, "target": text}
    evidence = {"runtime": text, "recorder": text, "events": 6, "lost": 0, "complete": True, "gaps": [text]}
    common: dict[str, Any] = {
        "agent": text,
        "assurance": text,
        "reasons": [text],
        "violations": broken,
        "attempts": attempts,
        "evidence": evidence,
        "contract": {"id": text, "version": text, "digest": text, "signed_by": text},
        "mode": text,
    }
    return [
        trial(
            "tiny", 0, "violation", **common, record=record, grades=[grade],
            changes=[{"kind": "deleted", "path": "/gone", "type": "file", "sha256": None}, change],
            texts={"files": [{"path": "/gone", "before": name.replace("\n", " "), "after": None}], "left_out": 0},
            content={DIGEST: text.encode("utf-8", "surrogatepass")}, stdout=text.encode("utf-8", "surrogatepass"),
            turns=[turn(1, name, name, wire_model=name, outcome=name, reason=name)],
            execs=[command(name)],
            labels={"category": text, "difficulty": text, "tags": [text], "security_critical": True},
            instruction=text, kernel=text, identity={"name": "cmd", "command_sha256": DIGEST, "model": text},
            stated={"attempts": attempts},
        ),
        trial(text, 1, "inconclusive", **common, bundled=False),
    ]  # fmt: skip


NO_TEXT_FILE = ("nul", "huge", "huge-word", "many-lines", "surrogates", "overlong-bytes")


def made(make_run: MakeRun, text: str, name: str) -> tuple[Report, Path]:
    folder = make_run(poisoned(text), "20260101T000000Z-abcdef", name)
    return make_report(read_runs([folder]), read_behaviour), folder


def skeleton(page: Page) -> list[tuple[str, list[str]]]:
    """All elements with the names of their attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in page.elements]


def check_page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    bad = {
        c for c in text if (c != "\n" and unicodedata.category(c)[0] == "C") or unicodedata.category(c) in ("Zl", "Zp")
    }
    assert not bad, f"{path.name} holds {bad!r}"
    page = read_page(path)
    assert page.unclosed == []
    assert {link[0] for link in page.links} <= {"#", "i", "t"}
    return page


def written(make_run: MakeRun, folder: Path, text: str) -> list[Path]:
    """Every kind of page, of runs with `text` in them."""
    report, run = made(make_run, text, str(folder / "run"))
    write_page(report, folder / "one.html")
    write_pages(report, folder / "pages")
    other = make_run([trial("tiny", 0, agent="other")], "20260101T000000Z-fedcba", str(folder / "other"))
    write_comparison(compare(make_report(read_runs([run, other]))), folder / "compared.html")
    return [folder / "one.html", *sorted((folder / "pages").iterdir()), folder / "compared.html"]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> list[list[tuple[str, list[str]]]]:
    """The elements of each page where the text is harmless."""
    folder = tmp_path_factory.mktemp("harmless")

    def make_run(trials: Any, run_id: str, name: str) -> Path:
        return write_run(Path(name), trials, run_id)

    return [skeleton(check_page(path)) for path in written(make_run, folder, "harmless")]


@pytest.mark.parametrize("name", INJECTIONS)
def test_pages_have_the_same_elements_whatever_the_text(
    make_run: MakeRun, tmp_path: Path, harmless: list[list[tuple[str, list[str]]]], name: str
) -> None:
    paths = written(make_run, tmp_path, INJECTIONS[name])
    for path, expected in zip(paths, harmless, strict=True):
        found = skeleton(check_page(path))
        if name not in NO_TEXT_FILE:
            assert found == expected
        # A file that is not text, or too large to show, has no fold with its content.
        assert set(map(str, found)) <= set(map(str, expected))
        assert path.stat().st_size < 1_500_000


@pytest.mark.parametrize("name", INJECTIONS)
def test_other_formats_hold_text_and_nothing_else(make_run: MakeRun, name: str) -> None:
    report, folder = made(make_run, INJECTIONS[name], "run")
    rows = list(csv.reader(io.StringIO(csv_text(report))))
    assert {len(row) for row in rows} == {10}
    for row in rows:
        for cell in row:
            assert cell == cell.strip("\t\r\n\0")
            assert not cell.lstrip(" ").startswith(("=", "+", "@", "＝"))
            assert not cell.startswith("-") or float(cell) <= 0
            assert not [c for c in cell if unicodedata.category(c)[0] == "C"]
    document = json.dumps(report.to_json())
    assert document.isascii()
    assert json.loads(document)["subjects"][0]["agent"] == INJECTIONS[name]
    out = io.StringIO()
    print_report(report, out)
    other = make_run([trial("tiny", 0, agent="x")], "20260101T000000Z-fedcba", "other")
    print_comparison(compare(make_report(read_runs([folder, other]))), out)
    lines = out.getvalue().split("\n")
    assert not [c for line in lines for c in line if unicodedata.category(c)[0] == "C"]
    assert max(map(cell_len, lines)) <= 80


def test_there_are_many_inputs() -> None:
    assert len(INJECTIONS) >= 60
    assert len(set(INJECTIONS.values())) == len(INJECTIONS)
