"""The eBPF recorder, on real processes and on real sandboxes of runc."""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import oci

from affidavit.events import EVENT_SCHEMA, OPS, encode_name, process_tree
from affidavit.recorder import RecorderError, RecordSummary
from affidavit.recorder.ebpf import EbpfRecorder, EbpfRecording
from affidavit.recorder.ebpf.frames import FrameError, batch, end
from affidavit.recorder.ebpf.recording import LOADER, NO_SENDS_GAP

PYTHON = "/usr/bin/python3"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def c_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a static program from C source."""

    def build(source: str) -> Path:
        place = tmp_path_factory.mktemp("program")
        (place / "program.c").write_text("#define _GNU_SOURCE\n" + source)
        command = ["cc", "-O1", "-static", "-pthread", "-o", place / "program", place / "program.c"]
        subprocess.run(command, check=True)
        return place / "program"

    return build


def run(folder: Path, *argv: str, **options: Any) -> tuple[Rows, RecordSummary]:
    """The record of a sandbox."""
    table, summary = oci.record(EbpfRecorder(), oci.Box(folder, argv, **options))
    assert table.schema == EVENT_SCHEMA
    table.validate(full=True)
    return table.to_pylist(), summary


class Child:
    """A process of this machine, without a sandbox, that waits until it is recorded."""

    def __init__(self, *argv: str | Path, cwd: Path) -> None:
        reading, self._go = os.pipe()
        command = list(map(str, argv))
        gate = f"import os; os.read({reading}, 1); os.close({reading}); os.execv({command[0]!r}, {command!r})"
        self.process = subprocess.Popen([PYTHON, "-ISc", gate], pass_fds=[reading], cwd=cwd, stdout=subprocess.PIPE)
        os.close(reading)
        self.pid = self.process.pid

    def go(self) -> None:
        os.write(self._go, b"x")
        os.close(self._go)


def finish(recording: EbpfRecording, child: Child) -> tuple[Rows, RecordSummary]:
    batches: list[pa.RecordBatch] = []
    reader = threading.Thread(target=lambda: batches.extend(recording.batches()))
    reader.start()
    child.go()
    child.process.communicate(timeout=60)
    recording.stop()
    reader.join(timeout=60)
    assert not reader.is_alive()
    table = pa.Table.from_batches(batches, EVENT_SCHEMA)
    table.validate(full=True)
    return table.to_pylist(), recording.summary()


@dataclass(frozen=True)
class Bare:
    """What a recorder asks of a sandbox, where there is none."""

    earlier_links: Mapping[bytes, bytes] = field(default_factory=dict)


def watch(
    *argv: str | Path, cwd: Path, recorder: EbpfRecorder | None = None, box: Bare | None = None
) -> tuple[Rows, RecordSummary]:
    """The record of a process."""
    child = Child(*argv, cwd=cwd)
    recording = (recorder or EbpfRecorder()).open("child")
    try:
        recording.attach(box or Bare(), child.pid)  # type: ignore[arg-type]
        return finish(recording, child)
    finally:
        child.process.kill()
        recording.close()


def of(rows: Rows, op: str, *columns: str) -> list[Any]:
    """Values of the rows of an operation."""
    chosen = [tuple(row[column] for column in columns) for row in rows if row["op"] == op]
    return [values[0] for values in chosen] if len(columns) == 1 else chosen


def is_whole(summary: RecordSummary) -> bool:
    return summary.complete and summary.lost == 0 and summary.reasons == ()


def test_the_programs_for_older_kernels_say_so() -> None:
    plain, older = EbpfRecorder().available(), EbpfRecorder(older=True).available()
    assert older.works, older.detail
    assert "programs for older kernels, not proven there, loaded" in older.detail
    assert older.unproven
    assert not plain.unproven
    assert set(plain.gaps) <= set(older.gaps)


def test_a_loader_of_other_sources_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = tmp_path / "affidavit-record"
    # A frame "R" as a former loader sent it, to the socket that is its standard input.
    loader.write_text(
        "#!/bin/sh\nprintf 'R\\000\\000\\000\\004\\000\\000\\000\\001\\000\\000\\000' >&0; cat >/dev/null\n"
    )
    loader.chmod(0o755)
    for module in ("recording", "loader"):
        monkeypatch.setattr(f"affidavit.recorder.ebpf.{module}.LOADER", loader)
    answer = EbpfRecorder().available()
    assert (answer.works, answer.fix) == (False, "run: make setup")
    assert answer.detail == f"{loader} was built from other sources than these"


def test_works_here() -> None:
    answer = EbpfRecorder().available()
    assert answer.works, answer


def test_operations_stand_in_the_order_of_the_schema() -> None:
    header = (LOADER.parent.parent / "record.h").read_text()
    names = re.findall(r"\bEV_([A-Z_]+)", header[: header.index("EVS,")])
    assert tuple(name.lower() for name in names) == OPS


def test_begins_with_the_command_and_ends_with_it(folder: Path) -> None:
    rows, _ = run(folder, "/bin/true")
    assert (rows[0]["op"], rows[0]["path"], rows[0]["exe"]) == ("exec", "/usr/bin/true", "/usr/bin/true")
    assert rows[0]["argv"] == ["/bin/true"]
    assert (rows[-1]["op"], rows[-1]["pid"]) == ("exit", rows[0]["pid"])
    assert {row["pid"] for row in rows} == {rows[0]["pid"]}


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "bound").mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "real", tmp_path / "bound"], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path / "bound"], check=True)


@pytest.mark.parametrize("older", [False, True], ids=["this kernel's programs", "those for older kernels"])
def test_names_are_resolved(tree: Path, older: bool) -> None:
    program = """
import os
os.mkdir("link/one")
os.mkdir("link/../two")
os.mkdir("bound/deep/../three")
os.chdir("bound/deep")
os.mkdir("four")
os.mkdir("../../link/deep/./five//")
fd = os.open("../../link", os.O_PATH)
os.mkdir("six", dir_fd=fd)
os.mkdir("/proc/self/root/" + os.getcwd() + "/seven")
os.mkdir(f"/proc/self/fd/{fd}/eight")
open("four/file", "w").close()
try: open("/proc/self/cwd/none")
except OSError: pass
try: open("../../missing/../../folder/./file")
except OSError: pass
"""
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tree, recorder=EbpfRecorder(older=older))
    assert is_whole(summary)
    names = [
        "real/one",
        "two",
        "bound/three",
        "bound/deep/four",
        "real/deep/five",
        "real/six",
        "bound/deep/seven",
        "real/eight",
    ]
    assert of(rows, "mkdir", "path") == [f"{tree}/{name}" for name in names]
    assert of(rows, "create", "path", "source") == [(f"{tree}/bound/deep/four/file", "ebpf/kernel")]
    assert of(rows, "open_read", "path")[-2:] == [f"{tree}/bound/deep/none", f"{tree.parent}/folder/file"]


def test_names_of_any_bytes_and_length(tmp_path: Path) -> None:
    rng = random.Random(7)
    names = [
        b"a\nb",
        b"back\\slash",
        b"\xff\xfe",
        "é日🎉".encode(),
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe2\x82",
    ]
    names += [bytes(rng.choices([*range(1, 47), *range(48, 256)], k=rng.randint(1, 255))) for _ in range(100)]
    program = f"""
import os
for name in {[*names]!r}:
    os.mkdir(name)
for _ in range(38):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("file", "w").close()
os.mkdir("last")
os.chdir("/")
"""
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path)
    assert is_whole(summary)
    made = of(rows, "mkdir", "path")
    assert made[: len(names)] == [encode_name(os.fsencode(tmp_path) + b"/" + name) for name in names]
    deep = str(tmp_path) + ("/" + "d" * 200) * 38
    assert of(rows, "create", "path") == [deep + "/file"]
    assert made[-1] == deep + "/last"


def test_a_path_that_is_too_long_is_a_loss(tmp_path: Path) -> None:
    program = """
import os
for _ in range(50):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("file", "w").close()
"""
    _, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path)
    assert not summary.complete
    assert "have a path that is too long" in summary.reasons[0]
    subprocess.run(["rm", "-r", tmp_path / ("d" * 200)], check=True)


def test_a_path_of_the_greatest_length(tmp_path: Path) -> None:
    folder = str(tmp_path) + ("/" + "n" * 100) * ((4000 - len(str(tmp_path))) // 101)
    name = folder + "/" + "f" * (4095 - len(folder) - 1)
    program = f"import os; os.makedirs({folder!r}); os.mkdir({name!r}); open({name!r} + '/')"
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path)
    assert len(name) == 4095
    assert of(rows, "mkdir", "path")[-1] == name
    assert is_whole(summary)


def test_arguments_that_are_cut_are_marked(tmp_path: Path) -> None:
    program = "import os; os.execv('/bin/true', ['true', 'x' * 100_000, 'y' * 100_000])"
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path)
    assert of(rows, "exec", "flags") == [0, 1]
    argv = of(rows, "exec", "argv")[1]
    assert argv == ["true", "x" * 100_000, "y" * ((128 << 10) - 100_006)]
    assert is_whole(summary)


def test_process_tree(tmp_path: Path) -> None:
    program = """
import os, threading, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.1)
        os.mkdir("late")
    os._exit(0)
os.wait()
threads = [threading.Thread(target=lambda: None) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
time.sleep(0.3)
"""
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path)
    assert is_whole(summary)
    assert len(of(rows, "fork", "ret")) == 2  # threads are no processes
    parents = {row["ret"]: row["pid"] for row in rows if row["op"] == "fork"}
    (late,) = of(rows, "mkdir", "pid")
    assert parents[parents[late]] == rows[0]["pid"]
    (root,) = process_tree(pa.Table.from_pylist(rows, EVENT_SCHEMA))
    assert root.children[0].children[0].exit_code == 0


def test_a_thread_that_runs_exec_stays_recorded(tmp_path: Path, c_program: Callable[[str], Path]) -> None:
    program = c_program("""
#include <pthread.h>
#include <unistd.h>
static void *run(void *none) { execl("/bin/mkdir", "mkdir", "made", NULL); return none; }
int main(void) { pthread_t t; pthread_create(&t, NULL, run, NULL); for (;;) pause(); }
""")
    rows, summary = watch(program, cwd=tmp_path)
    assert of(rows, "mkdir", "path", "exe") == [(f"{tmp_path}/made", "/usr/bin/mkdir")]
    assert {row["pid"] for row in rows} == {rows[0]["pid"]}
    assert of(rows, "exit", "tid") == [rows[0]["pid"]]
    assert is_whole(summary)


def test_a_name_that_changes_during_the_call_is_marked(tmp_path: Path, c_program: Callable[[str], Path]) -> None:
    # A call that waits, so that there is time: it is interrupted after the name has changed.
    program = c_program("""
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static char name[] = "fifo";
static void on(int number) { }
static void *change(void *thread)
{
	usleep(100000);
	strcpy(name, "else");
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}
int main(void)
{
	pthread_t self = pthread_self(), other;
	struct sigaction action = {.sa_handler = on};
	sigaction(SIGUSR1, &action, NULL);
	mkfifo(name, 0600);
	pthread_create(&other, NULL, change, &self);
	open(name, O_WRONLY);
	pthread_join(other, NULL);
	unlink(name);
	return 0;
}
""")
    rows, summary = watch(program, cwd=tmp_path)
    assert of(rows, "open_write", "ret", "source") == [(-errno.EINTR, "ebpf/raced")]
    assert of(rows, "unlink", "path", "source") == [(f"{tmp_path}/else", "ebpf/memory")]
    assert is_whole(summary)


DENY = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["mkdir", "ptrace", "clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
        {"names": ["io_uring_setup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ],
}


def test_calls_that_seccomp_denies(folder: Path) -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(83, b"x", 0o700)
libc.syscall(101, 0, 0, 0, 0)
libc.syscall(425, 8, None)
os.mkdir("seen", dir_fd=os.open(".", 0))
if os.fork() == 0: os._exit(0)
os.wait()
"""
    rows, summary = run(folder, PYTHON, "-ISc", program, seccomp=DENY)
    assert of(rows, "denied", "flags", "ret", "path") == [(83, -1, None), (101, -1, None), (425, -38, None)]
    assert of(rows, "mkdir", "path") == ["/workspace/seen"]
    assert is_whole(summary)


INT80 = """
#include <unistd.h>
int main(void)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(39L), "b"(0L), "c"(0L) : "memory", "r8", "r9", "r10", "r11");
	return 0;
}
"""


def test_the_32_bit_entry(folder: Path, c_program: Callable[[str], Path]) -> None:
    program = c_program(INT80)
    # Where it is let through, the record says that it does not know what was done.
    rows, summary = watch(program, cwd=folder)
    assert not summary.complete
    assert summary.lost == 1
    # Where the filter kills its user, the attempt is a row.
    box = oci.Box(folder, ["/workspace/program"], seccomp=DENY)
    (box.workspace / "program").write_bytes(program.read_bytes())
    (box.workspace / "program").chmod(0o755)
    table, summary = oci.record(EbpfRecorder(), box)
    rows = table.to_pylist()
    assert of(rows, "denied", "flags") == [39 | 1 << 32]
    assert of(rows, "exit", "flags") == [signal.SIGSYS]
    assert is_whole(summary)


def test_counts_are_exact(tmp_path: Path, c_program: Callable[[str], Path]) -> None:
    program = c_program("""
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static void *run(void *none) { for (int i = 0; i < 12345; i++) syscall(SYS_getppid); return none; }
int main(void)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++) pthread_create(t + i, NULL, run, NULL);
	for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
	if (!fork()) { run(NULL); _exit(0); }
	wait(NULL);
	return 0;
}
""")
    rows, summary = watch(program, cwd=tmp_path)
    counts = {(row["pid"], row["syscall"]): row["count"] for row in summary.counts.to_pylist()}
    (child,) = of(rows, "fork", "ret")
    assert counts[rows[0]["pid"], "getppid"] == 4 * 12345
    assert counts[child, "getppid"] == 12345
    assert {row["exe"] for row in summary.counts.to_pylist()} >= {str(program)}
    assert is_whole(summary)


def test_many_short_processes(tmp_path: Path, c_program: Callable[[str], Path]) -> None:
    program = c_program("""
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
	for (int i = 0; i < 3000; i++) {
		if (!vfork()) _exit(5);
		if (i % 20 == 19) while (wait(NULL) > 0);
	}
	while (wait(NULL) > 0);
	return 0;
}
""")
    rows, summary = watch(program, cwd=tmp_path)
    assert is_whole(summary)
    assert Counter(row["op"] for row in rows) == {"exec": 1, "fork": 3000, "exit": 3001}
    assert Counter(of(rows, "exit", "ret")) == {5: 3000, 0: 1}


FLOOD = """
#include <fcntl.h>
#include <unistd.h>
int main(void) { for (int i = 0; i < 100000; i++) close(open("/", O_RDONLY)); return 0; }
"""


def test_a_full_ring_buffer_is_a_loss(tmp_path: Path, c_program: Callable[[str], Path]) -> None:
    rows, summary = watch(c_program(FLOOD), cwd=tmp_path, recorder=EbpfRecorder(ring_bytes=4096))
    assert not summary.complete
    assert "did not fit into the ring buffer" in summary.reasons[0]
    assert summary.lost > 0
    assert summary.facts["totals"]["received"] + summary.lost == summary.facts["totals"]["emitted"]
    assert summary.events == len(rows)


def test_a_flood_is_not_lost(tmp_path: Path, c_program: Callable[[str], Path]) -> None:
    rows, summary = watch(c_program(FLOOD), cwd=tmp_path)
    assert is_whole(summary)
    assert len(of(rows, "open_read", "path")) == 100000


def test_a_killed_loader_makes_the_record_incomplete(tmp_path: Path) -> None:
    child = Child("/bin/sleep", "60", cwd=tmp_path)
    recording = EbpfRecorder().open("child")
    try:
        recording.attach(Bare(), child.pid)  # type: ignore[arg-type]
        child.go()
        batches = recording.batches()
        next(batches)
        os.kill(recording.loader_pid, signal.SIGKILL)
        assert list(batches) is not None
        recording.stop()
        summary = recording.summary()
        assert not summary.complete
        assert summary.reasons == ("the recorder ended before its end-of-stream mark",)
    finally:
        child.process.kill()
        child.process.wait()
        recording.close()


def test_what_still_runs_at_the_end_is_said(tmp_path: Path) -> None:
    child = Child("/bin/sleep", "60", cwd=tmp_path)
    recording = EbpfRecorder().open("child")
    try:
        recording.attach(Bare(), child.pid)  # type: ignore[arg-type]
        child.go()
        recording.stop()
        list(recording.batches())
        summary = recording.summary()
        assert summary.reasons == ("1 tasks of the sandbox still ran as the record ended",)
        assert not summary.complete
    finally:
        child.process.kill()
        child.process.wait()
        recording.close()


def test_a_process_that_is_gone_is_refused(tmp_path: Path) -> None:
    child = Child("/bin/true", cwd=tmp_path)
    child.go()
    child.process.wait()
    recording = EbpfRecorder().open("child")
    try:
        with pytest.raises(RecorderError, match="is gone"):
            recording.attach(Bare(), child.pid)  # type: ignore[arg-type]
    finally:
        recording.close()
    recording.close()


def test_side_by_side_without_cross_talk(tmp_path: Path) -> None:
    answers: dict[int, tuple[Rows, RecordSummary]] = {}

    def one(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        program = "for i in 1 2 3 4 5; do mkdir $i; done"
        answers[number] = watch("/bin/sh", "-c", program, cwd=folder)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (rows, summary) in answers.items():
        assert of(rows, "mkdir", "path") == [f"{tmp_path}/{number}/{i}" for i in range(1, 6)]
        assert is_whole(summary)
    assert len(answers) == 3


def test_rows_come_within_moments(tmp_path: Path) -> None:
    child = Child("/bin/sh", "-c", "sleep 0.2; mkdir seen; sleep 60", cwd=tmp_path)
    recording = EbpfRecorder().open("child")
    try:
        recording.attach(Bare(), child.pid)  # type: ignore[arg-type]
        child.go()
        delays = []
        for batch in recording.batches():
            now = time.monotonic_ns()
            rows = batch.to_pylist()
            delays += [now - row["ts_ns"] for row in rows]
            if "mkdir" in {row["op"] for row in rows}:
                break
        assert min(delays) < 20_000_000
    finally:
        child.process.kill()
        child.process.wait()
        recording.close()


def test_links_that_are_gone_at_once_are_followed(tmp_path: Path) -> None:
    # Each name is used within moments of the link on it, which is gone before anyone could look it up.
    program = """
import os
os.makedirs("hidden/inner")
os.symlink("hidden", "a"); os.mkdir("a/one"); os.unlink("a")
os.symlink("hidden", "a"); os.symlink("a/inner", "b"); os.mkdir("b/two"); os.mkdir("b/../three"); os.unlink("b")
os.rename("a", "c"); os.mkdir("c/four"); os.unlink("c")
os.mkdir("folder"); os.symlink("../hidden", "folder/l"); os.rename("folder", "moved"); os.mkdir("moved/l/five")
os.unlink("moved/l"); os.rmdir("moved")
open("file", "w").close(); os.symlink("file", "d"); os.chmod("d", 0o600); os.truncate("d", 1); os.unlink("d")
os.symlink("loop", "loop")
try: os.mkdir("loop/x")
except OSError: pass
"""
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path)
    assert is_whole(summary)
    made = [path.removeprefix(f"{tmp_path}/") for path in of(rows, "mkdir", "path")]
    names = ["one", "inner/two", "three", "four"]
    assert made == ["hidden", "hidden/inner", *(f"hidden/{name}" for name in names), "folder", "hidden/five", "loop/x"]
    assert of(rows, "chmod", "path") == of(rows, "truncate", "path") == [f"{tmp_path}/file"]


def test_links_of_an_earlier_sandbox_are_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    links = {f"l{number}": "kept" for number in range(100)}
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    told = Bare({os.fsencode(tmp_path / name): target.encode() for name, target in links.items()})
    program = "import os\nfor l in range(100): os.mkdir(f'l{l}/{l}'); os.unlink(f'l{l}')"
    rows, summary = watch(PYTHON, "-ISc", program, cwd=tmp_path, box=told)
    assert is_whole(summary)
    assert of(rows, "mkdir", "path") == [f"{tmp_path}/kept/{number}" for number in range(100)]
    many = Bare({b"/%d" % number: b"x" for number in range((1 << 15) + 1)})
    _, summary = watch("/bin/true", cwd=tmp_path, box=many)
    assert summary.reasons == ("32769 links of an earlier sandbox are too many to be kept",)


SOCKETS = """
import ctypes, os, socket, struct
def question(name):
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b"."))
    return struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)

class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_int), ("vector", ctypes.POINTER(Vector)),
                ("vectors", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                ("flags", ctypes.c_size_t), ("sent", ctypes.c_size_t)]

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("127.0.0.1", 53))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.sendto(question(b"sendto.test"), ("127.0.0.1", 53))
udp.sendto(b"not a question", ("127.0.0.1", 53))
udp.sendmsg([question(b"sendmsg.test")], [], 0, ("127.0.0.1", 53))
udp.connect(("127.0.0.1", 53))
udp.send(question(b"send.test"))
os.write(udp.fileno(), question(b"write.test"))
vectors = [Vector(text, len(text)) for text in (question(b"first.test"), question(b"second.test"))]
messages = (Message * 2)(*(Message(None, 0, ctypes.pointer(vector), 1, None, 0, 0, 0) for vector in vectors))
assert ctypes.CDLL(None).sendmmsg(udp.fileno(), messages, 2, 0) == 2

listener = socket.socket(socket.AF_INET6); listener.bind(("::1", 53)); listener.listen()
tcp = socket.socket(socket.AF_INET6); tcp.connect(("::1", 53))
tcp.send(struct.pack("!H", len(question(b"tcp.test"))) + question(b"tcp.test"))
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("::ffff:127.0.0.1", 99))

unix = socket.socket(socket.AF_UNIX); unix.bind("sock"); unix.listen()
os.symlink("sock", "link")
client = socket.socket(socket.AF_UNIX); client.connect("link"); unix.accept()
hidden = socket.socket(socket.AF_UNIX); hidden.bind(b"\\0hidden\\xff"); hidden.listen()
socket.socket(socket.AF_UNIX).connect(b"\\0hidden\\xff")
"""


@pytest.mark.parametrize("older", [False, True], ids=["this kernel's programs", "those for older kernels"])
def test_sockets_and_questions_to_name_servers(folder: Path, older: bool) -> None:
    # In a network of its own, whose loopback interface runc brings up; port 53 is open to all there.
    box = oci.Box(folder, [PYTHON, "-ISc", SOCKETS])
    box.config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    table, summary = oci.record(EbpfRecorder(older=older), box)
    rows = table.to_pylist()
    assert box.output() == ""
    assert is_whole(summary)
    names = ["sendto", "sendmsg", "send", "write", "first", "second"]
    asked = of(rows, "dns", "path2", "addr", "port", "proto")
    assert asked == [*((f"{name}.test", "127.0.0.1", 53, "udp") for name in names), ("tcp.test", "::1", 53, "tcp")]
    # Where a kernel does not show the end of each message of sendmmsg, both of this one's are said to be raced.
    surely = [row for row in rows if row["source"] != "ebpf/raced"]
    assert of(surely, "sendto", "addr", "port", "proto") == [("127.0.0.1", 53, "udp")] * 3 + [("127.0.0.1", 99, "udp")]
    raced = [row["op"] for row in rows if row["source"] == "ebpf/raced"]
    assert raced.count("sendto") == (2 if NO_SENDS_GAP in summary.gaps else 0)
    inet, inet6, local = 2, 10, 1
    assert of(rows, "bind", "flags", "path", "addr", "port") == [
        (inet, None, "127.0.0.1", 53),
        (inet6, None, "::1", 53),
        (local, "/workspace/sock", None, None),
        (local, None, "@hidden\\xff", None),
    ]
    connected = of(rows, "connect", "flags", "path", "addr", "port", "source")
    assert connected == [
        (inet, None, "127.0.0.1", 53, "ebpf/kernel"),
        (inet6, None, "::1", 53, "ebpf/kernel"),
        (local, "/workspace/sock", None, None, "ebpf/kernel"),
        (local, None, "@hidden\\xff", None, "ebpf/kernel"),
    ]
    assert of(rows, "listen", "port", "path") == [(53, None), (None, "/workspace/sock"), (None, None)]


def frames(recording: EbpfRecording, child: Child) -> list[tuple[str, bytearray]]:
    """What the loader wrote, undecoded."""
    child.go()
    child.process.wait()
    recording.stop()
    taken = []
    while not taken or taken[-1][0] != "F":
        taken.append(recording._frame())
    return taken


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytearray]]:
    child = Child("/bin/ls", "/", cwd=tmp_path_factory.mktemp("genuine"))
    recording = EbpfRecorder().open("child")
    try:
        recording.attach(Bare(), child.pid)  # type: ignore[arg-type]
        return frames(recording, child)
    finally:
        recording.close()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_frame_that_is_not_whole_is_refused(genuine: list[tuple[str, bytearray]], data: st.DataObject) -> None:
    kind, payload = data.draw(st.sampled_from(genuine))
    broken = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 8))):
        # The head and the list of buffers are what decoding goes by.
        at = data.draw(st.integers(0, min(700, len(broken)) - 1))
        broken[at] = data.draw(st.integers(0, 255))
    del broken[data.draw(st.integers(0, len(broken))) :]
    try:
        if kind == "B":
            batch(broken, 0).validate()
        else:
            end(broken)
    except (FrameError, pa.ArrowException):
        pass
