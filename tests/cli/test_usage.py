"""Help, and what wrong use is answered with: one line that names the place and the fix, and nothing done."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Command, Home

Make = Callable[..., Path]

COMMANDS = {
    (): ("run", "verify", "trace", "doctor", "keys", "contract", "trust", "explain", "--verbose", "--quiet"),
    ("explain",): ("ID", "--list", "--json"),
    ("run",): (
        "--agent",
        "--agent-cmd",
        "--runtime",
        "--recorder",
        "--trials",
        "--workers",
        "--out",
        "--json",
        "--contract",
    ),
    ("verify",): ("--key", "--trust", "--json"),
    ("trace",): ("--sql", "--process-tree", "--json"),
    ("doctor",): ("--json",),
    ("keys",): ("new", "show"),
    ("keys", "new"): ("never overwrites",),
    ("keys", "show"): ("--json",),
    ("contract",): ("new", "learn", "lint", "schema", "sign", "verify", "diff"),
    ("contract", "schema"): ("--out", "contract.schema.json"),
    ("prune",): ("RUNS", "--remove", "--images", "--caches", "--json"),
    ("contract", "diff"): ("OLD", "NEW", "major", "--json"),
    ("contract", "sign"): ("--keys",),
    ("contract", "verify"): ("--trust", "--key", "--registry", "--json"),
    ("contract", "publish"): ("--registry", "--trust", "--keys"),
    ("contract", "log"): ("--registry", "--since", "--json"),
    ("contract", "pull"): ("ID@VERSION", "--registry", "--out"),
    ("trust",): ("new", "change", "sign", "show", "publish"),
    ("trust", "new"): ("--key", "--threshold", "--expires"),
    ("trust", "change"): ("--add", "--remove", "--until", "--revoke", "--reason", "--threshold"),
}
HEAVY = {"cryptography", "duckdb", "numpy", "pyarrow", "pydantic", "rich", "ruamel", "securesystemslib"}
TOML = 'version = "1.0"\n'


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_what_there_is(affidavit: Command, command: tuple[str, ...], flag: str) -> None:
    ran = affidavit(*command, flag)
    assert (ran.status, ran.err) == (0, "")
    assert [word for word in COMMANDS[command] if word not in ran.out] == []


def test_version(affidavit: Command) -> None:
    ran = affidavit("--version")
    assert (ran.status, ran.err) == (0, "")
    assert re.fullmatch(r"affidavit \d+\.\d+\.\d+\n", ran.out)


def test_help_is_quick_because_nothing_heavy_is_loaded_for_it() -> None:
    program = "import affidavit.cli, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    assert "typer" in loaded
    assert HEAVY & set(loaded) == set()


@pytest.mark.parametrize("arguments", [(), ("keys",)], ids=["affidavit", "affidavit keys"])
def test_a_bare_command_shows_its_help(affidavit: Command, arguments: tuple[str, ...]) -> None:
    ran = affidavit(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("Usage: ")


def refused(affidavit: Command, home: Home, folder: Path, *arguments: object, says: str) -> None:
    """Wrong use: status 2, one line that holds `says`, nothing on standard output, nothing written, nothing left."""
    before = files(folder)
    ran = affidavit(*arguments)
    assert (ran.status, ran.out) == (2, "")
    [line] = ran.err.splitlines()
    assert line.startswith("affidavit: ")
    assert re.search(says, line), line
    assert files(folder) == before


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run",), "PATH"),
        (("run", "TASK"), "--agent NAME, --agent-file FILE, --agent-cmd CMD, or --predictions FILE"),
        (("run", "TASK", "--agent", "nop", "--agent-cmd", "true"), "one of them"),
        (("run", "TASK", "--agent", "gpt"), "--agent gpt: .* oracle, nop, .* or"),
        (("run", "TASK", "--agent-cmd", "true", "--agent-name", "a/b"), "--agent-name 'a/b': must be up to 64 of"),
        (("run", "TASK", "--agent-cmd", "true", "--agent-name", "oracle"), "is an agent of Affidavit's own"),
        (("run", "TASK", "--agent", "oracle", "--agent-name", "mine"), "oracle keeps its name; leave it out"),
        (("run", "TASK", "--resume", "x", "--agent-name", "mine"), "--agent-name is for --agent, --agent-file or"),
        (("run", "TASK", "--agent-cmd", "  "), "--agent-cmd is empty"),
        (("run", "TASK", "--agent", "nop", "--runtime", "docker"), "--runtime docker: .* runc, gvisor"),
        (("run", "TASK", "--agent", "nop", "--recorder", "dtrace"), "--recorder dtrace: .* ebpf, gvisor or ptrace"),
        (("run", "TASK", "--agent", "nop", "--runtime", "gvisor", "--recorder", "ebpf"), "not go with .* use gvisor"),
        (("run", "TASK", "--agent", "nop", "--workers", "0"), "'--workers'.*(1|range)"),
        (("run", "TASK", "--agent", "nop", "--workers", "two"), "'--workers'"),
        (("run", "TASK", "--agent", "nop", "--trials", "0"), "'--trials'"),
        (("run", "TASK", "--agent", "nop", "--out", "TASK/task.toml"), "--out .*task.toml: can't be written"),
        (("run", "TASK", "--agent", "nop", "--out", "/proc/x"), "--out /proc/x: can't be written"),
        (("run", "TASK", "other", "--agent", "nop"), "other"),
        (("run", "TASK", "--agnt", "nop"), "--agnt.*--agent"),
        (("run", "nowhere", "--agent", "nop"), "nowhere: does not exist; give a task folder"),
        (("run", "EMPTY", "--agent", "nop"), "empty: holds no task: .* task.toml"),
        (("run", "EMPTY/file.yaml", "--agent", "nop"), "file.yaml:1:1: is not a suite: "),
        (("verify",), "BUNDLE"),
        (("verify", "nowhere"), "nowhere: .*not a bundle folder"),
        (("verify", "TASK/task.toml"), "task.toml: .*not a bundle folder"),
        (("verify", "TASK", "--key", "nowhere.pem"), "nowhere.pem: can't be read"),
        (("verify", "TASK", "--key", "TASK/task.toml"), "task.toml: is not an ed25519 public key"),
        (("trace", "nowhere"), "nowhere: no such bundle"),
        (("trace", "TASK"), "events.parquet; give the folder of a bundle"),
        (("trace", "TASK", "--process-tree"), "events.parquet"),
        (("trace", "TASK", "--process-tree", "--sql", "SELECT 1"), "exclude each other"),
        (("frobnicate",), "frobnicate"),
        (("keys", "delete"), "delete"),
        (("doctor", "--frob"), "--frob"),
    ],
)  # fmt: skip
def test_wrong_use(
    affidavit: Command,
    at_home: Home,
    nothing_left: None,
    tmp_path: Path,
    task: Make,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    places = {"TASK": task("task"), "EMPTY": tmp_path / "empty"}
    places["EMPTY"].mkdir()
    (places["EMPTY"] / "file.yaml").write_text("tasks: []\n")
    for name, place in places.items():
        arguments = tuple(argument.replace(name, str(place)) for argument in arguments)
    refused(affidavit, at_home, tmp_path, *arguments, says=says)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("task.toml", "version = \n", r"task/task.toml: is not TOML: .*line 1"),
        ("task.toml", '[agent]\ntimeout_sec = "soon"\n', r"task/task.toml:2: \[agent\].timeout_sec must be .* seconds"),
        ("task.toml", b"\xff\xfe", "task/task.toml: is not UTF-8"),
        ("task.toml", '[affidavit]\nrootfs = "debian"\n', r"task.toml:2: .*must be \"host\", \"oci:PATH\" or"),
        ("task.toml", '[affidavit]\nrootfs = "tarball:no.tar"\n', "task.toml:2: .*no.tar, which is not there"),
        ("contract.yaml", "schema: [\n", r"task/contract.yaml:\d"),
        ("contract.yaml", "schema: affidavit.contract/v1\nid: a\n", r"task/contract.yaml:.*version: is missing; add"),
        (
            "contract.yaml",
            "schema: affidavit.contract/v1\nid: a\nversion: 1.0.0\nfiles: {wirte: []}\n",
            r"contract.yaml:4.*wirte.*write",
        ),
        (
            "contract.yaml",
            "schema: affidavit.contract/v1\nid: a\nversion: 1.0.0\nmode: lax\n",
            "contract.yaml:4:.*mode: .*strict.*audit",
        ),
        ("instruction.md", None, "task/instruction.md: is missing"),
        ("tests/test.sh", None, "task/tests/test.sh: is missing"),
        ("solution/solve.sh", None, "task/solution/solve.sh: does not exist"),
    ],
)
def test_a_task_that_can_not_be_used(
    affidavit: Command,
    at_home: Home,
    nothing_left: None,
    tmp_path: Path,
    task: Make,
    file: str,
    content: str | bytes | None,
    says: str,
) -> None:
    folder = task("task")
    path = folder / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(affidavit, at_home, tmp_path, "run", folder, "--agent", "oracle", says=says)


def test_a_dockerfile_that_is_none(
    affidavit: Command, at_home: Home, nothing_left: None, tmp_path: Path, task: Make
) -> None:
    folder = task("task", files={"environment/Dockerfile": "FROM scratch\nFETCH x\n"})
    (folder / "task.toml").write_text(TOML)
    says = "environment/Dockerfile:2: 'FETCH' is not an instruction of a Dockerfile"
    refused(affidavit, at_home, tmp_path, "run", folder, "--agent", "oracle", says=says)


def test_two_tasks_of_one_name(
    affidavit: Command, at_home: Home, nothing_left: None, tmp_path: Path, task: Make
) -> None:
    for name in ("tasks/a", "tasks/b"):
        (task(name) / "task.toml").write_text('[task]\nname = "same"\n')
    refused(affidavit, at_home, tmp_path, "run", tmp_path / "tasks", "--agent", "nop", says="tasks/b: .*same name as")


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("not a key", 0o600, "signing.pem: is not an unencrypted private key"),
        (None, 0o644, r"signing.pem: others may read .*chmod 600"),
    ],
)
def test_a_key_that_can_not_be_used(
    affidavit: Command,
    nothing_left: None,
    tmp_path: Path,
    task: Make,
    monkeypatch: pytest.MonkeyPatch,
    at_home: Home,
    content: str | None,
    mode: int,
    says: str,
) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "keys"))
    assert affidavit("keys", "new").status == 0
    key = tmp_path / "keys/signing.pem"
    if content is not None:
        key.write_text(content)
    key.chmod(mode)
    refused(affidavit, at_home, tmp_path, "run", task("task"), "--agent", "nop", says=says)
    refused(affidavit, at_home, tmp_path, "keys", "show", says=says)


def test_wrong_use_makes_no_key(
    affidavit: Command, tmp_path: Path, task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEYS", str(tmp_path / "keys"))
    bad = task("bad", contract="schema: nonsense\n")
    assert affidavit("run", bad, "--agent", "nop").status == 2
    assert affidavit("run", task("good"), "--agent", "nop", "--out", "/proc/x").status == 2
    assert not (tmp_path / "keys").exists()


def test_only_root_can_run(affidavit: Command, tmp_path: Path, task: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    ran = affidavit("run", task("task"), "--agent", "nop")
    assert (ran.status, ran.out) == (2, "")
    assert "needs root" in ran.err
