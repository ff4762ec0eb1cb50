"""Every recorder against one table: what each case did, its record says, and no more; or the gap is said."""

import platform
import re
import sys
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from page import PAGE, rendered
from playing import Played, build_programs, play
from table import PROGRAM, RECORDERS, WHOLE, Case, differences, table

from affidavit.events import EVENT_SCHEMA, OPS
from affidavit.recorder import make_recorder
from harness import Home

ABSENT = 77
KERNEL = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))

Play = Callable[[str, Case | str], Played]


@pytest.fixture(scope="module")
def played(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """The record of a case under a recorder, made in few sandboxes and once: one for the cases of a box whose record is
    whole, one for those whose record may be, one for each that breaks it. A box's name stands for the first of them."""
    programs = build_programs(tmp_path_factory.mktemp("programs"))

    @cache
    def sandbox(recorder_name: str, box: str, company: str) -> Played:
        if not make_recorder(recorder_name).available().works:
            pytest.skip(f"{recorder_name} does not work here")
        folder = tmp_path_factory.mktemp(f"{recorder_name}-{box}")
        # The sandbox's user must get through to it.
        for place in (folder, *folder.parents):
            if place.owner() == "root" and place.stat().st_mode & 0o001 == 0:
                place.chmod(0o711)
        cases = [case for case in table().cases if (case.box, case.company(recorder_name)) == (box, company)]
        return play(recorder_name, box, cases, programs, home.state, folder)

    def one(recorder_name: str, case: Case | str) -> Played:
        if isinstance(case, str):
            return sandbox(recorder_name, case, WHOLE)
        return sandbox(recorder_name, case.box, case.company(recorder_name))

    return one


@pytest.mark.parametrize("case", table().cases, ids=lambda case: case.name)
@pytest.mark.parametrize("recorder_name", RECORDERS)
def test_case(played: Play, recorder_name: str, case: Case) -> None:
    record = played(recorder_name, case)
    status = record.status[case.name]
    if status == ABSENT and (recorder_name in case.absent or case.since > KERNEL):
        pytest.skip("the call is not there")
    wrong = differences(case, recorder_name, record.processes(case))
    gap = case.gap(recorder_name)
    if gap is not None:
        assert table().gaps[gap] in record.summary.gaps
    if recorder_name in case.gaps:
        assert wrong, f"the gap {gap!r} is closed: take its mark away"
    elif recorder_name in case.loss:
        assert not record.summary.complete, f"the gap {gap!r} is closed: take its mark away"
    elif gap is None:
        assert wrong == []
        assert status == case.status, record.said


@pytest.mark.parametrize("recorder_name", RECORDERS)
def test_a_program_that_enters_a_sandbox(home: Home, tmp_path: Path, recorder_name: str) -> None:
    """Every case of an ordinary user's box, but for those that break the record, in a command that entered."""
    if not make_recorder(recorder_name).available().works:
        pytest.skip(f"{recorder_name} does not work here")
    for place in (tmp_path, *tmp_path.parents):
        if place.owner() == "root" and place.stat().st_mode & 0o001 == 0:
            place.chmod(0o711)
    cases = [case for case in table().cases if (case.box, case.company(recorder_name)) == ("user", WHOLE)]
    record = play(
        recorder_name, "user", cases, build_programs(tmp_path / "programs"), home.state, tmp_path, enters=True
    )
    wrong = {}
    for case in cases:
        absent = record.status[case.name] == ABSENT and (recorder_name in case.absent or case.since > KERNEL)
        if case.gap(recorder_name) is None and not absent:
            found = differences(case, recorder_name, record.processes(case))
            if found or record.status[case.name] != case.status:
                wrong[case.name] = (found, record.status[case.name])
    assert wrong == {}
    assert record.summary.complete, record.summary.reasons


@pytest.mark.parametrize("box", ["user", "root"])
@pytest.mark.parametrize("recorder_name", RECORDERS)
def test_whole_record(played: Play, recorder_name: str, box: str) -> None:
    record = played(recorder_name, box)
    summary, rows = record.summary, record.table.to_pylist()
    assert summary.reasons == ()
    assert (summary.complete, summary.lost, summary.events) == (True, 0, len(rows))
    assert record.table.schema == EVENT_SCHEMA
    record.table.validate(full=True)
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert all(a["ts_ns"] <= b["ts_ns"] for a, b in pairwise(rows) if a["tid"] == b["tid"])
    assert abs(rows[-1]["ts_ns"] - time.monotonic_ns()) < 600_000_000_000
    who = 1000 if box == "user" else 0
    assert {(row["uid"], row["gid"]) for row in rows} == {(who, who)}
    assert not any(row["source"].endswith("/raced") for row in rows)
    assert (rows[0]["op"], rows[0]["path"], rows[0]["argv"][1]) == ("exec", PROGRAM, "all")
    assert (rows[-1]["op"], rows[-1]["pid"]) == ("exit", rows[0]["pid"])
    parents = {row["ret"]: row["pid"] for row in rows if row["op"] == "fork" and row["ret"] > 0}
    assert all(parents[row["pid"]] == row["ppid"] for row in rows if row["op"] == "exec" and row["pid"] in parents)


@pytest.mark.parametrize("recorder_name", RECORDERS)
def test_every_gap_is_shown_by_a_case_or_elsewhere(recorder_name: str) -> None:
    found = make_recorder(recorder_name).available()
    if not found.works:
        pytest.skip(f"{recorder_name} does not work here")
    marked = {table().gaps[gap] for case in table().cases if (gap := case.gap(recorder_name))}
    assert marked <= set(found.gaps)
    assert set(found.gaps) - marked <= table().elsewhere.keys()


def test_the_page_is_current() -> None:
    assert rendered(PAGE.read_text()) == PAGE.read_text(), "run: .venv/bin/python tests/conformance/page.py"


def test_every_operation_has_a_case() -> None:
    assert {case.operation for case in table().cases} - {"any"} == set(OPS)
