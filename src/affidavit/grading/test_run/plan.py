"""Which hidden tests must report, and the files that the grading sandbox gets."""

import compileall
import functools
import hashlib
import json
import py_compile
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Literal

from affidavit.grading.mutation import Draw, Wanted, computed_tests, mutate_tests
from affidavit.grading.reward import WORDS_FILE
from affidavit.grading.settings import read_settings
from affidavit.grading.test_run.names import UnclearNames, pytest_names, script_names, unittest_names
from affidavit.grading.test_run.settings import REPORTED, RUN_HERE, SEPARABLE, TestRunSettings
from affidavit.tasks import GraderSpec, Task

HARNESS = "/run/affidavit"
"""Where the harness lies in a grading sandbox."""

TESTS = "/tests"
VERIFIER_LOGS = "/logs/verifier"

_SOURCES = Path(__file__).with_name("harness")
_INSIDE = Path(__file__).parents[1] / "separation" / "inside"
_SEPARATE = f"{HARNESS}/separation"
BROKER_IMPORTS = (
    "ctypes", "datetime", "decimal", "fractions", "json", "pathlib", "selectors", "socket", "subprocess", "uuid",
)  # fmt: skip
_PYTEST_IMPORTS = ("pytest", "_pytest.*")
_PYTHON = ("python3", "-s")
_MOST_EXPECTED_BYTES = 1 << 20
# Either is won once in 256: four lots of 1 in 4, or eight of 1 in 2.
_ROUNDS, _COINS = 4, 8


@dataclass(frozen=True)
class Turned:
    """What was made wrong in a copy of the tests.

    Attributes:
        names: the expected tests that must fail now.
        edits: how many edits were made.
    """

    names: tuple[str, ...]
    edits: int


@dataclass(frozen=True)
class VerifierPlan:
    """The hidden tests of a task, planned.

    Attributes:
        settings: the grader's.
        expected: names of the tests that must report, in order; none with the framework ``reward``.
        workdir: the task's.
    """

    settings: TestRunSettings
    expected: tuple[str, ...]
    workdir: str

    @property
    def argv(self) -> tuple[str, ...]:
        """The verifier's command."""
        if self.settings.framework in RUN_HERE:
            return "/bin/sh", "-c", f"exec python3 -I -S {HARNESS}/runner.py {HARNESS}/plan.json"
        # A script without an interpreter line is run by this shell itself.
        return "/bin/sh", "-c", f"exec {TESTS}/test.sh"

    @property
    def separable(self) -> bool:
        """Whether it makes sense to try the tests in another sandbox than the solution."""
        return self.settings.separate is not False and self.settings.framework in SEPARABLE

    @property
    def separate_argv(self) -> tuple[str, ...]:
        """The verifier's command in the tests' sandbox, where the solution has one of its own."""
        broker = f"exec python3 -I -S {_SEPARATE}/tests_broker.py"
        if self.settings.framework in RUN_HERE:
            runner = f"python3 -I -S {HARNESS}/runner.py {HARNESS}/plan.json --below"
            return "/bin/sh", "-c", f"{broker} -- {runner}"
        return "/bin/sh", "-c", f"{broker} -- /bin/sh -c 'exec {TESTS}/test.sh'"

    @property
    def separate_env(self) -> dict[str, str]:
        """What the tests' sandbox has in its environment then, beside the task's own."""
        return {
            "AFFIDAVIT_WORKDIR": self.workdir,
            "AFFIDAVIT_TESTS_DIR": TESTS,
            "AFFIDAVIT_WORDS": f"{VERIFIER_LOGS}/{WORDS_FILE}",
            # A shell or a build tool might run what it reads; a Python test's process refuses to.
            "AFFIDAVIT_SOURCES": "1" if self._in_python else "0",
        }

    @property
    def solution_argv(self) -> tuple[str, ...]:
        """The command of the solution's sandbox."""
        # Each of these tests asks for an interpreter of its own.
        ahead = " --python" if self._in_python else ""
        return "/bin/sh", "-c", f"exec python3 -I -S {_SEPARATE}/solution_server.py{ahead}"

    @property
    def solution_imports(self) -> tuple[str, ...]:
        """What Python begins with in the solution's sandbox, as `SandboxSpec.imports` has it."""
        return BROKER_IMPORTS

    def imports(self, tests: Path, *, separate: bool) -> tuple[str, ...]:
        """What Python begins with in the verifier's sandbox, as `SandboxSpec.imports` has it: nothing, where it is not
        known to begin with Python.

        Args:
            tests: the folder of the tests.
            separate: whether the solution has a sandbox of its own.
        """
        framework = self.settings.framework
        runs_pytest = framework == "pytest" or (framework not in RUN_HERE and _names_pytest(tests / "test.sh"))
        first = BROKER_IMPORTS if separate or framework in RUN_HERE else ()
        return (*first, *(_PYTEST_IMPORTS if runs_pytest else ()))

    @property
    def solution_env(self) -> dict[str, str]:
        """What the solution's sandbox has in its environment, beside the task's own."""
        return {"AFFIDAVIT_WORKDIR": self.workdir}

    def write_solution_harness(self, folder: Path) -> Path:
        """Make the folder that appears at HARNESS in the solution's sandbox: nothing of the tests is in it.

        Args:
            folder: does not exist.

        Raises:
            OSError: it can't be made.
        """
        folder.mkdir()
        return _readable(self._with_inside(folder))

    @property
    def rounds(self) -> int:
        """How many times tests that load the agent's code are run before a score is believed.

        Such code may draw lots whether to decide its result or to behave, and is paid where it decides in every grading
        and behaves in every control: at best once in 4 for each round. Where right and wrong tests are mixed, that
        holds for each test, or once in 2 for one lot that is drawn for all of them.
        """
        if self.settings.rounds is not None:
            return self.settings.rounds
        if not self.mixes:
            return _ROUNDS
        needed = min(_ROUNDS, -(-_COINS // len(self.expected)))
        # Lots for each test leave a few that win, where each of them counts.
        return needed if self.settings.credit == "all" else max(needed, 2 if len(self.expected) >= _COINS else 3)

    @property
    def rounds_for(self) -> Literal["any", "loaded"]:
        """For which results that holds: for any, or for those of tests whose interpreter loaded the agent's code. A
        report's tests are compiled with it as often as not, and so are those that only the task can make wrong."""
        framework = self.settings.framework
        return "any" if framework in REPORTED or (framework == "reward" and self.settings.turn) else "loaded"

    def only(self, names: Sequence[str]) -> "VerifierPlan":
        """The same for these tests alone, where each is run by itself."""
        return replace(self, expected=tuple(names)) if self.settings.framework in RUN_HERE else self

    def write_harness(self, folder: Path, *, separate: bool = False) -> Path | None:
        """Make the folder that appears at HARNESS in the sandbox; None where there is to be none.

        Args:
            folder: does not exist.
            separate: with what joins two sandboxes.

        Raises:
            OSError: it can't be made.
        """
        if self.settings.framework not in RUN_HERE and not separate:
            return None
        _copy_compiled(_SOURCES, folder)
        if separate:
            self._with_inside(folder)
        (folder / "plan.json").write_text(self._plan_json())
        return _readable(folder)

    def _with_inside(self, folder: Path) -> Path:
        _copy_compiled(_INSIDE, folder / "separation")
        return folder

    def _plan_json(self) -> str:
        """What the harness reads of the plan."""
        framework = self.settings.framework
        argv, template = [f"{TESTS}/{{name}}"], None
        if framework != "script":
            argv = [*_PYTHON, f"{HARNESS}/{framework}_test.py", "{name}", "{fd}", f"{HARNESS}/plan.json"]
            template = [*_PYTHON, f"{HARNESS}/template.py", framework, "{fd}", f"{HARNESS}/plan.json"]
        return json.dumps(
            {
                "tests": self.expected,
                "argv": argv,
                "template": template,
                "timeout_s": self.settings.test_timeout_sec,
                "tests_dir": TESTS,
                "pythonpath": self._pythonpath(),
            }
        )

    def _pythonpath(self) -> Sequence[str]:
        if self.settings.pythonpath is not None:
            return self.settings.pythonpath
        return self.workdir, f"{self.workdir.rstrip('/')}/src"

    def turn(self, folder: Path, seed: bytes) -> Turned | None:
        """Make a copy of the tests wrong in place.

        Which assertion of a test is turned, and into what, follows from `seed`, which nobody can foretell.

        Returns:
            What was made wrong; None where no control can be made.
        """
        for edit in self.settings.turn:
            path = folder / edit.file
            path.write_bytes(path.read_bytes().replace(edit.find.encode(), edit.replace.encode(), 1))
        python = mutate_tests(folder, _drawn(seed))
        names = {*self._names(python), *(name for edit in self.settings.turn for name in edit.tests)}
        edits = len(python) + len(self.settings.turn)
        return Turned(tuple(self._expected(names)), edits) if edits else None

    def computed(self, folder: Path) -> tuple[str, ...]:
        """The tests whose expected values code in their process can compute: no control tells it from a solution.

        Args:
            folder: the tests as they are.

        Returns:
            Their names as in the framework's results; for a reward, as ``test_a.py::TestB::test_c``.
        """
        python = computed_tests(folder)
        if self.settings.framework == "reward":
            return python
        edited = {name for edit in self.settings.turn for name in edit.tests}
        return tuple(name for name in self._expected(self._names(python)) if name not in edited)

    @property
    def mixes(self) -> bool:
        """Whether any of the tests can be made wrong apart from the others, so that right and wrong ones can be mixed:
        each in a process of its own, and no edits of the task's, which may concern all."""
        return self._in_python and not self.settings.turn

    @property
    def _in_python(self) -> bool:
        """Whether each test is a process that runs Python."""
        return self.settings.framework in ("pytest", "unittest")

    def turn_some(self, folder: Path, seed: bytes, wanted: Wanted) -> frozenset[str]:
        """As `turn`, but only those tests that are wanted, by their names as ``test_a.py::TestB::test_c``; where tests
        can be mixed.

        Returns:
            The names of the expected tests that must fail now.
        """
        return frozenset(self._expected({*self._names(mutate_tests(folder, _drawn(seed), wanted))}))

    def _expected(self, names: Collection[str]) -> list[str]:
        return [name for name in self.expected if name in names or _base(name) in names]

    def _names(self, python: Sequence[str]) -> list[str]:
        match self.settings.framework:
            case "pytest":
                return list(python)
            case "unittest":
                return [name.replace(".py::", ".").replace("::", ".") for name in python]
        return []


@functools.cache
def harness_digest() -> str:
    """A digest of what runs the tests in their sandboxes, in this version of the software."""
    digest = hashlib.sha256()
    for root in (_SOURCES, _INSIDE):
        for path in sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


# What `_copy_compiled` makes of each of its sources, by name: for as long as this process lives.
_COMPILED: dict[Path, dict[Path, bytes]] = {}


def _copy_compiled(sources: Path, folder: Path) -> None:
    """Copy programs for sandboxes with what they compile to beside them: each of many short-lived interpreters there
    would compile them again. One of another version than this does so still.

    Args:
        sources: their folder.
        folder: does not exist.
    """
    if (files := _COMPILED.get(sources)) is None:
        shutil.copytree(sources, folder, ignore=shutil.ignore_patterns("__pycache__"))
        # Not by the times of the sources, which are all made the same; and with no name of a folder of this machine.
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(folder, ddir=HARNESS, quiet=2, invalidation_mode=unchecked)
        made = (path for path in folder.rglob("*") if path.is_file())
        _COMPILED[sources] = {path.relative_to(folder): path.read_bytes() for path in made}
        return
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _names_pytest(script: Path) -> bool:
    """Whether a script speaks of pytest, as far as its first megabyte goes; False where it can't be read, which only
    costs time."""
    try:
        with script.open("rb") as file:
            return b"pytest" in file.read(1 << 20)
    except OSError:
        return False


def _readable(folder: Path) -> Path:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


def _drawn(seed: bytes) -> Draw:
    def draw(name: str) -> Random:
        return Random(hashlib.sha256(seed + name.encode("utf-8", "surrogateescape")).digest())

    return draw


def _base(name: str) -> str:
    """A pytest name without its parameters."""
    return name.partition("[")[0]


def plan_tests(spec: GraderSpec, task: Task) -> VerifierPlan:
    """Plan the hidden tests of a task.

    Raises:
        TaskError: the settings do not fit the tests.
    """
    settings, tests = read_settings(spec, TestRunSettings), task.tests.folder
    expected = _expected(spec, settings, tests)
    for edit in settings.turn:
        _check_edit(spec, tests, edit.file, edit.find, edit.replace)
        for name in edit.tests:
            if name not in expected:
                raise spec.error("turn", f"names the test {name[:100]!r}, which is not expected")
    controlled = task.scoring.control and settings.framework in REPORTED
    if controlled and not settings.turn and not turn_tests_exist(tests):
        raise spec.error(
            "framework",
            f"is {settings.framework}, whose report the code under test could write itself, and there is no control: "
            "give edits that a right solution must fail ([[affidavit.graders.turn]]), or set control = false under "
            "[affidavit] to trust the report",
        )
    return VerifierPlan(settings, expected, task.environment.workdir)


def turn_tests_exist(folder: Path) -> bool:
    """Whether there are Python tests in a folder, which can be turned."""
    return any(folder.rglob("test_*.py")) or any(folder.rglob("*_test.py"))


def _check_edit(spec: GraderSpec, folder: Path, file: str, find: str, replace: str) -> None:
    try:
        count = (folder / file).read_bytes().count(find.encode())
    except OSError as error:
        raise spec.error("turn", f"tests/{file} can't be read: {error.strerror}") from error
    if count != 1:
        raise spec.error("turn", f"{find[:60]!r} stands {count} times in tests/{file}, not once")
    if find == replace:
        raise spec.error("turn", f"{find[:60]!r} is replaced by itself, so that nothing is wrong then")


def _expected(spec: GraderSpec, settings: TestRunSettings, folder: Path) -> tuple[str, ...]:
    if settings.framework == "reward":
        if settings.expected:
            raise spec.error("expected", 'names tests, but framework = "reward" has no result for each; choose another')
        return ()
    names = settings.expected or _listed(spec, folder)
    if not names:
        names = _read(spec, settings.framework, folder)
    if len(set(names)) < len(names):
        raise spec.error("expected", f"names {next(n for n in names if names.count(n) > 1)!r} twice")
    for name in names if settings.framework == "script" else ():
        if not (folder / name).is_file() or ".." in name.split("/"):
            raise spec.error("expected", f"names {name[:100]!r}, which is no file below tests/")
    return names


def _listed(spec: GraderSpec, folder: Path) -> tuple[str, ...]:
    """The names in tests/expected.txt, if there is one."""
    path = folder / "expected.txt"
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_EXPECTED_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise spec.error("expected", f"{path} can't be read: {error.strerror}") from error
    if len(data) > _MOST_EXPECTED_BYTES:
        raise spec.error("expected", f"{path} is larger than 1 MiB")
    try:
        return tuple(line.strip() for line in data.decode().splitlines() if line.strip() and line[0] != "#")
    except UnicodeDecodeError:
        raise spec.error("expected", f"{path} is not UTF-8") from None


def _read(spec: GraderSpec, framework: str, folder: Path) -> tuple[str, ...]:
    readers = {"pytest": pytest_names, "unittest": unittest_names, "script": script_names}
    if framework not in readers:
        raise spec.error("expected", "is missing: name the tests that must report, or list them in tests/expected.txt")
    try:
        return readers[framework](folder)
    except UnclearNames as unclear:
        raise spec.error(
            "expected",
            f"is missing, and the source does not show which tests there are: {unclear}; name those that must report",
        ) from None
