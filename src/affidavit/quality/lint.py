"""``affidavit task lint``: checks a task's folder without running anything."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from affidavit.contracts import Contract, contract_for, matcher
from affidavit.grading import computed_only
from affidavit.quality.finding import Part, TaskFinding
from affidavit.quality.loading import loaded_as_code
from affidavit.quality.shell import taken_for_script
from affidavit.redteam import Briefing, brief
from affidavit.tasks import CRLF, Task, has_crlf

_MOST_BYTES = 256 << 10
_NETWORK = re.compile(
    r"^(?!\s*#).*?\b(apt-get|apt|pip3?|uv|uvx|npm|npx|cargo|go|curl|wget|git)\s+"
    r"(?:-\S+\s+)*(install|update|add|get|clone|pip|tool|fetch|https?://\S+|-\S*\s*https?://\S+|-w\b|-p\b)",
    re.MULTILINE,
)
_REWARD = re.compile(r"/logs/verifier|reward\.(?:txt|json)")
_TEMPORARY = re.compile(r"(?:>>?|\btee\s+(?:-a\s+)?)\s*[\"']?(/(?:var/)?tmp/[\w./-]+)")
# Where a shell script writes, as far as it says so plainly.
_SHELL_WRITES = (
    re.compile(r"(?<![<>=&|\d-])>>?\s*[\"']?([\w./-]*[\w-])[\"']?(?=\s|;|$)", re.MULTILINE),
    re.compile(r"\btee\s+(?:-a\s+)?[\"']?([\w./-]*[\w-])"),
    re.compile(r"\bsed\s+-i\S*\s+(?:'[^']*'|\"[^\"]*\"|\S+)\s+[\"']?([\w./-]*[\w-])"),
    re.compile(r"\b(?:cp|mv)\s+(?:-\w+\s+)*\S+\s+[\"']?([\w./-]*[\w-])[\"']?\s*$", re.MULTILINE),
)
_PYTHON_WRITES = (
    re.compile(r"\bopen\(\s*[\"']([^\"'$]+)[\"']\s*,\s*[\"'][wax]"),
    re.compile(r"\bPath\(\s*[\"']([^\"'$]+)[\"']\s*\)\.write_"),
)
# Comments, quoted text and arithmetic: a ">" in them writes nothing.
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_QUOTED = re.compile(r"'[^']*'|\(\([^\n]*?\)\)|\[\[ [^\n]*? \]\]")
_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.(?:py|go|rb)|.*\.(?:test|spec)\.[cm]?[jt]sx?")
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?[^\n]*\n.*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)


def lint_task(task: Task, cached: bool = False) -> tuple[TaskFinding, ...]:
    """What is wrong, or will not do here, by a task's files alone.

    Args:
        task: the one that is checked.
        cached: it has a verifier cache, which answers its tests' downloads.

    Raises:
        ContractError: the contract can't be used.
    """
    contract = contract_for(task)
    found = [*_of_whole(task, contract)]
    for one in task.played:
        of_one = _of_one(one, contract, brief(one), cached)
        found += [replace(it, message=f"step {one.step}: {it.message}") for it in of_one] if one.step else of_one
    return tuple(found)


def _of_whole(task: Task, contract: Contract) -> tuple[TaskFinding, ...]:
    return (
        *(
            TaskFinding("keys", Part.TASK, warning, "remove it, or correct it; docs/task-format.md lists the keys")
            for warning in task.warnings
        ),
        *(TaskFinding("contract", Part.CONTRACT, warning, "fix the contract") for warning in contract.warnings),
    )


def _of_one(task: Task, contract: Contract, briefing: Briefing, cached: bool) -> tuple[TaskFinding, ...]:
    """What is wrong with a step, or with a task that has none."""
    return (
        *_files(task),
        *_line_ends(task),
        *_network(task, contract, cached),
        *_promises(task, contract, briefing),
        *_solution_writes(task, contract),
        *_temporary_files(task),
        *_visible_tests(task, contract),
        *_shell(task),
        *_loading(task),
        *_computed(task),
    )


def _shell(task: Task) -> Iterator[TaskFinding]:
    """Scripts of the tests in which a program's output decides more than it says."""
    for name, text in _texts(task.tests.folder):
        if name.endswith((".sh", ".bash")):
            for line, found, fix in taken_for_script(text):
                yield TaskFinding("shell", Part.GRADER, f"tests/{name}:{line}: takes output for script: {found}", fix)


def _loading(task: Task) -> Iterator[TaskFinding]:
    """Tests in which a library makes more of the solution's data than data."""
    for name, text in _texts(task.tests.folder):
        if name.endswith(".py"):
            for line, found, fix in loaded_as_code(text):
                yield TaskFinding(
                    "loading", Part.GRADER, f"tests/{name}:{line}: may do what the data says: {found}", fix
                )


def _computed(task: Task) -> Iterator[TaskFinding]:
    """Expected values that a solution can compute by itself, since it is kept in the process of its tests."""
    if not any(
        grader.kind == "test_run" and grader.settings.get("separate") is False for grader in task.scoring.graders
    ):
        return
    for name, text in _texts(task.tests.folder):
        for _, line, assertion in computed_only(text) if name.endswith(".py") else ():
            yield TaskFinding(
                "computed",
                Part.GRADER,
                f"tests/{name}:{line}: the solution shares this process and can compute what is expected: "
                f"{' '.join(assertion.split())[:100]}",
                "leave out separate = false, or write the expected value down",
            )


def _files(task: Task) -> Iterator[TaskFinding]:
    if not (task.solution.folder / "solve.sh").is_file():
        yield TaskFinding(
            "files", Part.TASK, "there is no solution/solve.sh", "write one: it shows that the task can be solved"
        )
    if not task.instruction.strip():
        yield TaskFinding(
            "files", Part.TASK, "instruction.md is empty", "write what to do, and where to put the answer"
        )
    tested = any(grader.kind == "test_run" for grader in task.scoring.graders)
    if tested and not any(_REWARD.search(text) for _, text in _texts(task.tests.folder)):
        yield TaskFinding(
            "files",
            Part.GRADER,
            "nothing in tests/ names /logs/verifier or a reward file",
            "let tests/test.sh write a number from 0 to 1 to /logs/verifier/reward.txt",
        )


def _line_ends(task: Task) -> Iterator[TaskFinding]:
    for folder, part in (
        (task.tests.folder, Part.GRADER),
        (task.solution.folder, Part.TASK),
        (task.path / "environment", Part.TASK),
    ):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".sh", ".bash") and path.is_file() and not path.is_symlink() and has_crlf(path):
                what, _, fix = CRLF.partition("; ")
                yield TaskFinding("line ends", part, f"{path.relative_to(folder.parent)} {what}", fix)


def _network(task: Task, contract: Contract, cached: bool) -> Iterator[TaskFinding]:
    """Downloads: the grading sandbox never has a network, the agent's only where the contract says so."""
    mend = "put what it fetches into the root file system"
    for folder, part, allowed, mends in (
        (task.tests.folder, Part.GRADER, cached, f"run affidavit task warm {task.path}, or {mend}"),
        (task.solution.folder, Part.TASK, bool(contract.document.network), mend),
    ):
        for name, text in _texts(folder):
            match = _NETWORK.search(text) if name.endswith((".sh", ".bash")) and not allowed else None
            if match:
                line = text.count("\n", 0, match.start(1)) + 1
                yield TaskFinding(
                    "network",
                    part,
                    f"{folder.name}/{name}:{line}: {match[1]} {match[2]} wants a network, and there is none",
                    mends,
                )


def _promises(task: Task, contract: Contract, briefing: Briefing) -> Iterator[TaskFinding]:
    """Paths that the instruction names, that are not there, and that the contract lets nobody make."""
    root = task.environment.overlay
    if not briefing.knows_start:
        return
    inside = sorted(path for path in briefing.told if path.startswith(f"{task.environment.workdir.rstrip('/')}/"))
    absent = [path for path in inside if path in task.instruction and not (root and (root / path.lstrip("/")).exists())]
    for path in _not_writable(absent, contract):
        yield TaskFinding(
            "promises",
            Part.CONTRACT,
            f"instruction.md names {path}, which is not there, and the contract lets nobody write it",
            "let the contract allow it, put it into environment/root, or do not name it",
        )


def _solution_writes(task: Task, contract: Contract) -> Iterator[TaskFinding]:
    """Files that the solution writes and that the contract forbids."""
    script = task.solution.folder / "solve.sh"
    text = script.read_bytes()[:_MOST_BYTES].decode("utf-8", "replace") if script.is_file() else ""
    # What stands in a here-document is another language's, or text.
    shell = _HEREDOC.sub(lambda match: match[0].partition("\n")[0] + "\n", text)
    shell = _QUOTED.sub("''", _COMMENT.sub("", shell))
    written: list[str] = []
    folder = task.environment.workdir.rstrip("/")
    for line in shell.splitlines():
        if moved := re.match(r"\s*cd\s+[\"']?(/[\w./-]+)[\"']?\s*(?:\|\||&&|;|$)", line):
            folder = moved[1].rstrip("/")
        written += [_absolute(match[1], folder) for pattern in _SHELL_WRITES for match in pattern.finditer(line)]
    written += [_absolute(match[1], folder) for pattern in _PYTHON_WRITES for match in pattern.finditer(text)]
    wanted = [
        path for path in dict.fromkeys(written) if path.startswith("/") and not path.startswith(("/dev/", "/proc/"))
    ]
    for path in _not_writable(wanted, contract):
        yield TaskFinding(
            "solution",
            Part.CONTRACT,
            f"solution/solve.sh writes {path}, which the contract does not allow",
            "let the contract allow it, or let the solution write elsewhere",
        )


def _absolute(path: str, folder: str) -> str:
    if path.startswith("/"):
        return path
    return f"{folder}/{path.removeprefix('./')}" if ".." not in path.split("/") else ""


def _not_writable(paths: list[str], contract: Contract) -> Iterable[str]:
    if not paths:
        return []
    allowed = matcher(contract.write).mask(paths) & ~matcher(contract.deny).mask(paths)
    # A folder counts as writable where what is in it is.
    below = matcher(contract.write).mask([f"{path}/x" for path in paths])
    return [path for path, yes, within in zip(paths, allowed, below, strict=True) if not (yes or within)]


def _temporary_files(task: Task) -> Iterator[TaskFinding]:
    for name, text in _texts(task.tests.folder):
        if name.endswith((".sh", ".bash")) and (match := _TEMPORARY.search(text)):
            line = text.count("\n", 0, match.start(1)) + 1
            yield TaskFinding(
                "scratch",
                Part.GRADER,
                f"tests/{name}:{line}: writes {match[1]}, where a read-only file of the agent's may lie",
                "keep it in /logs/verifier, or use mktemp",
            )


def _visible_tests(task: Task, contract: Contract) -> Iterator[TaskFinding]:
    """Tests of the start state that tests/ runs and that the agent may rewrite: they then say what it likes."""
    root = task.environment.overlay
    base = task.environment.workdir.strip("/")
    folder = root / base if root else None
    if folder is None or not folder.is_dir():
        return
    visible = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if _TEST_FILE.fullmatch(path.name)]
    if not visible:
        return
    open_ = matcher(contract.write).mask([f"/{base}/{name}" for name in visible])
    editable = [name for name, yes in zip(visible, open_, strict=True) if yes]
    for script, text in _texts(task.tests.folder):
        run = [name for name in editable if script.endswith((".sh", ".bash")) and _runs(text, name, base)]
        if run:
            yield TaskFinding(
                "trust",
                Part.CONTRACT,
                f"tests/{script} runs /{base}/{run[0]}{' and others' if run[1:] else ''}, which the agent may rewrite",
                "do not let the contract allow it, or let the tests run a copy of their own",
            )


def _runs(text: str, name: str, base: str) -> bool:
    """Whether a script names a file, or a folder that it is in."""
    names = [name, *(str(parent) for parent in Path(name).parents if str(parent) != ".")]
    return any(
        re.search(rf"(?<![\w/.-])(?:/{re.escape(base)}/)?{re.escape(one)}/?(?=[\s\"'<>|;&)]|$)", text) for one in names
    )


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_BYTES:
            data = path.read_bytes()
            if b"\0" not in data:
                yield str(path.relative_to(folder)), data.decode("utf-8", "replace")
