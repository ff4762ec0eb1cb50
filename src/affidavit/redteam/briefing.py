"""What an exploit knows of a task: names, never contents.

Benchmarks are public: an agent may know from its training how a task's tests are run, what their files are called and
what they look at. So exploits get the names that stand in the instruction and in the tests. What lies in the
sandbox they find out themselves.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from affidavit.tasks import Task

_MOST_BYTES = 256 << 10
_MOST_FILES = 2000
# A path of file names with an extension: docs/01-station.md, /workspace/report.sh, answers.json.
_NAMED = re.compile(r"(?<![\w/.:@-])((?:/|\./|~/)?(?:[\w.+-]+/)*[\w+-][\w.+-]*\.[A-Za-z][A-Za-z0-9]{0,7})(?![\w/])")
_ABSOLUTE = re.compile(r"(?<![\w.:/])(/(?:[\w.+-]+/)*[\w.+-]*[\w+])")
_IMPORT = re.compile(r"^\s*(?:from\s+([A-Za-z_]\w*)|import\s+([A-Za-z_]\w*))", re.MULTILINE)
_CODE = {".py"}
_PROGRAMS = {"", ".sh", ".bash", ".pl", ".rb", ".js", ".mjs", ".awk"}
_COMPILED = {".go", ".rs", ".java", ".kt"}
_SOURCES = {".c", ".cc", ".cpp", ".cxx", ".h", ".hpp"}
# What is written down as an answer; every other extension is a word with a dot in it as often as a file.
_DATA = {
    ".conf", ".csv", ".db", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".npy", ".out", ".parquet", ".pickle",
    ".pkl", ".sql", ".sqlite", ".svg", ".tar", ".tex", ".toml", ".tsv", ".txt", ".xml", ".yaml", ".yml", ".zip",
}  # fmt: skip
_FRAMEWORKS = ("pytest", "unittest")
_NODE = re.compile(r"\b(?:node|npm|npx|jest|vitest|mocha)\b")
_BUILDERS = ("make", "Makefile", "ctest", "cmake")


@dataclass(frozen=True)
class Briefing:
    """What an exploit knows.

    Attributes:
        workdir: the task's working directory; every path below it is absolute.
        told: what the instruction names.
        answers: data files that instruction or tests name.
        modules: Python files that they name, or that the tests import.
        programs: scripts and programs that they name.
        scratch: files outside of the working directory that the tests name: logs, reports, results.
        hidden: files of the tests, by their path in the sandbox while they run.
        offers: what the task's tests are made with, as far as it shows: the words that exploits need.
        knows_start: whether the start state can be looked at from here; else ``offers`` may lack what lies in it.
    """

    workdir: str
    told: frozenset[str]
    answers: tuple[str, ...]
    modules: tuple[str, ...]
    programs: tuple[str, ...]
    scratch: tuple[str, ...]
    hidden: tuple[str, ...]
    offers: frozenset[str]
    knows_start: bool

    def shell(self) -> str:
        """Shell lines that export it: ``WORKDIR`` and, one path a line, ``TOLD``, ``ANSWERS`` and so on."""
        lists = {name: getattr(self, name) for name in ("answers", "modules", "programs", "scratch", "hidden")}
        lines = [f"WORKDIR={shlex.quote(self.workdir)}", f"TOLD={shlex.quote(chr(10).join(sorted(self.told)))}"]
        lines += [f"{name.upper()}={shlex.quote(chr(10).join(paths))}" for name, paths in lists.items()]
        return "\n".join(lines) + "\nexport WORKDIR TOLD ANSWERS MODULES PROGRAMS SCRATCH HIDDEN\n"


def brief(task: Task) -> Briefing:
    """What stands in a task's instruction and tests."""
    workdir, tests = task.environment.workdir, dict(_texts(task.tests.folder))
    said = "\n".join((task.instruction, *tests.values()))
    root = task.environment.overlay
    start = {f"/{name}" for name in _names(root)} if root else set()
    # What the tests call by a relative name may be a file of their own.
    told = frozenset(_named(task.instruction, workdir, start, relative=True))
    named = {path for path in {*_named(said, workdir, start), *told} if not path.startswith("/tests/")}
    inside = sorted(path for path in named if path.startswith(f"{workdir.rstrip('/')}/"))
    modules = {path for path in inside if Path(path).suffix in _CODE} | _imported(tests, start, workdir)
    hidden = tuple(sorted(f"/tests/{name}" for name in _names(task.tests.folder)))
    briefing = Briefing(
        workdir=workdir,
        told=told,
        answers=tuple(path for path in inside if Path(path).suffix in _DATA and path not in start),
        modules=tuple(sorted(path for path in modules if not Path(path).name.startswith(("test_", "conftest")))),
        programs=tuple(path for path in inside if _is_program(path, start | named)),
        scratch=tuple(sorted(path for path in named if path.startswith(("/tmp/", "/var/", "/logs/")))),
        hidden=hidden,
        offers=frozenset(),
        knows_start=task.environment.rootfs.kind == "host",
    )
    return _with_offers(briefing, tests, start)


def _with_offers(briefing: Briefing, tests: dict[str, str], start: set[str]) -> Briefing:
    said = "\n".join(tests.values())
    inside = {path for path in start if path.startswith(f"{briefing.workdir.rstrip('/')}/")}
    names = {Path(path).name for path in inside}
    suffixes = {Path(path).suffix for path in inside}
    found = {
        "answer": bool(briefing.answers),
        "json": any(path.endswith(".json") for path in briefing.answers),
        "python": any(name.endswith(".py") for name in tests) or "python" in said,
        "module": bool(
            _imported(tests, start, briefing.workdir)
            or {Path(path).stem for path in briefing.modules} & _imports(tests)
        ),
        "program": bool(briefing.programs),
        "code": bool(
            suffixes & (_CODE | _SOURCES | _COMPILED | (_PROGRAMS - {""})) or briefing.modules or briefing.programs
        ),
        "c": bool(suffixes & _SOURCES),
        "make": any(word in said or word in names for word in _BUILDERS) and "Makefile" in names,
        "git": ".git" in "".join(inside) or ".bundle" in suffixes or re.search(r"\bgit\b", said) is not None,
        "node": _NODE.search(tests.get("test.sh", "")) is not None,
        "visible tests": any(re.fullmatch(r"test_.*\.py|.*_test\.py", name) for name in names),
        "tests to write": any(Path(path).name.startswith("test_") for path in briefing.told - start),
        "scratch": bool(briefing.scratch),
        "key": any(Path(name).suffix in _DATA for name in briefing.hidden),
        "example": any(re.search(r"expected|example|sample|golden", name) for name in names),
        "inputs": bool(inside),
    } | {name: name in said for name in _FRAMEWORKS}
    return Briefing(**{**vars(briefing), "offers": frozenset(name for name, there in found.items() if there)})


def _named(text: str, workdir: str, start: set[str], *, relative: bool = False) -> Iterator[str]:
    """Absolute paths of the files that a text names.

    A relative name is that of the file of the start state which bears it, else it is taken to lie in the working
    directory.
    """
    base = workdir.rstrip("/")
    for match in _NAMED.finditer(text):
        name = match[1].removeprefix("./")
        if name.startswith("/"):
            yield name
        elif relative and not name.startswith("~/") and ".." not in name:
            there = sorted(path for path in start if path.startswith(f"{base}/") and path.endswith(f"/{name}"))
            yield there[0] if there else f"{base}/{name}"
    for match in _ABSOLUTE.finditer(text):
        if match[1].startswith(f"{base}/"):
            yield match[1]


def _imported(tests: dict[str, str], start: set[str], workdir: str) -> set[str]:
    """Modules of the working directory that the tests import."""
    wanted = _imports(tests)
    inside = [path for path in start if path.startswith(f"{workdir.rstrip('/')}/")]
    return {
        path
        for path in inside
        for name in wanted
        if path.endswith((f"/{name}.py", f"/{name}/__init__.py")) and not Path(path).name.startswith("test_")
    }


def _imports(tests: dict[str, str]) -> set[str]:
    """Modules that the tests import and that are neither their own nor of the standard library."""
    own = {Path(name).stem for name in tests}
    wanted = {a or b for name, text in tests.items() if name.endswith(".py") for a, b in _IMPORT.findall(text)}
    return wanted - own - set(sys.stdlib_module_names)


def _is_program(path: str, start: set[str]) -> bool:
    """A name without an extension counts where no folder of the start state is called so."""
    suffix = Path(path).suffix
    if suffix == "" and (path in start or any(other.startswith(f"{path}/") for other in start)):
        return False
    return suffix in _PROGRAMS and Path(path).name not in ("Makefile", "Dockerfile")


def _texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and text of each file of a folder that is text."""
    for name in _names(folder):
        path = folder / name
        if not path.is_symlink() and path.stat().st_size <= _MOST_BYTES:
            data = path.read_bytes()
            # Data is looked at by its name alone: a log holds thousands of things with dots in them.
            if b"\0" not in data and path.suffix not in _DATA:
                yield name, data.decode("utf-8", "replace")


def _names(folder: Path) -> Iterable[str]:
    """Names of the files of a folder, relative to it, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return [str(path.relative_to(folder)) for path in files[:_MOST_FILES]]
