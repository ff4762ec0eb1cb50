"""Commands that enter a running sandbox."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from affidavit.sandbox import ExecEnd, ExecSpec, Limits, OciSandbox, RuntimeHooks, SandboxError, User
from affidavit.sandbox.runtime import ENTER_AT

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
IDLE = ("/bin/sh", "-c", "while :; do sleep 100000 & wait $!; done")
ROOT = User(0, 0, "root", "/root")


@pytest.fixture
def box(make: Callable[..., OciSandbox], runtime: str) -> OciSandbox:
    """A sandbox that runs and does nothing; its first process is root's, as a session's is."""
    sandbox = make(runtime, *IDLE, first_user=ROOT, writable=("/workspace", "/tmp"), limits=Limits(disk_mb=64, pids=64))
    sandbox.create(RuntimeHooks())
    sandbox.start()
    return sandbox


def sh(
    box: OciSandbox,
    script: str,
    *,
    data: bytes = b"",
    timeout_s: float = 60,
    user: User | None = None,
    cwd: str = "/tmp",
    terminal: bool = False,
    output_bytes: int = 1 << 20,
) -> ExecEnd:
    spec = ExecSpec(("sh", "-c", script), {"PATH": PATH, "A": "b"}, cwd, user or User(), terminal, output_bytes)
    return box.exec(spec, data=data, timeout_s=timeout_s, tree=lambda pid: everyone(box))


def everyone(box: OciSandbox) -> list[int]:
    """Processes of user 1000 in a sandbox, as it counts them."""
    lister = "grep -ls '^Uid:[[:space:]]*1000' /proc/[0-9]*/status; :"
    found = box.exec(ExecSpec(("sh", "-c", lister), {"PATH": PATH}, user=ROOT), timeout_s=60).stdout
    return [int(path.split("/")[2]) for path in found.decode().split()]


def test_a_command_has_its_streams_user_folder_environment_and_exit(box: OciSandbox) -> None:
    ended = sh(box, "cat; pwd; id -u; id -g; echo $A; echo wrong >&2; exit 7", data=b"in\n", cwd="/workspace")
    assert (ended.stdout, ended.stderr) == (b"in\n/workspace\n1000\n1000\nb\n", b"wrong\n")
    assert (ended.code, ended.signal, ended.timed_out, ended.dropped) == (7, None, False, 0)
    assert sh(box, "id -u", user=ROOT).stdout == b"0\n"


def test_what_puts_the_filter_on_commands_stays_as_it_is(box: OciSandbox) -> None:
    if not box.enters_by_program:
        pytest.skip("the runtime does it itself")
    changes = ("echo x >{}", "rm -f {}", "mv {} /tmp/x", "mv /bin/true {}", "ln -sf /bin/true {}", "chmod 644 {}")
    for change in changes:
        assert sh(box, change.format(ENTER_AT), user=ROOT).code != 0, change
    for user in (ROOT, User()):
        refused = sh(box, "unshare -U true", user=user)
        assert (refused.code, refused.stderr) == (1, b"unshare: unshare failed: Operation not permitted\n")


def test_commands_share_one_sandbox(box: OciSandbox) -> None:
    assert sh(box, "echo one >/tmp/file").code == 0
    assert sh(box, "cat /tmp/file").stdout == b"one\n"


def test_a_signal_that_ended_it_is_told(box: OciSandbox) -> None:
    ended = sh(box, "kill -TERM $$")
    assert (ended.code, ended.signal) == ((None, 15) if box.runtime == "runc" else (143, None))


def test_large_input_and_output_pass_at_once(box: OciSandbox) -> None:
    data = os.urandom(1 << 20)
    assert sh(box, "cat", data=data).stdout == data


def test_output_past_the_bound_is_counted_and_dropped(box: OciSandbox) -> None:
    ended = sh(box, "head -c 5000 /dev/zero; head -c 300 /dev/zero >&2", output_bytes=1000)
    assert (len(ended.stdout), len(ended.stderr), ended.dropped) == (1000, 300, 4000)


def test_input_that_nobody_reads_is_no_error(box: OciSandbox) -> None:
    assert sh(box, "exit 0", data=bytes(1 << 20)).code == 0


@pytest.mark.parametrize(
    ("argv", "code", "word"),
    [
        (("no-such-command",), 127, b"no-such-command"),
        (("/workspace",), 126, b"denied"),
        (("/no/such",), 127, b"no such"),
    ],
)
def test_what_cannot_be_run_ends_as_in_a_shell(box: OciSandbox, argv: tuple[str, ...], code: int, word: bytes) -> None:
    ended = box.exec(ExecSpec(argv, {"PATH": PATH}), timeout_s=60)
    assert ended.code == code, ended
    assert word in ended.stderr.lower()
    assert sh(box, "echo on").stdout == b"on\n"


def test_a_timeout_kills_its_whole_tree_and_nothing_else(box: OciSandbox) -> None:
    sh(box, "setsid sleep 1000 >/dev/null 2>&1 &", user=User(1001, 1001))
    began = time.monotonic()
    ended = sh(box, "(setsid sh -c 'trap \"\" TERM HUP; sleep 1001; sleep 1002' &) ; sleep 1003", timeout_s=1)
    assert time.monotonic() - began < 30
    assert (ended.code, ended.signal, ended.timed_out) == (None, 9, True)
    assert everyone(box) == []
    assert b"1000" in sh(box, "cat /proc/[0-9]*/cmdline", user=ROOT).stdout, "what another command left goes on"


def test_a_fork_bomb_does_not_outlive_its_time(box: OciSandbox) -> None:
    if box.runtime == "gvisor":
        pytest.skip("a sentry has no control groups: its processes are killed one by one")
    assert sh(box, "b() { b | b & }; b; sleep 1000", timeout_s=1.5).timed_out
    assert everyone(box) == []
    assert sh(box, "echo on").stdout == b"on\n"


def test_what_it_leaves_in_the_background_goes_on_and_can_go_on_writing(box: OciSandbox) -> None:
    script = (
        "(i=0; while [ $i -lt 40 ]; do head -c 10000 /dev/zero || exit; i=$((i+1)); sleep 0.01; done; >/tmp/done) &"
    )
    assert sh(box, script).code == 0
    deadline = time.monotonic() + 30
    while sh(box, "test -e /tmp/done").code != 0:
        assert time.monotonic() < deadline, "it was stopped by its output"


def test_orphans_of_commands_are_reaped(box: OciSandbox) -> None:
    for _ in range(3):
        sh(box, "(true &); (sleep 0.01 &); sleep 0.05")
    deadline = time.monotonic() + 10
    while b"Z" in sh(box, "cat /proc/[0-9]*/status | grep ^State:").stdout:
        assert time.monotonic() < deadline


def test_a_terminal_on_request(box: OciSandbox) -> None:
    ended = sh(box, "test -t 0 && test -t 1 && test -t 2 && read line && echo got $line", data=b"word\n", terminal=True)
    assert ended.code == 0, ended
    assert b"got word\r\n" in ended.stdout
    assert sh(box, "test -t 1").code == 1


def test_many_commands_at_once(box: OciSandbox) -> None:
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda n: sh(box, f"echo {n}; sleep 0.1; exit {n}"), range(16)))
    assert [(end.code, end.stdout) for end in ends] == [(n, b"%d\n" % n) for n in range(16)]


def test_the_end_of_the_sandbox_ends_its_commands(box: OciSandbox) -> None:
    ends: list[ExecEnd] = []
    thread = threading.Thread(target=lambda: ends.append(sh(box, "sleep 1000")))
    thread.start()
    deadline = time.monotonic() + 30
    while not everyone(box) and time.monotonic() < deadline:
        time.sleep(0.01)
    box.kill()
    thread.join(30)
    assert ends
    assert ends[0].code != 0
    assert not ends[0].timed_out
    with pytest.raises(SandboxError, match="does not run"):
        sh(box, "true")


def test_nothing_of_a_command_is_left(box: OciSandbox, state: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        sh(box, "true")
        sh(box, "true", terminal=True)
        box.exec(ExecSpec(("no-such-command",), {"PATH": PATH}), timeout_s=60)
    assert set(Path("/proc/self/fd").iterdir()) == before
    folder = state / "sandboxes" / box.name
    assert [path.name for path in (folder / "bundle").glob("exec-*")] == []
    groups = [*Path("/sys/fs/cgroup").glob(f"*/affidavit-{box.name}/exec-*")]
    assert groups == []
