"""What the guests are made of; booting them is `make test-kernels`."""

import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import guests


def test_drivers_come_after_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text(
        "kernel/virtio_blk.ko.xz: kernel/virtio_ring.ko.xz kernel/virtio.ko.xz\n"
        "kernel/virtio_ring.ko.xz: kernel/virtio.ko.xz\n"
        "kernel/virtio.ko.xz:\n"
        "kernel/sound.ko.xz:\n"
    )
    names = [file.name.split(".")[0] for file in guests.drivers(tmp_path)]
    assert names == ["virtio", "virtio_ring", "virtio_blk"]


def test_a_report_is_counted_by_recorder(tmp_path: Path) -> None:
    report = tmp_path / "table.xml"
    report.write_text(
        '<testsuites><testsuite><testcase name="a[ebpf-x]"/><testcase name="b[ebpf-x]"><failure/></testcase>'
        '<testcase name="c[ebpf-x]"><skipped/></testcase><testcase name="a[ptrace-x]"/></testsuite></testsuites>'
    )
    assert guests.counted(report, "ebpf") == "1 passed, 1 failed, 1 skipped"
    assert guests.counted(report, "ptrace") == "1 passed"
    assert guests.counted(tmp_path / "none.xml", "ebpf") == "no report"


def test_what_a_stopped_guest_wrote_is_there(tmp_path: Path) -> None:
    disk, status = tmp_path / "disk", tmp_path / "doctor.status"
    disk.write_bytes(bytes(1 << 16))
    guests.unpack(disk, tmp_path / "nothing")
    assert list((tmp_path / "nothing").iterdir()) == []
    status.write_text("0")
    with tarfile.open(disk, "w") as archive:
        archive.add(status, "./doctor.status")
    with disk.open("ab") as file:
        file.write(bytes(1 << 16))
    guests.unpack(disk, tmp_path / "found")
    assert guests.status(tmp_path / "found" / "doctor.status") == "passed"


def test_an_initial_file_system_is_aligned() -> None:
    made = guests.cpio([("init", 0o100755, b"#!/bin/sh\n")])
    assert made.startswith(b"070701")
    assert len(made) % 4 == 0
    assert made.index(b"#!/bin/sh") % 4 == 0
    assert b"TRAILER!!!" in made


@pytest.mark.parametrize("arguments", [["no-such-kernel"], ["--steps", "no-such-step"]])
def test_a_name_that_is_not_there_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        guests.main(arguments)
    assert refused.value.code == 2
    assert "no such" in capsys.readouterr().err
