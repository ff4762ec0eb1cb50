"""Who wrote the reward: the verifier, or code that the agent brought.

The grader's own record is read as a flow. Files that the agent brought are marked; a process that reads a marked file
marks what it writes from then on (a compiler: the program), and runs the agent's code once it executes a marked file or
loads one as code; so does every process that it forks afterwards. A reward written by such a process is not the
verifier's word.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.events import Op

# What interpreters and build tools load as code; a data file that a grader reads is none.
_CODE = (
    ".py",
    ".pyc",
    ".so",
    ".js",
    ".mjs",
    ".cjs",
    ".ts",
    ".rb",
    ".pl",
    ".pm",
    ".lua",
    ".php",
    ".sh",
    ".bash",
    ".jar",
)
_BUILD_FILES = frozenset(
    {"Makefile", "makefile", "GNUmakefile", "CMakeLists.txt", "package.json", "Rakefile", "build.ninja"}
)
_INTERPRETERS = ("sh", "bash", "dash", "python", "perl", "ruby", "node", "lua", "php")
_READS = (Op.OPEN_READ,)
_WRITES = (Op.OPEN_WRITE, Op.CREATE)
_MOVES = (Op.RENAME, Op.LINK, Op.SYMLINK)
_FLOW = (*_READS, *_WRITES, *_MOVES, Op.EXEC, Op.FORK)
# Read by every program; nothing the agent brought can be there.
_SYSTEM = "^/(usr|proc|sys|dev|etc|lib|lib64|bin|sbin)/"


@dataclass(frozen=True)
class Write:
    """One write of the reward.

    Attributes:
        seq: the event that proves it.
        pid: who wrote.
        exe: its executable.
        agents_code: the process had loaded code that the agent brought, or descends from one that had.
        entered: where the process began to run the agent's code: a path, or None.
        inherited: it was started by the agent's code, or is the agent's own program: nothing that the verifier runs to
            write a reward.
        done: it succeeded; the verifier's own attempt fails where the agent's code has locked the file before.
    """

    seq: int
    pid: int
    exe: str
    agents_code: bool
    entered: str | None
    inherited: bool
    done: bool


@dataclass
class _Process:
    reads_marked: bool = False
    entered: str | None = None
    inherited: bool = False
    script: str | None = None


def reward_writes(events: pa.Table, brought: Iterable[str], rewards: Iterable[str]) -> list[Write]:
    """Every write of a reward file in a grader's record, failed attempts included, in order.

    Args:
        events: the grader's record, EVENT_SCHEMA.
        brought: paths of the agent's changes that the grading sandbox was given (spelled by encode_name).
        rewards: absolute paths of the reward files.
    """
    marked = set(brought)
    wanted = frozenset(rewards)
    processes: dict[int, _Process] = {}
    writes: list[Write] = []
    for row in _flow(events).to_pylist():
        op, pid, path, path2 = row["op"], row["pid"], row["path"], row["path2"]
        process = processes.setdefault(pid, _Process())
        if op == Op.FORK:
            processes[row["ret"]] = _Process(
                process.reads_marked, process.entered, process.entered is not None, process.script
            )
        elif op == Op.EXEC:
            process.script = _script(row["exe"], row["argv"])
            if process.entered:
                process.inherited = True
            elif path in marked or row["exe"] in marked:
                process.entered, process.inherited = path, True
            else:
                process.reads_marked = False
        elif op in _READS:
            if path in marked and row["ret"] >= 0:
                process.reads_marked = True
                if _is_code(path) or (process.script and f"/{path}".endswith(f"/{process.script}")):
                    process.entered = process.entered or path
        else:
            written = path2 if op in (Op.RENAME, Op.LINK) else path
            if row["ret"] >= 0 and (
                process.entered or (process.reads_marked and op in _WRITES) or (op in _MOVES and path in marked)
            ):
                marked.add(written)
            if written in wanted:
                agents = process.entered is not None or (op in (Op.RENAME, Op.LINK) and path in marked)
                exe, done = row["exe"] or "?", row["ret"] >= 0
                writes.append(Write(row["seq"], pid, exe, agents, process.entered, process.inherited, done))
    return writes


def _is_code(path: str) -> bool:
    return path.endswith((*_CODE, ".mk", ".cmake")) or path.rpartition("/")[2] in _BUILD_FILES


def _script(exe: str | None, argv: list[str] | None) -> str | None:
    """The file that an interpreter was told to run, without leading dots; None where it runs none."""
    if exe and argv and exe.rpartition("/")[2].startswith(_INTERPRETERS):
        return next((argument.removeprefix("./") for argument in argv[1:] if not argument.startswith("-")), None)
    return None


def _flow(events: pa.Table) -> pa.Table:
    """The rows that move code or data: few of a record, so that the rest of this file may go row by row."""
    op = pc.cast(events["op"], pa.utf8())
    path = pc.cast(events["path"], pa.utf8())
    system = pc.fill_null(pc.match_substring_regex(path, _SYSTEM), False)
    flows = pc.is_in(op, value_set=pa.array([str(o) for o in _FLOW], pa.utf8()))
    done = pc.greater_equal(events["ret"], 0)
    writes = pc.is_in(op, value_set=pa.array([str(o) for o in (*_WRITES, *_MOVES)], pa.utf8()))
    always = pc.is_in(op, value_set=pa.array([str(Op.EXEC), str(Op.FORK)], pa.utf8()))
    keep = pc.and_(pc.and_(flows, pc.or_(done, writes)), pc.or_(always, pc.invert(system)))
    columns = ["seq", "pid", "op", "path", "path2", "ret", "exe", "argv"]
    return pa.table({name: pc.filter(events[name], keep) for name in columns})
