"""Imports SWE-bench instances from task repositories (version 5), Parquet and JSON Lines.

The fields are those of the SWE-bench data sets: ``instance_id``, ``repo``, ``base_commit``, ``patch``, ``test_patch``,
``problem_statement``, ``FAIL_TO_PASS``, ``PASS_TO_PASS``.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from affidavit.tasks.errors import TaskError
from affidavit.tasks.git_history import History
from affidavit.tasks.importing import ImportedTask, look_at
from affidavit.tasks.json_records import parse_json, read_json_records

_MOST_BYTES = 2 << 30
_MOST_INSTANCES = 10_000
_MOST_FILE_BYTES = 64 << 20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TESTBED = "testbed"
_FILES = {
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "problem_statement": "problem_statement.md",
}
_TEST_SH = """#!/bin/bash
# By hand only: Affidavit runs the tests that task.toml names one by one.
cd /testbed || exit 1
python3 -m pytest -rA --rootdir=/tests /tests
"""
_SOLVE_SH = """#!/bin/bash
set -euo pipefail
cd /testbed
git apply --whitespace=nowarn - <<'{end}'
{patch}{end}
"""


@dataclass(frozen=True)
class Instance:
    """One instance of SWE-bench.

    Attributes:
        id: ``instance_id``.
        repo: ``OWNER/NAME``.
        base_commit: full name of the commit that the agent begins with.
        patch, test_patch: unified diffs: the reference fix, and the tests that came with it.
        problem_statement: the agent's instruction.
        tests: names of FAIL_TO_PASS and PASS_TO_PASS, each once.
    """

    id: str
    repo: str
    base_commit: str
    patch: str
    test_patch: str
    problem_statement: str
    tests: tuple[str, ...]


def import_swebench(
    source: Path, out: Path, repositories: Path | None = None, rootfs: str = "host", ids: Sequence[str] = ()
) -> tuple[ImportedTask, ...]:
    """Make a task of each SWE-bench instance, and report whether it can run here.

    A task's ``/testbed`` is a work tree of the base commit. Its ``.git`` holds what that commit reaches and nothing
    else. The tests of the test patch are hidden; those named in FAIL_TO_PASS and PASS_TO_PASS must all pass.

    Args:
        source: a task repository, or a file ``*.jsonl``, ``*.json`` or ``*.parquet``.
        out: folder for the tasks, made if needed. A task that exists there is an error and is left alone.
        repositories: folder with clones: ``OWNER/NAME``, ``OWNER__NAME`` or ``NAME``, each also with ``.git``; None:
            they are fetched from github.com.
        rootfs: ``[affidavit].rootfs`` of the tasks. It must not have a ``/testbed`` of its own.
        ids: of the wanted instances; empty: all.

    Raises:
        TaskError: nothing can be imported; one line with file, place and fix.
    """
    instances = [instance for instance in read_instances(source) if not ids or instance.id in ids]
    missing = {*ids} - {instance.id for instance in instances}
    if missing:
        raise TaskError(f"{source}: has no instance {min(missing)}")
    there = next((one.id for one in instances if (out / one.id).exists()), None)
    if there is not None:
        raise TaskError(f"{out / there}: already exists; remove it, or choose another --out")
    imported = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for instance in instances:
            # Renamed into place, so that a task is there whole or not at all.
            with tempfile.TemporaryDirectory(prefix=".import-", dir=out) as work:
                try:
                    _write(instance, Path(work, "task"), _repository(source, instance, repositories), rootfs)
                except TaskError as error:
                    imported.append(ImportedTask(instance.id, str(error), ()))
                    continue
                Path(work, "task").rename(out / instance.id)
            imported.append(look_at(out / instance.id))
    except OSError as error:
        raise TaskError(f"{error.filename or out}: {error.strerror}") from error
    return tuple(imported)


def read_instances(source: Path) -> tuple[Instance, ...]:
    """The instances of a task repository or a file, in its order.

    Raises:
        TaskError: it can't be read, or an instance in it is malformed.
    """
    try:
        if source.is_dir():
            rows = [*_task_repository(source)]
        elif source.suffix == ".parquet":
            rows = [*_parquet(source)]
        else:
            rows = [*read_json_records(source, "instances", _MOST_BYTES)]
    except OSError as error:
        raise TaskError(f"{error.filename or source}: can't be read: {error.strerror}") from error
    if not rows:
        raise TaskError(f"{source}: has no instance of SWE-bench")
    instances = tuple(_instance(place, row) for place, row in rows)
    names: set[str] = set()
    for instance in instances:
        if instance.id in names:
            raise TaskError(f"{source}: has two instances {instance.id}")
        names.add(instance.id)
    return instances


def _task_repository(source: Path) -> Iterator[tuple[str, Any]]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not (source / "tasks").is_dir():
        raise TaskError(f"{source}: is not a task repository of SWE-bench: it has no folder tasks")
    folders = sorted(path.parent for path in (source / "tasks").glob("*/task.yaml"))
    for folder in folders[: _MOST_INSTANCES + 1]:
        place = str(folder / "task.yaml")
        try:
            row = YAML(typ="safe", pure=True).load(_text(folder / "task.yaml"))
        except (YAMLError, ValueError, RecursionError) as error:
            raise TaskError(f"{place}: is not YAML: {str(error).splitlines()[0][:200]}") from error
        tests = parse_json(str(folder / "tests.json"), _text(folder / "tests.json"))
        if not isinstance(row, dict) or not isinstance(tests, dict):
            raise TaskError(f"{place}: it and tests.json must be mappings")
        yield place, {**row, **tests, **{key: _text(folder / name) for key, name in _FILES.items()}}


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise TaskError(f"{path}: is missing, or is no regular file")
    if path.stat().st_size > _MOST_FILE_BYTES:
        raise TaskError(f"{path}: is larger than {_MOST_FILE_BYTES >> 20} MiB")
    try:
        # Without newline translation: a patch may contain other line ends.
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise TaskError(f"{path}: is not UTF-8") from None


def _parquet(source: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(source) as file:
            if file.metadata.num_rows > _MOST_INSTANCES:
                raise TaskError(f"{source}: has more than {_MOST_INSTANCES} instances")
            rows = file.read().to_pylist()
    except pyarrow.ArrowException as error:
        raise TaskError(f"{source}: is not a parquet file: {str(error).splitlines()[0][:200]}") from error
    for number, row in enumerate(rows):
        yield f"{source}: row {number}", row


def _instance(place: str, row: Any) -> Instance:
    if not isinstance(row, dict):
        raise TaskError(f"{place}: must be an object with instance_id, repo, base_commit and so on")
    texts = {}
    for key in ("instance_id", "repo", "base_commit", "patch", "test_patch", "problem_statement"):
        if not isinstance(value := row.get(key), str):
            raise TaskError(f"{place}: {key} {'is missing' if value is None else 'must be a text'}")
        texts[key] = value
    if not _ID.fullmatch(texts["instance_id"]):
        raise TaskError(f"{place}: instance_id {texts['instance_id'][:60]!r} can't be the name of a task's folder")
    if not _REPO.fullmatch(texts["repo"]):
        raise TaskError(f"{place}: repo must be OWNER/NAME, not {texts['repo'][:100]!r}")
    tests = [*_names(place, row, "FAIL_TO_PASS"), *_names(place, row, "PASS_TO_PASS")]
    return Instance(
        texts["instance_id"],
        texts["repo"],
        texts["base_commit"],
        texts["patch"],
        texts["test_patch"],
        texts["problem_statement"],
        tuple(dict.fromkeys(tests)),
    )


def _names(place: str, row: dict[str, Any], key: str) -> list[str]:
    """A list of names; some data sets give it as the text of a JSON list."""
    value = row.get(key)
    if isinstance(value, str):
        value = parse_json(f"{place}: {key}", value)
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise TaskError(f"{place}: {key} must be a list of names of tests")
    return value


def _repository(source: Path, instance: Instance, repositories: Path | None) -> str:
    if repositories is None:
        return f"https://github.com/{instance.repo}.git"
    names = [instance.repo, instance.repo.replace("/", "__"), instance.repo.partition("/")[2]]
    for name in names:
        for folder in (repositories / name, repositories / f"{name}.git"):
            if folder.is_dir():
                return str(folder.resolve())
    raise TaskError(f"{source}: {instance.id}: {repositories} has no repository {names[0]}, {names[1]} or {names[2]}")


def _write(instance: Instance, folder: Path, repository: str, rootfs: str) -> None:
    files = [_file_of(instance, name) for name in instance.tests]
    if not files:
        raise TaskError(f"{instance.id}: names no test that must pass")
    folder.mkdir(mode=0o755)
    history = History(repository, instance.base_commit, folder / "history")
    try:
        history.applied(instance.patch)
    except TaskError as error:
        raise TaskError(f"{instance.id}: its patch does not apply to {instance.base_commit}: {error}") from error
    _write_tests(instance, history, {*files}, folder / "tests")
    history.write_work_tree(folder / "environment" / "root" / _TESTBED)
    patch = instance.patch.rstrip("\n") + "\n"
    end = "END_OF_PATCH"
    while f"\n{end}\n" in patch:
        end += "_"
    texts = {
        "instruction.md": instance.problem_statement,
        "tests/test.sh": _TEST_SH,
        "solution/solve.sh": _SOLVE_SH.format(patch=patch, end=end),
        "task.toml": _task_toml(instance, rootfs),
        "contract.yaml": _contract(instance),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())
    for name in ("tests/test.sh", "solution/solve.sh"):
        (folder / name).chmod(0o755)


def _file_of(instance: Instance, name: str) -> str:
    file, _, test = name.partition("::")
    path = PurePosixPath(file)
    if not test or path.suffix != ".py" or path.is_absolute() or ".." in path.parts:
        raise TaskError(
            f"{instance.id}: {name[:100]!r} is not the name of a pytest test (FILE.py::TEST); tests of other "
            "frameworks can't be taken over yet"
        )
    return path.as_posix()


def _write_tests(instance: Instance, history: History, files: set[str], target: Path) -> None:
    """Write the hidden tests: the named files after the test patch, and the other files of their folders."""
    try:
        listed = history.applied(instance.test_patch)
    except TaskError as error:
        raise TaskError(f"{instance.id}: its test_patch does not apply to {instance.base_commit}: {error}") from error
    missing = sorted(files - listed.keys())
    if missing:
        raise TaskError(f"{instance.id}: {missing[0]} is there neither in {instance.base_commit} nor in test_patch")
    # The top folder is the project itself: tests must use the agent's copy, not one beside them.
    folders = {str(PurePosixPath(file).parent) for file in files} - {"."}
    wanted = {path for path in listed if path in files or str(PurePosixPath(path).parent) in folders}
    for path, content in history.patched_files(instance.test_patch, wanted).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(content)


def _task_toml(instance: Instance, rootfs: str) -> str:
    # A JSON string is a TOML string, except for DEL, which JSON does not escape.
    quoted = [json.dumps(text).replace("\x7f", "\\u007f") for text in instance.tests]
    tests = "".join(f"  {name},\n" for name in quoted)
    return f"""version = "1.0"

[metadata]
category = "swe-bench"

[agent]
timeout_sec = 1800.0

[verifier]
timeout_sec = 1800.0

[environment]
memory_mb = 4096
storage_mb = 2048
allow_internet = false

[affidavit]
rootfs = {json.dumps(rootfs)}
workdir = "/{_TESTBED}"

[[affidavit.graders]]
kind = "test_run"
framework = "pytest"
credit = "all"
expected = [
{tests}]
"""


def _contract(instance: Instance) -> str:
    return f"""schema: affidavit.contract/v1
id: {json.dumps(instance.id)}
version: 1.0.0
mode: strict
actions: [flag]
extends: ["affidavit:base", "affidavit:test-infrastructure"]
files:
  read: ["/{_TESTBED}/**", "/tmp/**"]
  write: ["/{_TESTBED}/**", "/tmp/**"]
  deny: ["/tests/**", "/solution/**", "/logs/**"]
"""
