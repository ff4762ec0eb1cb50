"""The execution_trace grader: what the record shows, and claims that it does not bear out."""

import pyarrow as pa
import pytest

from affidavit.events import EVENT_SCHEMA
from affidavit.grading import make_graders
from affidavit.grading.execution_trace.claims import read_claim
from affidavit.grading.execution_trace.evidence import Record, claimed
from affidavit.grading.execution_trace.processes import RecordedProcesses
from affidavit.grading.execution_trace.settings import Program
from affidavit.tasks import GraderSpec
from material import material

SH, GCC, CC1, PYTHON, TRUE = (
    "/usr/bin/dash",
    "/usr/bin/gcc-12",
    "/usr/libexec/gcc/cc1",
    "/usr/bin/python3.11",
    "/usr/bin/true",
)
ANSWER, INPUT = "/workspace/answer.txt", "/workspace/input.csv"


def execute(pid, exe, *argv, **more):
    return {"op": "exec", "pid": pid, "path": exe, "exe": exe, "argv": [exe.rpartition("/")[2], *argv], **more}


def fork(pid, child):
    return {"op": "fork", "pid": pid, "ret": child, "flags": child}


def leave(pid, code=0, signal=0):
    return {"op": "exit", "pid": pid, "ret": code, "flags": signal}


def reads(pid, path, ret=3):
    return {"op": "open_read", "pid": pid, "path": path, "ret": ret}


def writes(pid, path, ret=3, op="create"):
    return {"op": op, "pid": pid, "path": path, "ret": ret}


def moves(pid, old, new):
    return {"op": "rename", "pid": pid, "path": old, "path2": new, "ret": 0}


def links(pid, old, new):
    return {"op": "link", "pid": pid, "path": old, "path2": new, "ret": 0}


def record(*rows):
    blank = {field.name: None if field.nullable else 0 for field in EVENT_SCHEMA}
    full = [
        {**blank, "source": "ebpf/kernel", "seq": seq, "ts_ns": seq, "tid": row["pid"], **row}
        for seq, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=EVENT_SCHEMA)


@pytest.fixture
def grade(tmp_path):
    def made(check, *rows, files=None):
        (named,) = make_graders([GraderSpec("execution_trace", "trace", settings={"checks": [check]})])
        return named.grade(material(tmp_path / "made", files=files or {}, record=lambda: record(*rows)))

    return made


COMPILED = {
    "type": "ran",
    "program": {"exe": ["/usr/bin/gcc*"], "reads": ["/workspace/*.c"], "writes": ["/workspace/app"], "exit_code": 0},
}
START = (execute(1, SH, "-c", "make"), fork(1, 2), execute(2, GCC, "-o", "app", "main.c"))


def test_a_compiler_that_compiled_is_shown_with_its_events(grade):
    rows = (
        *START,
        fork(2, 3),
        execute(3, CC1),
        reads(3, "/workspace/main.c"),
        leave(3),
        writes(2, "/workspace/app"),
        leave(2),
    )
    told = grade(COMPILED, *rows)
    assert told.score == 1
    assert told.evidence.events == (2,)


@pytest.mark.parametrize(
    "rows",
    [
        # It was only called, as with --version.
        [*START, leave(2)],
        # It failed.
        [*START, reads(2, "/workspace/main.c"), writes(2, "/workspace/app"), leave(2, 1)],
        [*START, reads(2, "/workspace/main.c"), writes(2, "/workspace/app"), leave(2, 0, 9)],
        # It could not open its source.
        [*START, reads(2, "/workspace/main.c", -2), writes(2, "/workspace/app"), leave(2)],
        # Something else wrote the program, before or after.
        [*START, reads(2, "/workspace/main.c"), writes(1, "/workspace/app"), leave(2)],
        [writes(2, "/workspace/app"), *START, reads(2, "/workspace/main.c"), leave(2)],
        # A program of the same name elsewhere, and one that only calls itself so.
        [execute(2, "/workspace/gcc", "main.c"), reads(2, "/workspace/main.c"), writes(2, "/workspace/app"), leave(2)],
        [
            {**execute(2, TRUE), "argv": ["/usr/bin/gcc"]},
            reads(2, "/workspace/main.c"),
            writes(2, "/workspace/app"),
            leave(2),
        ],
        # Two runs of which each did a part.
        [
            *START,
            reads(2, "/workspace/main.c"),
            leave(2),
            fork(1, 3),
            execute(3, GCC),
            writes(3, "/workspace/app"),
            leave(3),
        ],
        # The call itself failed.
        [execute(2, GCC, ret=-2), reads(2, "/workspace/main.c"), writes(2, "/workspace/app"), leave(2)],
        [],
    ],
)
def test_a_claim_without_the_work_scores_nothing(grade, rows):
    assert grade(COMPILED, *rows).score == 0


def test_a_pid_that_is_used_again_is_another_process(grade):
    rows = (
        *START,
        leave(2),
        fork(1, 2),
        execute(2, SH),
        reads(2, "/workspace/main.c"),
        writes(2, "/workspace/app"),
        leave(2),
    )
    assert grade(COMPILED, *rows).score == 0


def test_words_of_the_command_line_are_held_from_the_first_on(grade):
    check = {"type": "ran", "program": {"exe": ["/usr/bin/python3*"], "argv": ["-m", "pytest"]}, "min": 1, "max": 1}
    assert grade(check, execute(1, PYTHON, "-m", "pytest", "-q")).score == 1
    assert RecordedProcesses(record(execute(1, PYTHON))).processes[0].executions[0].exe == PYTHON


@pytest.mark.parametrize("argv", [("-c", "pass", "-m", "pytest"), ("-m",), ()])
def test_words_elsewhere_do_not_count(grade, argv):
    assert (
        grade({"type": "ran", "program": {"exe": [PYTHON], "argv": ["-m", "pytest"]}}, execute(1, PYTHON, *argv)).score
        == 0
    )


WRITTEN = {
    "type": "written",
    "path": ANSWER,
    "by": {"exe": ["/usr/bin/python3*"], "argv": ["*solve.py"]},
    "after_reading": ["/workspace/*.csv"],
}
SOLVE = (execute(1, SH, "-c", "x"), fork(1, 2), execute(2, PYTHON, "solve.py"))


@pytest.mark.parametrize(
    "rows",
    [
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), leave(2)],
        [
            *SOLVE,
            fork(2, 3),
            reads(3, INPUT),
            leave(3),
            fork(2, 4),
            execute(4, SH),
            writes(4, ANSWER),
            leave(4),
            leave(2),
        ],
        # Written under another name and moved, by whom ever.
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER + ".tmp"), leave(2), moves(1, ANSWER + ".tmp", ANSWER)],
        # With a second name that nothing was written by.
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), links(1, ANSWER, "/workspace/kept")],
        [*SOLVE, reads(2, INPUT), writes(2, "/tmp/x"), links(2, "/tmp/x", ANSWER), moves(1, "/tmp/a", "/tmp/b")],
        # An earlier try of something else that has ended since.
        [execute(1, SH), fork(1, 9), writes(9, ANSWER), leave(9), *SOLVE[1:], reads(2, INPUT), writes(2, ANSWER)],
        # An earlier try whose file was removed.
        [
            execute(1, SH),
            writes(1, ANSWER),
            {"op": "unlink", "pid": 1, "path": ANSWER},
            *SOLVE[1:],
            reads(2, INPUT),
            writes(2, ANSWER),
        ],
    ],
)
def test_a_file_that_the_program_wrote(grade, rows):
    told = grade(WRITTEN, *rows)
    assert (told.score, len(told.evidence.events)) == (1.0, 2), told.components


@pytest.mark.parametrize(
    "rows",
    [
        # Written by the shell, before, after and instead.
        [*SOLVE, reads(2, INPUT), leave(2), writes(1, ANSWER)],
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), leave(2), writes(1, ANSWER, op="truncate")],
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), leave(2), writes(1, "/tmp/x"), moves(1, "/tmp/x", ANSWER)],
        # The shell opened it first and kept it open.
        [SOLVE[0], writes(1, ANSWER), *SOLVE[1:], reads(2, INPUT), writes(2, ANSWER), leave(2)],
        [SOLVE[0], fork(1, 8), writes(8, ANSWER), fork(8, 9), leave(8), *SOLVE[1:], reads(2, INPUT), writes(2, ANSWER)],
        # The input was read too late, by another, or in vain.
        [*SOLVE, writes(2, ANSWER), reads(2, INPUT), leave(2)],
        [*SOLVE, reads(1, INPUT), writes(2, ANSWER), leave(2)],
        [*SOLVE, reads(2, INPUT, -13), writes(2, ANSWER), leave(2)],
        # By a hard link, made after the program wrote or before, or to what was then moved.
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), links(1, ANSWER, "/tmp/x"), writes(1, "/tmp/x", op="open_write")],
        [
            *SOLVE,
            reads(2, INPUT),
            writes(2, "/tmp/x"),
            links(1, "/tmp/x", ANSWER),
            leave(2),
            writes(1, "/tmp/x", op="open_write"),
        ],
        [
            *SOLVE,
            reads(2, INPUT),
            writes(2, "/tmp/x"),
            leave(2),
            links(1, "/tmp/x", "/tmp/y"),
            moves(1, "/tmp/x", ANSWER),
            writes(1, "/tmp/y", op="open_write"),
        ],
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), *[links(1, ANSWER, f"/tmp/{n}") for n in range(101)]],
        # By another folder in the place of the one that it wrote into.
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), moves(1, "/workspace", "/old"), moves(1, "/tmp/x", "/workspace")],
        # By changing places with another file (renameat2) before the move to the answer's name.
        [
            *SOLVE,
            reads(2, INPUT),
            writes(2, "/tmp/x"),
            leave(2),
            moves(1, "/tmp/x", "/tmp/fake"),
            moves(1, "/tmp/x", ANSWER),
        ],
        # Another script.
        [SOLVE[0], SOLVE[1], execute(2, PYTHON, "-c", "solve.py"), reads(2, INPUT), writes(2, ANSWER)],
        # Gone again, or never there.
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER), {"op": "unlink", "pid": 2, "path": ANSWER}],
        [*SOLVE, reads(2, INPUT), writes(2, ANSWER, -13)],
        [],
    ],
)
def test_a_file_that_something_else_may_have_written(grade, rows):
    assert grade(WRITTEN, *rows).score == 0


def test_renames_in_a_circle_come_to_an_end(grade):
    rows = [writes(1, ANSWER)] + [
        move for _ in range(300) for move in (moves(1, ANSWER, "/tmp/x"), moves(1, "/tmp/x", ANSWER))
    ]
    told = grade(WRITTEN, *rows)
    assert (told.score, told.error) == (0.0, None)


CLAIM = {
    "type": "claim",
    "answer": "/workspace/report.json",
    "at": "/runs",
    "program": {"exe": [PYTHON], "argv": ["-m", "pytest"]},
}


@pytest.mark.parametrize(
    ("said", "number"),
    [("2", 2), ('"2"', 2), ("2.0", 2), ("0", None), ("-1", None), ("1e999", None), ("true", None), ("1.5", None),
     ('"two"', None), ("NaN", None), ("[2]", None), ("9" * 5000, None)],
)  # fmt: skip
def test_a_claim_is_a_count(said, number):
    assert read_claim(f'{{"runs": {said}}}'.encode(), "/runs") == number


@pytest.mark.parametrize(("number", "wanted"), [(1, 1), (2, 1), (3, 0)])
def test_claimed_runs_are_believed_as_far_as_the_record_goes(number, wanted):
    run = execute(2, PYTHON, "-m", "pytest")
    rows = record(execute(1, SH), fork(1, 2), run, leave(2), fork(1, 2), run, leave(2), fork(1, 3), execute(3, PYTHON))
    assert claimed(number, Program(exe=(PYTHON,), argv=("-m", "pytest")), Record(rows)).score == wanted


def test_a_claim_in_the_agents_file(grade):
    rows = (execute(1, SH), fork(1, 2), execute(2, PYTHON, "-m", "pytest"))
    assert grade(CLAIM, *rows, files={"/workspace/report.json": '{"runs": 1}'}).score == 1


def test_a_claim_of_nothing_scores_nothing(grade):
    assert grade(CLAIM, execute(1, PYTHON, "-m", "pytest")).score == 0
    assert read_claim(b"7", None) == 7
    assert read_claim("７".encode(), None) is None


def test_order(grade):
    check = {"type": "order", "first": {"exe": [GCC]}, "then": {"exe": [PYTHON]}}
    assert grade(check, *START, leave(2), fork(1, 3), execute(3, PYTHON)).score == 1


def test_what_runs_at_the_same_time_has_no_order(grade):
    check = {"type": "order", "first": {"exe": [GCC]}, "then": {"exe": [PYTHON]}}
    assert grade(check, *START, fork(1, 3), execute(3, PYTHON), leave(2)).score == 0


SHOWN = (
    "SELECT count(*) = 1 FROM events JOIN processes USING (pid) WHERE op = 'create' AND processes.exe LIKE '%python%'"
)


@pytest.mark.parametrize(
    ("query", "score", "error"),
    [
        (SHOWN, 1.0, None),
        ("SELECT 0.5", 0.5, None),
        ("SELECT NULL", 0.0, None),
        ("SELECT 2", None, "from 0 to 1"),
        ("SELECT 'nan'::DOUBLE", None, "from 0 to 1"),
        ("SELECT 1, 1", None, "one row"),
        ("DROP TABLE events", None, "SELECT"),
        ("SELECT * FROM read_text('/etc/passwd')", None, "failed"),
        ("SELEKT", None, "failed"),
    ],
)
def test_a_query_of_the_tasks_own(grade, query, score, error):
    told = grade({"type": "sql", "query": query}, *SOLVE, writes(2, ANSWER))
    assert told.score == score
    assert (error is None) == (told.error is None)
    assert error is None or error in told.error


def test_a_long_line_of_processes_takes_no_long_time(grade):
    rows = [execute(1, PYTHON, "solve.py")]
    for pid in range(1, 20_000):
        rows.append(fork(pid, pid + 1))
    rows += [writes(20_000, ANSWER)] * 2000
    assert grade(WRITTEN, *rows).score == 0
