"""Full disks: of the output folder, of the state folder, of the sandbox."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.verification import verify
from harness import EBPF, SOLVE, TEST, Command, Home, Trials, leftovers, share_images, wait_until_gone

Make = Callable[..., Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts file systems of so many KiB."""
    mounted: list[Path] = []

    def mount(kib: int) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", place], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True)


def room(place: Path) -> int:
    """Free bytes."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_bsize


@pytest.mark.parametrize("kib", [4, 16, 64, 96])
def test_a_full_output_folder_is_an_error_and_leaves_nothing_half_written(
    affidavit: Command, task: Make, nothing_left: None, small_disk: Callable[[int], Path], kib: int
) -> None:
    out = small_disk(kib)
    noise = (
        f"for i in $(seq 3000); do echo $i >/tmp/some-file-with-a-name-$i; done; {SOLVE} head -c 200000 /dev/urandom"
    )
    ran = affidavit("run", task(), "--agent-cmd", noise, "--out", out)
    assert ran.status in (2, 4)
    assert "Traceback" not in ran.out + ran.err
    assert "full" in ran.out + ran.err or "No space left" in ran.out + ran.err
    assert not list(out.rglob("*.tmp"))
    assert not list(out.rglob("bundle"))


def test_a_disk_that_fills_up_later_spares_what_is_finished(
    affidavit: Command, task: Make, nothing_left: None, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    out = small_disk(400)
    task("tasks/a", files={"environment/root/workspace/todo": SOLVE})
    task("tasks/b", files={"environment/root/workspace/todo": f"{SOLVE} head -c 600000 /dev/urandom"})
    ran = affidavit("run", tmp_path / "tasks", "--agent-cmd", ". ./todo", "--out", out, "--json")
    assert ran.status == 4
    assert [trial["verdict"] for trial in ran.json["trials"]] == ["pass", "error"]
    assert "full" in ran.json["trials"][1]["reasons"][0]
    assert ran.json["trials"][1]["bundle"] is None
    [bundle] = out.rglob("bundle")
    assert verify(bundle).ok
    assert not list(out.rglob("*.tmp"))


@pytest.mark.parametrize("kib", [16, 4096])
def test_a_full_state_folder_is_an_error(
    affidavit: Command,
    task: Make,
    tmp_path: Path,
    small_disk: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
    kib: int,
) -> None:
    state = small_disk(kib)
    share_images(state)
    monkeypatch.setenv("AFFIDAVIT_STATE", str(state))
    # What a build in the grading needs is no fault of the agent's when there is no room for it.
    folder = task(test=f"cd /workspace && head -c 8M /dev/urandom >build && sync && rm build && {{\n{TEST}}}\n")
    ran = affidavit("run", folder, "--agent", "oracle", "--out", tmp_path / "out")
    assert ran.status in (2, 4)
    assert "Traceback" not in ran.out + ran.err
    assert str(state) in ran.out + ran.err
    assert "full" in ran.out or "No space left" in ran.err
    wait_until_gone(lambda: leftovers(state, tmp_path))


def test_an_agent_that_fills_its_disk_is_stopped_there(
    trials: Trials, task: Make, nothing_left: None, at_home: Home
) -> None:
    agent = f"{SOLVE} head -c 100M /dev/zero >big; ls -s big >/tmp/size; rm big; cat /tmp/size; true"
    before = room(at_home.state)
    outcome = trials(EBPF, task(storage_mb=16), agent)
    assert outcome.verdict == "pass"
    assert "No space left on device" in outcome.text("agent/stderr")
    assert room(at_home.state) > before - (64 << 20)


def test_a_full_disk_of_the_agents_does_not_hinder_the_grading(trials: Trials, task: Make, nothing_left: None) -> None:
    outcome = trials(EBPF, task(storage_mb=16), f"{SOLVE} cat /dev/zero >big")
    assert outcome.verdict == "pass"
    assert outcome.changed()["/workspace/big"]["size"] > 8 << 20
