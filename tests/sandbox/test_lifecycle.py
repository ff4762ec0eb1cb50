"""How sandboxes begin and end, and that they leave nothing behind."""

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from affidavit.sandbox import Limits, OciSandbox, RuntimeHooks, SandboxError, clean_stale, kernel, runtimes
from harness import reap_orphans


def traces(state: Path, name: str = "") -> list[str]:
    """What there is of sandboxes of a state folder: mounts, control groups, files, runtime records, processes."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{state}/" in line]
    found += map(str, (state / "sandboxes").iterdir())
    found += [str(path) for path in (state / "runtimes").glob("*/*")]
    if name:
        # In each hierarchy; not deeper, where other sandboxes' groups come and go.
        found += (str(path) for at in (".", "*") for path in Path("/sys/fs/cgroup").glob(f"{at}/affidavit-{name}*"))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if os.fsencode(state) in words and b"python" not in words:
                found.append(f"{process} {words!r}")
    return found


@contextlib.contextmanager
def nothing_left(state: Path, name: str = "") -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while (left := traces(state, name)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


@pytest.fixture
def own_state(tmp_path: Path, state: Path) -> Iterator[Path]:
    """A state folder that no other test uses, with the layers of the shared one."""
    own = tmp_path / "own"
    for part in ("runtimes", "sandboxes"):
        (own / part).mkdir(parents=True, mode=0o700)
    for part in ("layers", "images"):
        (own / part).symlink_to(state / part)
    yield own
    reap_orphans()


def begin(sandbox: OciSandbox) -> OciSandbox:
    sandbox.create(RuntimeHooks())
    sandbox.start()
    return sandbox


def wait_for_output(sandbox: OciSandbox) -> None:
    """Until its command has written something."""
    deadline = time.monotonic() + 20
    while not sandbox._stdout.content() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("exec /nothing", 127), ("kill -9 $$ & sleep 0.2; exit 3", 3)],
)
def test_gives_the_exit_code(run: Callable[..., Any], runtime: str, script: str, code: int) -> None:
    ran = run(runtime, "/bin/sh", "-c", script)
    if runtime == "gvisor" and "kill" in script:
        assert ran.exit.code == 137, "a sentry's init has no protection from its own children"
        return
    assert (ran.exit.code, ran.exit.signal) == (code, None)
    assert not ran.exit.timed_out
    assert not ran.exit.oom


def test_gives_the_signal(run: Callable[..., Any]) -> None:
    ran = run("runc", "/usr/bin/python3", "-c", "import ctypes; ctypes.string_at(0)")
    assert (ran.exit.code, ran.exit.signal) == (None, signal.SIGSEGV)


def test_keeps_output_in_bounds(make: Callable[..., Any], runtime: str) -> None:
    limits = Limits(output_bytes=1000, disk_mb=16)
    script = "head -c 3000000 /dev/zero; printf abc >&2; head -c 2000 /dev/zero | tr '\\0' y >&2"
    with begin(make(runtime, "/bin/sh", "-c", script, limits=limits)) as sandbox:
        ended = sandbox.wait(60)
        output = sandbox.output()
    assert ended is not None
    assert ended.code == 0
    assert output.stdout == b"\0" * 1000
    assert output.stderr == b"abc" + b"y" * 997
    assert output.dropped == 3_000_000 - 1000 + 2003 - 1000


def test_waits_and_says_that_it_was_overdue(make: Callable[..., Any], runtime: str) -> None:
    with begin(make(runtime, "/bin/sleep", "60")) as sandbox:
        assert sandbox.wait(0.2) is None
        with pytest.raises(SandboxError, match="not ended"):
            sandbox.exit()
        sandbox.kill()
        ended = sandbox.exit()
        assert sandbox.wait(0) == ended
    assert ended.timed_out
    assert (ended.code, ended.signal) == (None, signal.SIGKILL)
    assert 200 <= ended.duration_ms < 10_000


def test_ends_with_its_init_whatever_that_left(run: Callable[..., Any], runtime: str) -> None:
    began = time.monotonic()
    ran = run(
        runtime, "/bin/bash", "-c", "setsid sleep 60 & (setsid bash -c 'trap \"\" TERM HUP; sleep 60' &) ; exit 5"
    )
    assert ran.exit.code == 5
    assert time.monotonic() - began < 20


_FLOOD = """
import os, signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
os.write(1, b"ready")
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass
"""


def test_kills_a_flood_of_stubborn_processes_fast(make: Callable[..., Any], state: Path, runtime: str) -> None:
    # A bound on its processor time must not slow its death.
    limits = Limits(cpus=0.1, memory_mb=1024, disk_mb=16)
    with nothing_left(state), begin(make(runtime, "/usr/bin/python3", "-c", _FLOOD, limits=limits)) as sandbox:
        wait_for_output(sandbox)
        time.sleep(1)
        began = time.monotonic()
        sandbox.kill()
        took = time.monotonic() - began
        assert took < 2


@pytest.mark.parametrize("stage", ["new", "created", "started", "ended", "killed"])
def test_leaves_nothing_behind(
    make: Callable[..., Any], own_state: Path, runtime: str, stage: str, state: Path
) -> None:
    sandbox = runtimes()[runtime].sandbox(
        make(runtime, "/bin/sleep", "0.2" if stage == "ended" else "60").spec, own_state
    )
    with nothing_left(own_state, sandbox.name):
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        if stage != "new":
            sandbox.create(RuntimeHooks())
        if stage in ("started", "ended", "killed"):
            sandbox.start()
        if stage == "ended":
            assert sandbox.wait(30)
        if stage == "killed":
            sandbox.kill()
            sandbox.kill()
        sandbox.close()
        sandbox.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors
    assert list(own_state.glob("sandboxes/*")) == []


def test_leaves_nothing_behind_when_the_runtime_refuses(make: Callable[..., Any], own_state: Path) -> None:
    sandbox = runtimes()["runc"].sandbox(make("runc", "/nothing/here").spec, own_state)
    with nothing_left(own_state, sandbox.name), pytest.raises(SandboxError, match="no such file"):
        sandbox.create(RuntimeHooks())


def test_leaves_nothing_behind_when_the_caller_fails(make: Callable[..., Any], state: Path, runtime: str) -> None:
    with nothing_left(state), pytest.raises(KeyboardInterrupt), begin(make(runtime, "/bin/sleep", "60")):
        raise KeyboardInterrupt


def test_killed_before_it_begins(make: Callable[..., Any], runtime: str) -> None:
    early = make(runtime, "/bin/touch", "/workspace/ran")
    early.kill()
    early.create(RuntimeHooks())
    with pytest.raises(SandboxError, match="killed before"):
        early.start()
    assert early.exit().signal == signal.SIGKILL
    late = make(runtime, "/bin/touch", "/workspace/ran")
    late.create(RuntimeHooks())
    late.kill()
    with pytest.raises(SandboxError, match="killed before"):
        late.start()
    assert list(late.upper().iterdir()) == []


def test_without_a_loop_device_for_what_is_written(
    make: Callable[..., Any], runtime: str, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attach = kernel.attach_loop

    def none(image: int, *, read_only: bool = False) -> tuple[int, str]:
        if read_only:
            return attach(image, read_only=True)
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(kernel, "attach_loop", none)
    sandbox = runtimes()[runtime].sandbox(make(runtime, "/bin/touch", "/workspace/ran").spec, own_state)
    with nothing_left(own_state, sandbox.name), begin(sandbox):
        ended = sandbox.wait(30)
        assert ended is not None
        assert ended.code == 0
        assert sandbox.disk == "tmpfs"
        assert (sandbox.upper() / "workspace/ran").exists()


def test_a_runtime_says_whether_it_works(runtime: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFIDAVIT_STATE", str(state))
    found = runtimes()[runtime].available()
    assert found.works, found
    assert found.detail.startswith({"runc": "runc version", "gvisor": "runsc version"}[runtime])
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    missing = runtimes()[runtime].available()
    assert not missing.works
    assert "apt install" in missing.fix


def test_a_name_is_taken_once(make: Callable[..., Any]) -> None:
    sandbox = make("runc", "/bin/sleep", "60")
    sandbox.create(RuntimeHooks())
    again = make("runc", "/bin/true", name=sandbox.name)
    with pytest.raises(SandboxError, match="already"):
        again.create(RuntimeHooks())
    sandbox.start()
    assert sandbox.wait(0.1) is None, "the first is unharmed"


def test_side_by_side(make: Callable[..., Any], state: Path, runtime: str) -> None:
    count = 6 if runtime == "runc" else 3

    def one(number: int) -> tuple[int | None, bytes]:
        script = f"echo {number} > /tmp/n; sleep 0.2; cat /tmp/n; exit {number}"
        with begin(make(runtime, "/bin/sh", "-c", script)) as sandbox:
            ended = sandbox.wait(60)
            return (ended.code if ended else None), sandbox.output().stdout

    def zombies() -> set[str]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return {child for child in children if "(exe)" in Path(f"/proc/{child}/stat").read_text()}

    before = zombies()
    with nothing_left(state), ThreadPoolExecutor(count) as pool:
        results = list(pool.map(one, range(count)))
    assert zombies() <= before
    assert results == [(number, b"%d\n" % number) for number in range(count)]


def test_under_a_wrapper(make: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "log"
    sandbox = make("runc", "/bin/sh", "-c", "sleep 0.1; echo done; exit 4")
    hooks = RuntimeHooks(wrapper=("/usr/bin/strace", "-f", "-o", str(log), "--"))
    with sandbox:
        sandbox.create(hooks)
        sandbox.start()
        ended = sandbox.wait(60)
        output = sandbox.output()
    assert ended is not None
    assert ended.code == 4
    assert output.stdout == b"done\n"
    assert "+++ exited with 4 +++" in log.read_text()


def test_shows_the_root_as_the_sandbox_sees_it(make: Callable[..., Any], runtime: str) -> None:
    with begin(make(runtime, "/bin/sh", "-c", "echo x > /tmp/file; echo; sleep 60")) as sandbox:
        wait_for_output(sandbox)
        root = sandbox.root_fd()
        try:
            for path in ("usr/bin/bash", "etc/passwd", "tmp/file"):
                os.close(os.open(path, os.O_PATH | os.O_NOFOLLOW, dir_fd=root))
        finally:
            os.close(root)


def test_scratch_is_kept_apart(make: Callable[..., Any], runtime: str) -> None:
    script = "echo 1 > /logs/verifier/reward.txt; stat -fc %a /logs/verifier >/dev/null; echo 2 > /workspace/file"
    with begin(make(runtime, "/bin/sh", "-c", script, scratch=("/logs/verifier",))) as sandbox:
        assert sandbox.wait(30)
        assert (sandbox.scratch("/logs/verifier") / "reward.txt").read_text() == "1\n"
        assert [path.name for path in sandbox.upper().iterdir()] == ["workspace"]


_VICTIM = """
import os, sys
from pathlib import Path
from affidavit.sandbox import *
state, runtime, stage = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
rootfs = host_rootfs(state, User())
spec = SandboxSpec(name=sys.argv[4], rootfs=rootfs.layers, host_usr=True, argv=("/bin/sleep", "300"), env={},
                   writable=("/tmp",), scratch=("/logs",), limits=Limits(disk_mb=16))
sandbox = runtimes()[runtime].sandbox(spec, state)
pid = sandbox.create(RuntimeHooks())
if stage == "started":
    sandbox.start()
print(pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("stage", ["created", "started"])
def test_a_killed_owner(own_state: Path, runtime: str, stage: str) -> None:
    name = f"test-victim-{os.getpid()}-{runtime}-{stage}"
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, own_state, runtime, stage, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert victim.stdout is not None
    pid = int(victim.stdout.readline())
    init = os.pidfd_open(pid)
    assert clean_stale(own_state) == (), "it is not stale while its owner lives"
    signal.pidfd_send_signal(init, 0)
    victim.kill()
    victim.communicate()
    # The sandbox dies with its owner; what is left of it is removed by the next run.
    assert select.select([init], [], [], 10)[0]
    with nothing_left(own_state, name):
        assert clean_stale(own_state) == (name,)
    os.close(init)


def test_an_owner_killed_at_any_moment(own_state: Path, runtime: str) -> None:
    for number, delay in enumerate((0.12, 0.16, 0.2, 0.24, 0.28)):
        name = f"test-moment-{os.getpid()}-{runtime}-{number}"
        victim = subprocess.Popen(
            [sys.executable, "-c", _VICTIM, own_state, runtime, "started", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        time.sleep(delay * (1 if runtime == "runc" else 1.5))
        victim.kill()
        victim.communicate()
        clean_stale(own_state)
        with nothing_left(own_state, name):
            pass
