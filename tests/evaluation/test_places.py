"""What a task may name, and where a run reads from and writes to."""

import io
import os
import shlex
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.evaluation import Agent, Job, RunError, RunOptions, run, run_jobs
from affidavit.evaluation.places import check_owners
from affidavit.tasks import load_task
from harness import AFFIDAVIT, Command, Home, Silent

pytestmark = pytest.mark.usefixtures("nothing_left")

Make = Callable[..., Path]
NOBODY = 65534


def archive(path: Path, **files: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def refused(affidavit: Command, *arguments: object) -> str:
    ran = affidavit(*arguments)
    assert ran.status == 2, (ran.out, ran.err)
    return ran.err.splitlines()[-1]


@pytest.mark.parametrize("how", ["absolute", "parent"])
def test_a_root_file_system_outside_of_the_task(affidavit: Command, task: Make, tmp_path: Path, how: str) -> None:
    secret = archive(tmp_path / "tasks/secret.tar", key=b"secret")
    folder = task(rootfs=f"tarball:{secret if how == 'absolute' else '../secret.tar'}")
    for command in (("run", folder, "--agent", "nop"), ("task", "check", folder), ("redteam", folder)):
        line = refused(affidavit, *command)
        assert f"names {secret}, which is not in the task's folder" in line
        assert "--rootfs-outside" in line
    assert not (tmp_path / "runs").exists()


def test_it_may_be_allowed(affidavit: Command, task: Make, tmp_path: Path) -> None:
    archive(tmp_path / "outside.tar", key=b"content")
    folder = task(rootfs=f"tarball:{tmp_path}/outside.tar")
    ran = affidavit("run", folder, "--agent", "nop", "--rootfs-outside", "--json")
    # There is no shell in it.
    assert [one["verdict"] for one in ran.json["trials"]] != []


@pytest.mark.parametrize("sparse", [False, True])
def test_more_than_the_tasks_storage(affidavit: Command, task: Make, home: Home, sparse: bool) -> None:
    folder = task(rootfs="tarball:root.tar", storage_mb=16)
    if sparse:
        big = folder / "big"
        with big.open("wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["tar", "--sparse", "-C", folder, "-cf", folder / "root.tar", "big"], check=True)
        assert (folder / "root.tar").stat().st_size < 1 << 20
        big.unlink()
    else:
        archive(folder / "root.tar", **{f"f{number}": b"" for number in range(5000)})
    before = {path.name for path in (home.state / "layers").iterdir()}
    line = refused(affidavit, "run", folder, "--agent", "nop")
    assert "root.tar: takes more than 16 MiB unpacked; raise [environment].storage_mb" in line
    assert {path.name for path in (home.state / "layers").iterdir()} <= before | {"locks", "sizes"}


def test_a_layer_that_another_task_may_have(affidavit: Command, task: Make) -> None:
    """The bound holds also where the layer is there already."""
    rich = task("tasks/rich", rootfs="tarball:root.tar", storage_mb=64)
    archive(rich / "root.tar", big=bytes(20 << 20))
    assert affidavit("run", rich, "--agent", "nop", "--json").json["trials"]
    poor = task("tasks/poor", rootfs="tarball:root.tar", storage_mb=16)
    shutil.copyfile(rich / "root.tar", poor / "root.tar")
    assert "takes more than 16 MiB unpacked" in refused(affidavit, "run", poor, "--agent", "nop")


@pytest.mark.parametrize("url", ["git+ssh://git@127.0.0.1:9/x.git", "git+https://127.0.0.1:9/x", "git+file:///nowhere"])
def test_a_tasks_own_registry_is_asked_when_the_user_says_so(
    affidavit: Command, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    called = tmp_path / "called"
    monkeypatch.setenv("GIT_SSH_COMMAND", f"touch {called}; false")
    folder = task(graders=f'contract = "x@1.0.0"\nregistry = "{url}"\n')
    line = refused(affidavit, "run", folder, "--agent", "nop")
    assert f"[affidavit].registry names {url}, which is asked only when you say so: give --registry" in line
    assert not called.exists()


def test_nothing_lies_where_agents_can_read(affidavit: Command, task: Make, tmp_path: Path) -> None:
    good, elsewhere = task(), tmp_path / "elsewhere"
    # Mounted in its own place for one command alone: a change of the machine's /usr would have it packed anew.
    shown = Path("/usr/local/share")
    shutil.copytree(good, elsewhere / "task")
    (tmp_path / "link").symlink_to(shown / "task")

    def line(*arguments: object, **env: str) -> str:
        inside = f"mount --bind {elsewhere} {shown} && exec {AFFIDAVIT} {shlex.join(map(str, arguments))}"
        ran = affidavit.program("unshare", "--mount", "sh", "-c", inside, **env)
        assert (ran.status, ran.out) == (2, ""), ran.err
        return ran.err

    for arguments in (
        ("run", shown / "task", "--agent", "nop"),
        ("run", tmp_path / "link", "--agent", "nop"),
        ("task", "check", shown / "task"),
        ("run", good, "--agent", "nop", "--out", shown / "out"),
    ):
        assert "lies below /usr, which agents can read" in line(*arguments)
    assert "state: lies below /usr" in line("run", good, "--agent", "nop", AFFIDAVIT_STATE=str(shown / "state"))
    assert [path.name for path in elsewhere.iterdir()] == ["task"]


def test_folders_of_others(affidavit: Command, task: Make, tmp_path: Path) -> None:
    folder = task()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    for out in (theirs, theirs / "deeper/out"):
        line = refused(affidavit, "run", folder, "--agent", "nop", "--out", out)
        assert f"{theirs} belongs to the user {NOBODY}, who could put links to other files there" in line
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert "others may write to" in refused(affidavit, "run", folder, "--agent", "nop", "--out", open_to_all)
    link = tmp_path / "link"
    link.symlink_to(theirs)
    assert "belongs to the user" in refused(affidavit, "run", folder, "--agent", "nop", "--out", link)
    assert list(theirs.iterdir()) == []


def test_folders_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "sticky"
    shared.mkdir()
    shared.chmod(0o777 | stat.S_ISVTX)
    check_owners(shared / "out")
    os.chown(shared, NOBODY, NOBODY)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    check_owners(shared / "out")
    monkeypatch.setenv("SUDO_UID", "1")
    with pytest.raises(RunError, match="belongs to the user"):
        check_owners(shared / "out")


def test_a_link_in_place_of_the_run(at_home: None, task: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written at the end goes into the folder that was made, wherever its name leads meanwhile."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    out = tmp_path / "out"
    real = run._run_all

    def racing(*arguments: object) -> object:
        done = real(*arguments)
        (made,) = out.iterdir()
        made.rename(out / "moved")
        made.mkdir()
        for name in ("run.json", ".run.json.tmp"):
            (made / name).symlink_to(victim)
        return done

    monkeypatch.setattr(run, "_run_all", racing)
    run_jobs([Job(load_task(task()), Agent.named("nop"))], RunOptions(out=out), Silent())
    assert victim.read_text() == "mine"
    assert (out / "moved/run.json").is_file()
    (next(path for path in out.iterdir() if path.name != "moved") / ".run.json.tmp").unlink()
