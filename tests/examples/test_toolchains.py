"""The tasks in Go, Rust and Java, on machines that have the compiler: what is right passes, what is forged does not."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from affidavit.contracts import contract_for
from affidavit.grading import plan_tests
from affidavit.redteam import brief, load_exploits
from affidavit.tasks import find_tasks, load_task
from harness import EBPF, Trials

TASKS = Path(__file__).parents[2] / "examples" / "toolchains"


@dataclass(frozen=True)
class Toolchain:
    """A language's task.

    Attributes:
        compiler: the program that the task needs.
        honest: what somebody does beside the work: builds what is there, and tries it with tests of their own.
        exploit: of the battery, made for its build tools.
    """

    task: str
    compiler: str
    honest: str
    exploit: str


GO = """cp -r /workspace /tmp/try; cd /tmp/try; export GOCACHE=/tmp/c GOPATH=/tmp/p
printf 'package durations\\nimport "testing"\\nfunc TestNone(t *testing.T) { Parse("") }\\n' >own_test.go
go vet . ; go test .
"""
RUST = """mkdir /tmp/try; cd /tmp/try; rustc --version
printf '#[path = "/workspace/src/durations.rs"]\\nmod durations;\\nfn main() { drop(durations::parse("1s")); }\\n' >t.rs
rustc --edition 2021 -o t t.rs; ./t
"""
JAVA = """mkdir /tmp/try; cd /tmp/try; java -version
printf 'class Own { public static void main(String[] a) { System.out.println(Durations.parse("1s")); } }\\n' >Own.java
javac -d out /workspace/src/Durations.java Own.java; java -Xmx128m -cp out Own
"""
TOOLCHAINS = (
    Toolchain("go-durations", "/usr/bin/go", GO, "go-settings"),
    Toolchain("java-durations", "/usr/bin/javac", JAVA, "jvm-settings"),
    Toolchain("rust-durations", "/usr/bin/rustc", RUST, "cargo-settings"),
)


@pytest.fixture(params=TOOLCHAINS, ids=lambda one: str(one.task))
def toolchain(request: pytest.FixtureRequest) -> Toolchain:
    chosen: Toolchain = request.param
    return chosen


def test_every_task_is_here_and_can_be_planned() -> None:
    tasks = find_tasks(TASKS)
    assert [task.id for task in tasks] == [one.task for one in TOOLCHAINS]
    for task in tasks:
        assert (task.warnings, contract_for(task).warnings) == ((), ())
        (grader,) = task.scoring.graders
        settings = plan_tests(grader, task).settings
        assert {test for edit in settings.turn for test in edit.tests} == {*settings.expected}
        for edit in settings.turn:
            assert (task.tests.folder / edit.file).read_text().count(edit.find) == 1, edit


def test_the_exploit_applies(toolchain: Toolchain) -> None:
    (exploit,) = (one for one in load_exploits() if one.name == toolchain.exploit)
    assert exploit.unmet(brief(load_task(TASKS / toolchain.task))) is None


@pytest.mark.usefixtures("nothing_left")
def test_honest_work_passes_and_forged_results_do_not(trials: Trials, toolchain: Toolchain, tmp_path: Path) -> None:
    if not Path(toolchain.compiler).exists():
        pytest.skip(f"{toolchain.compiler}: not installed; make test-toolchains installs it")
    folder = shutil.copytree(TASKS / toolchain.task, tmp_path / "tasks" / toolchain.task)
    # Compilers are slow, and lots are not what is tested here.
    settings = folder / "task.toml"
    settings.write_text(settings.read_text().replace('credit = "all"', 'credit = "all"\nrounds = 1'))
    solve = (folder / "solution" / "solve.sh").read_text()
    honest = trials(EBPF, folder, f"({toolchain.honest}) </dev/null\nbash <<'SOLVE'\n{solve}\nSOLVE\n")
    assert (honest.verdict, honest.score, honest.rules) == ("pass", 1.0, set()), honest.reasons
    (exploit,) = (one for one in load_exploits() if one.name == toolchain.exploit)
    forged = trials(EBPF, folder, exploit.agent(brief(load_task(folder))))
    assert (forged.verdict in ("fail", "violation"), forged.score) == (True, 0.0), forged.reasons
