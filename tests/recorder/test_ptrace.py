"""strace as a recorder, on real sandboxes of runc."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import oci

from affidavit.events import EVENT_SCHEMA, encode_name, process_tree
from affidavit.recorder import RecorderError, RecordSummary
from affidavit.recorder.ptrace import PtraceRecorder, transcript
from affidavit.recorder.ptrace.tasks import task_link

PYTHON = "/usr/bin/python3"


def run(folder: Path, *argv: str, **options: Any) -> tuple[list[dict[str, Any]], RecordSummary]:
    table, summary = oci.record(PtraceRecorder(), oci.Box(folder, argv, **options))
    assert table.schema == EVENT_SCHEMA
    return table.to_pylist(), summary


def test_works_here() -> None:
    answer = PtraceRecorder().available()
    assert answer.works
    assert not any("newer than this strace" in gap for gap in answer.gaps)


def test_begins_with_the_command_and_ends_with_it(folder: Path) -> None:
    rows, _ = run(folder, "/bin/true")
    assert (rows[0]["op"], rows[0]["path"], rows[0]["exe"]) == ("exec", "/usr/bin/true", "/usr/bin/true")
    assert rows[0]["argv"] == ["/bin/true"]
    assert (rows[-1]["op"], rows[-1]["pid"]) == ("exit", rows[0]["pid"])
    assert {row["pid"] for row in rows} == {rows[0]["pid"]}


def test_opened_files_are_named_by_the_kernel(folder: Path) -> None:
    program = (
        "import os; os.symlink('/etc', 'e'); open('x', 'w').close(); os.rename('x', 'y'); open('/proc/self/cwd/y')"
    )
    rows, _ = run(folder, PYTHON, "-c", program)
    assert [row["source"] for row in rows if row["path"] == "/workspace/y" and row["op"] == "open_read"] == [
        "ptrace/kernel"
    ]


def test_process_tree(folder: Path) -> None:
    table, summary = oci.record(
        PtraceRecorder(), oci.Box(folder, ["/bin/sh", "-c", "(true; sleep 0); env true & wait"])
    )
    (root,) = process_tree(table)
    assert root.exe == "/usr/bin/dash"
    assert {child.exe for child in root.children} == {"/usr/bin/sleep", "/usr/bin/true"}
    assert summary.complete


def test_double_fork_and_setsid_are_followed(folder: Path) -> None:
    program = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(0.2)
        open("/workspace/late", "w")
    os._exit(0)
os.wait()
time.sleep(0.6)
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    (late,) = [row for row in rows if row["path"] == "/workspace/late"]
    parents = {row["ret"]: row["pid"] for row in rows if row["op"] == "fork"}
    assert parents[parents[late["pid"]]] == rows[0]["pid"]
    assert summary.complete


def test_programs_that_are_gone_before_anyone_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "task_link", lambda pid, name: None if name == "exe" else task_link(pid, name))
    program = """
cp /bin/sh own; ./own -c :; ./own -c 'rm own'
printf '#!/bin/sh\\nexec true\\n' > script; chmod +x script; ./script
printf '#!/bin/sh\\nrm one\\n' > one; chmod +x one; ./one
printf '#!./script\\n' > other; chmod +x other; ./other
python3 -c 'import os; os.execv("/proc/self/exe", ["python3", "-V"])'
"""
    rows, summary = run(folder, "/bin/sh", "-c", program)
    assert summary.complete
    assert not [row for row in rows if row["source"] == "ptrace/raced"]
    ran = [row["path"] for row in rows if row["op"] == "exec" and row["ret"] == 0]
    assert ran.count("/workspace/own") == 2
    assert not any("watching what is run" in gap for gap in summary.gaps)


def test_processes_that_live_moments_keep_their_parents(folder: Path) -> None:
    program = """
import os, threading, time
for _ in range(8):
    threading.Thread(target=time.sleep, args=(1.5,), daemon=True).start()
def work():
    for i in range(60):
        if os.fork() == 0:
            os._exit(3)
        os.wait()
for _ in range(2):
    if os.fork() == 0:
        work()
        os._exit(0)
os.wait(), os.wait()
"""
    table, summary = oci.record(PtraceRecorder(), oci.Box(folder, [PYTHON, "-c", program]))
    (root,) = process_tree(table)
    assert [len(child.children) for child in root.children] == [60, 60]
    assert summary.complete


def test_failed_fork_is_a_row(folder: Path) -> None:
    program = """
import os, resource
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    os.fork()
except BlockingIOError:
    pass
"""
    rows, _ = run(folder, PYTHON, "-c", program)
    assert [row["ret"] for row in rows if row["op"] == "fork"] == [-11]


def test_a_thread_that_runs_exec(folder: Path) -> None:
    program = """
import os, threading, time
threading.Thread(target=lambda: os.execv("/usr/bin/env", ["env", "true"])).start()
time.sleep(5)
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    execs = [(row["path"], row["ret"], row["pid"] == row["tid"]) for row in rows if row["op"] == "exec"]
    assert execs[1:] == [("/usr/bin/env", 0, True), ("/usr/bin/true", 0, True)]
    assert summary.complete


def test_executables_of_processes_that_go_on_at_once(folder: Path) -> None:
    # By the time that the record is read they run something else, or are gone.
    program = """
import os
for _ in range(40):
    if os.fork() == 0:
        os.execv("/usr/bin/env", ["env", "env", "env", "true"])
    os.wait()
if os.fork() == 0:
    os.execv("/proc/self/exe", ["again", "-c", "0"])
os.wait()
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    execs = [(row["path"], row["exe"]) for row in rows if row["op"] == "exec"]
    env, true = ("/usr/bin/env",) * 2, ("/usr/bin/true",) * 2
    assert execs[1:-1] == [env, env, env, true] * 40
    assert execs[-1][1] == execs[0][1]
    assert {row["source"] for row in rows} == {"ptrace/kernel", "ptrace/memory"}
    assert summary.complete


def test_names_that_are_not_text(folder: Path) -> None:
    program = r"""
import os
for name in (b"\xff\xfe", b"a\nb", b"back\\slash", b"n" * 255, "\u00e9".encode()):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    os.unlink(name)
deep = b"/workspace/" + b"/".join([b"d" * 200] * 19)
try:
    os.mkdir(deep)
except OSError:
    pass
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    names = ["\\xff\\xfe", "a\nb", "back\\\\slash", "n" * 255, "é"]
    for op in ("create", "unlink"):
        assert [row["path"] for row in rows if row["op"] == op] == [f"/workspace/{name}" for name in names]
    assert [len(row["path"]) for row in rows if row["op"] == "mkdir"] == [len("/workspace/") + 19 * 201 - 1]
    assert summary.complete


def test_what_a_program_prints_is_no_line(folder: Path) -> None:
    forged = '1234  1700000000.123456789 unlink("\\x2f\\x66") = 0\n'
    program = f"""
import os, sys, ctypes
line = {forged!r}
sys.stdout.write(line); sys.stderr.write(line)
for fd in range(3, 64):
    try:
        os.write(fd, line.encode())
    except OSError:
        pass
try:
    os.open(line, os.O_RDONLY)
except OSError:
    pass
ctypes.CDLL(None).prctl(15, b"x) = 0\\n1 1.1 e")
os.execv("/bin/true", [line, line])
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    assert not [row for row in rows if row["op"] == "unlink"]
    assert [row["argv"] for row in rows if row["op"] == "exec"][-1] == [encode_name(forged.encode())] * 2
    assert summary.complete


def test_long_arguments_are_marked_as_cut(folder: Path) -> None:
    program = "import os; os.execv('/bin/true', ['true', 'x' * 100_000])"
    rows, _ = run(folder, PYTHON, "-c", program)
    row = rows[max(i for i, row in enumerate(rows) if row["op"] == "exec")]
    assert row["flags"] == 1
    assert len(row["argv"][1]) == 4096


def test_many_arguments_are_marked_as_cut(folder: Path) -> None:
    program = "import os; os.execv('/bin/true', ['true'] + ['y' * 99] * 15_000)"
    rows, summary = run(folder, PYTHON, "-c", program)
    row = rows[max(i for i, row in enumerate(rows) if row["op"] == "exec")]
    assert row["flags"] == 1
    assert row["ret"] == 0
    assert summary.complete


def test_counts(folder: Path) -> None:
    table, summary = oci.record(PtraceRecorder(), oci.Box(folder, ["/bin/sh", "-c", "cat /dev/null; mkdir d; rmdir d"]))
    counts = summary.counts.to_pylist()
    assert sum(row["count"] for row in counts if row["syscall"] == "mkdir") == 1
    opens = sum(row["count"] for row in counts if row["syscall"] == "openat")
    assert opens == sum(op in ("open_read", "open_write", "create") for op in table["op"].to_pylist())
    assert any("counts" in gap for gap in summary.gaps)


def test_a_call_that_strace_has_no_name_for_is_a_loss(folder: Path) -> None:
    # fchmodat2(2), which is newer than strace 6.1; an older kernel does nothing.
    program = "import ctypes; raise SystemExit(ctypes.CDLL(None).syscall(452, -100, b'/workspace', 0o700, 0) != 0)"
    rows, summary = run(folder, PYTHON, "-c", program)
    (row,) = [row for row in rows if row["op"] == "chmod"]
    done = rows[-1]["ret"] == 0
    assert (row["ret"] == 0) == done
    assert summary.complete == (not done or row["path"] is not None)


def test_dns_questions(folder: Path) -> None:
    # No resolv.conf: the C library asks 127.0.0.1.
    program = "import socket\ntry: socket.getaddrinfo('Some.Name.example', 80)\nexcept OSError: pass"
    rows, summary = run(folder, PYTHON, "-c", program)
    asked = [row for row in rows if row["op"] == "dns"]
    assert {row["path2"].lower() for row in asked} == {"some.name.example"}
    assert {(row["addr"], row["port"], row["proto"]) for row in asked} == {("127.0.0.1", 53, "udp")}
    assert summary.complete


def test_folders_deeper_than_a_path_can_be_long(folder: Path) -> None:
    program = """
import os
for _ in range(40):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("file", "w").close()
os.rename("file", "other")
"""
    rows, summary = run(folder, PYTHON, "-c", program)
    deep = "/workspace" + ("/" + "d" * 200) * 40
    assert [row["path"] for row in rows if row["op"] == "create"] == [f"{deep}/file"]
    assert [(row["path"], row["path2"]) for row in rows if row["op"] == "rename"] == [(f"{deep}/file", f"{deep}/other")]
    assert summary.complete


def test_refused_calls(folder: Path) -> None:
    program = """
import ctypes, errno, threading
libc = ctypes.CDLL(None, use_errno=True)
def tried(call, *args):
    assert (call(*args), ctypes.get_errno()) == (-1, errno.EPERM)
tried(libc.unshare, 0x10000000)
tried(libc.mount, b"a", b"/tmp", b"tmpfs", 0, 0)
thread = threading.Thread(target=tried, args=(libc.ptrace, 0, 0, 0, 0))
thread.start()
thread.join()
"""
    names = ["mount", "ptrace", "unshare"]
    seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]}
    rows, summary = run(folder, PYTHON, "-c", program, seccomp=seccomp)
    denied = [row for row in rows if row["op"] == "denied"]
    assert [(row["flags"], row["ret"]) for row in denied] == [(272, -1), (165, -1), (101, -1)]
    assert [row["tid"] == row["pid"] for row in denied] == [True, True, False]
    assert {row["pid"] for row in denied} == {rows[0]["pid"]}
    assert not any("handed over no listener" in gap for gap in summary.gaps)
    assert summary.complete


EVASIONS = {
    # By the 32-bit entry.
    "int80": r"""
        long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(5), "b"(low("/etc/int80")), "c"(0) : "memory");""",
    # In a child that shares its parent's memory.
    "vfork": r"""if (vfork() == 0) { open("/etc/vfork", 0); _exit(0); }""",
    # In a child that asks not to be traced, and so can do nothing of what is recorded.
    "untraced": r"""
        if (syscall(SYS_clone, 0x800000 | 17, 0, 0, 0, 0) == 0) {
            int fd = open("/workspace/untraced", O_CREAT | O_WRONLY, 0600);
            _exit(fd >= 0 ? 7 : 0);
        }
        int status; wait(&status); if (WEXITSTATUS(status)) return 7;""",
    # In a program that has no file.
    "memfd": r"""
        char *args[] = {"memfd", 0}, *none[] = {0};
        int from = open("/proc/self/exe", 0), to = memfd_create("program", 0), n; char b[65536];
        if (argc == 1) { open("/etc/memfd", 0); return 0; }
        while ((n = read(from, b, sizeof b)) > 0) write(to, b, n);
        syscall(SYS_execveat, to, "", args, none, AT_EMPTY_PATH); return 1;""",
    # By another name of the root.
    "root": r"""open("/proc/self/root/etc/../etc/root", 0);""",
    "openat2": r"""
        struct { unsigned long flags, mode, resolve; } how = {0, 0, 0x08};
        syscall(437, open("/etc", O_PATH), "openat2", &how, 24);""",
}


@pytest.mark.parametrize("how", EVASIONS)
def test_evasions(folder: Path, how: str) -> None:
    source = f"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static inline long low(const char *s) {{
    char *p = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    return (long)strcpy(p, s);
}}
int main(int argc, char **argv) {{ {EVASIONS[how]} return 0; }}
"""
    (folder / "evasion.c").write_text(source)
    box = oci.Box(folder, ["/workspace/evasion", "first"])
    subprocess.run(["gcc", "-O1", "-w", "-static", "-o", box.workspace / "evasion", folder / "evasion.c"], check=True)
    table, summary = oci.record(PtraceRecorder(), box)
    rows = table.to_pylist()
    assert rows[-1]["op"] == "exit"
    assert rows[-1]["ret"] == 0
    if how == "untraced":
        assert not summary.complete
        assert not (box.workspace / "untraced").exists()
        return
    seen = [row for row in rows if row["path"] == f"/etc/{how}" or (row["path"] or "").endswith("/etc/root")]
    assert [row["op"] for row in seen] == ["open_read"]
    assert summary.complete


def strace_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("TracerPid:")[1].split()[0])


def test_killed_strace_makes_the_record_incomplete(folder: Path) -> None:
    program = """
import os, time
time.sleep(0.5)
try:
    open("/workspace/unseen", "w")
except OSError as problem:
    print(problem.errno)
"""
    box = oci.Box(folder, [PYTHON, "-c", program])
    recording = PtraceRecorder().open(box.name)
    try:
        pid = box.create(recording.hooks())
        recording.attach(box, pid)  # type: ignore[arg-type]
        batches: list[Any] = []
        reader = threading.Thread(target=lambda: batches.extend(recording.batches()))
        reader.start()
        strace = strace_of(pid)
        box.start()
        time.sleep(0.2)
        os.kill(strace, signal.SIGKILL)
        assert box.wait(30)
        recording.stop()
        reader.join(30)
        assert not reader.is_alive()
        summary = recording.summary()
    finally:
        box.close()
        recording.close()
    assert not summary.complete
    assert any("alive" in reason for reason in summary.reasons)
    # Nothing of what is recorded can be done without strace.
    assert not (box.workspace / "unseen").exists()


def test_a_sandbox_without_strace_is_refused(folder: Path) -> None:
    box = oci.Box(folder, ["/bin/true"])
    recording = PtraceRecorder().open(box.name)
    try:
        hooks = recording.hooks()
        pid = box.create(type(hooks)())
        with pytest.raises(RecorderError, match="does not hold the init"):
            recording.attach(box, pid)  # type: ignore[arg-type]
    finally:
        box.close()
        recording.close()
        recording.close()


def test_killed_sandbox_is_a_complete_record(folder: Path) -> None:
    box = oci.Box(folder, ["/bin/sh", "-c", "mkfifo /workspace/f; cat /workspace/f & sleep 0.5; env sleep 100"])
    recording = PtraceRecorder().open(box.name)
    try:
        recording.attach(box, box.create(recording.hooks()))  # type: ignore[arg-type]
        rows: list[Any] = []
        reader = threading.Thread(target=lambda: [rows.extend(batch.to_pylist()) for batch in recording.batches()])
        reader.start()
        box.start()
        until = time.monotonic() + 20
        while not any(row["path"] == "/usr/bin/env" for row in rows) and time.monotonic() < until:
            time.sleep(0.01)
        box.kill()
        assert box.wait(20)
        recording.stop()
        reader.join(30)
        summary = recording.summary()
    finally:
        box.close()
        recording.close()
    assert summary.reasons == ()
    assert {row["flags"] for row in rows if row["op"] == "exit"} == {0, 9}
    # It hung in open(2) when it was killed.
    assert [row["ret"] for row in rows if row["path"] == "/workspace/f" and row["op"] == "open_read"] == [-4]


def test_side_by_side_without_cross_talk(folder: Path) -> None:
    results: dict[int, tuple[Any, RecordSummary]] = {}

    def one(number: int) -> None:
        place = folder / str(number)
        place.mkdir(mode=0o755)
        box = oci.Box(place, ["/bin/sh", "-c", f"for i in 1 2 3 4 5; do mkdir n{number}-$i; done"])
        results[number] = oci.record(PtraceRecorder(), box)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (table, summary) in results.items():
        made = [row["path"] for row in table.to_pylist() if row["op"] == "mkdir"]
        assert made == [f"/workspace/n{number}-{i}" for i in range(1, 6)]
        assert summary.complete
