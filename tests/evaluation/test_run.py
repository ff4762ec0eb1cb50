"""A run of several trials, and tasks that bring a root file system of their own."""

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.evaluation import Agent, Job, RunError, RunOptions, run_jobs
from affidavit.tasks import load_task
from harness import EBPF, SOLVE, Silent, Trials, Way

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]

PROGRAMS = ("/bin/sh", "/bin/bash", "/bin/cat", "/bin/ls")


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few programs of this machine, what they are linked with, and a file that says where one is."""
    root = tmp_path_factory.mktemp("rootfs")
    for program in PROGRAMS:
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in (program, *re.findall(r"(/\S+) \(0x", linked)):
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (root / "etc").mkdir()
    (root / "etc/issue").write_text("an image\n")
    (root / "tmp").mkdir(mode=0o1777)
    return root


def pack(folder: Path, tarball: Path) -> bytes:
    with tarfile.open(tarball, "w:gz" if tarball.suffix == ".gz" else "w") as tar:
        tar.add(folder, ".")
    return tarball.read_bytes()


def oci_layout(rootfs: Path, folder: Path) -> None:
    """An OCI image layout with one layer (image-spec 1.0: image-layout.md, config.md)."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    layer = pack(rootfs, folder.parent / "layer.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin", "FLAVOUR=vanilla"], "WorkingDir": "/workspace", "User": "1234"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": blob(json.dumps(config).encode(), "config.v1+json"),
        "layers": [blob(layer, "layer.v1.tar")],
    }
    index = {"schemaVersion": 2, "manifests": [blob(json.dumps(manifest).encode(), "manifest.v1+json")]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def test_a_tarball_is_the_root_file_system(trials: Trials, task: Make, way: Way, rootfs: Path) -> None:
    folder = task(rootfs="tarball:environment/root.tar.gz", files={"environment/root/workspace/given": "x"})
    pack(rootfs, folder / "environment/root.tar.gz")
    outcome = trials(way, folder, f"ls /usr/bin; cat /etc/issue given; {SOLVE}")
    assert outcome.verdict == "pass", outcome.reasons
    assert outcome.text("agent/stdout") == "an image\nx"
    assert set(outcome.changed()) == {"/workspace/answer"}


def test_an_image_is_the_root_file_system(trials: Trials, task: Make, way: Way, rootfs: Path) -> None:
    folder = task(rootfs="oci:environment/image")
    oci_layout(rootfs, folder / "environment/image")
    outcome = trials(way, folder, f"cat /etc/issue; echo $FLAVOUR $PWD; {SOLVE}")
    assert outcome.verdict == "pass", outcome.reasons
    assert outcome.text("agent/stdout") == "an image\nvanilla /workspace\n"
    assert outcome.changed()["/workspace/answer"]["uid"] == 1234


def test_trials_of_one_task_come_to_the_same(trials: Trials, task: Make, way: Way) -> None:
    outcomes = trials.several(way, task(), f"{SOLVE} cat /tests/test.sh", trials=3)
    assert [outcome.trial.trial for outcome in outcomes] == [0, 1, 2]
    assert {(outcome.verdict, outcome.score, *outcome.rules) for outcome in outcomes} == {
        ("violation", 0.0, "files.deny")
    }
    assert len({outcome.bundle for outcome in outcomes}) == 3


def test_several_agents_on_several_tasks(at_home: None, task: Make, tmp_path: Path) -> None:
    tasks = [load_task(task(name)) for name in ("a", "b")]
    agents = [Agent.named("oracle"), Agent.named("nop"), Agent.shell("cat /tests/x", "cheat")]
    jobs = [Job(one, agent) for one in tasks for agent in agents]
    result = run_jobs(jobs, RunOptions(workers=2, out=tmp_path / "out"), Silent())
    assert [(trial.task_id, trial.agent, trial.judgement.verdict) for trial in result.trials] == [
        (one, *rest) for one in "ab" for rest in (("oracle", "pass"), ("nop", "fail"), ("cheat", "violation"))
    ]
    assert result.summary == {"pass": 2, "fail": 2, "violation": 2, "inconclusive": 0, "error": 0}
    assert result.exit_status == 3


def test_what_is_wrong_with_one_task_is_found_before_any_runs(at_home: None, task: Make, tmp_path: Path) -> None:
    good, bad = task("good"), task("bad", contract="schema: wrong\n")
    jobs = [Job(load_task(folder), Agent.named("oracle")) for folder in (good, bad)]
    with pytest.raises(RunError, match=r"bad/contract.yaml:1"):
        run_jobs(jobs, RunOptions(out=tmp_path / "out"), Silent())
    assert not (tmp_path / "out").exists()


def test_a_task_changed_later_is_told_by_its_digest(trials: Trials, task: Make) -> None:
    folder = task()
    before = trials(EBPF, folder).json("task.json")["digest"]
    assert trials(EBPF, folder).json("task.json")["digest"] == before
    (folder / "tests/test.sh").write_text("#!/bin/bash\necho 1 >/logs/verifier/reward.txt\n")
    assert trials(EBPF, folder).json("task.json")["digest"] != before
