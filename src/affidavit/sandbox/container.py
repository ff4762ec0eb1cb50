"""One sandbox under an OCI runtime, from its folder to its removal."""

import contextlib
import json
import logging
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from affidavit.events import decode_name
from affidavit.sandbox import kernel
from affidavit.sandbox.cgroups import cgroup_path, hasten, oom_kills
from affidavit.sandbox.changes import Change
from affidavit.sandbox.cleaning import remove_sandbox
from affidavit.sandbox.devices import mount_dev
from affidavit.sandbox.disk import mount_disk
from affidavit.sandbox.earlier import lay_earlier, room_mb
from affidavit.sandbox.execution import Execution, Tree
from affidavit.sandbox.layers import ensure_point, mount_overlay
from affidavit.sandbox.oci import MOUNT_POINTS, Place, bundle_config
from affidavit.sandbox.packed import mount_folder, mount_usr
from affidavit.sandbox.proc import close_network_counters, made_up_proc
from affidavit.sandbox.protocol import (
    Entrance,
    ExecEnd,
    ExecSpec,
    Exit,
    Output,
    RuntimeHooks,
    SandboxError,
    SandboxSpec,
    Streams,
    Unrecorded,
)
from affidavit.sandbox.read_ahead import files_of_imports, reading_ahead
from affidavit.sandbox.runtime import ENTER, ENTER_AT, RuntimeCommand
from affidavit.sandbox.state import make_sandbox_folder, no_room
from affidavit.sandbox.stream import BoundedStream
from affidavit.sandbox.user_namespace import IDS, first_id, give, mapped_mounts

_logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KERNEL = ("/proc", "/sys", "/dev")
_SHARED_MODE = 0o1777
# How long a runtime may take for one step, seconds: generous, for a loaded machine.
_STEP_S = 120.0
_LOOK_S = 0.25
# A runtime goes to the root file system as the user namespace's root, who can't pass the state folder: for the time of
# its creation the root file system is mounted at a folder that all may pass, for nobody but the runtime to see.
_PASSABLE = Path("/mnt")
_WITH_ROOT_THERE = (
    *("unshare", "--mount", "--propagation", "private", "--", "/bin/sh", "-c"),
    'mount --rbind "$1" "$2" && shift 2 && exec "$@"',
    "sh",
)
_LAST_WORDS_S = 5.0


@dataclass(frozen=True)
class _Ending:
    """How the init ended: what waitid(2) said, and when (monotonic seconds)."""

    code: int | None
    signal: int | None
    at: float


class OciSandbox:
    """A sandbox (see :class:`affidavit.sandbox.Sandbox`) under an OCI runtime.

    One thread watches it: it takes its output and reaps its init. Of one sandbox, `kill` may be called from any thread
    while another is in `wait`; the rest is for one thread at a time.

    Attributes:
        layers: lower layers of its overlay, topmost first, once it was created: what :func:`diff` compares with. The
            first holds the folders that were missing to mount on.
        disk: kind of file system that holds what it writes, ``ext4`` or ``tmpfs``.
        began_with: the changes of an earlier sandbox that it began with, once it was created.
    """

    def __init__(self, command: RuntimeCommand, spec: SandboxSpec, state: Path, streams: Streams | None = None) -> None:
        """
        Args:
            command: the runtime.
            spec: what is wanted.
            state: the state folder.
            streams: of its process 1; None: no input, and output that is kept up to a bound.

        Raises:
            SandboxError: `spec` asks for what can't be.
        """
        if not _NAME.fullmatch(spec.name):
            raise SandboxError(
                f"{spec.name!r} can't be the name of a sandbox: letters, digits, '-' and '_', 64 at most"
            )
        if not spec.argv or not spec.argv[0].startswith("/"):
            raise SandboxError(f"the command {list(spec.argv)!r} must begin with an absolute path")
        mounted = [*(one.target for one in spec.mounts), *(one.target for one in spec.shared)]
        for target in (*_writable(spec), *spec.scratch, *mounted):
            inside = next((top for top in _KERNEL if f"{target}/".startswith(f"{top}/")), None)
            if inside or (spec.host_usr and f"{target}/".startswith("/usr/")):
                what = "the kernel's" if inside else "the machine's in the host root file system"
                raise SandboxError(f"{target}: nothing can be mounted or made writable there: it is {what}")
        if spec.profile == "container":
            if not command.has_container_profile:
                raise SandboxError(f"{command.name} makes no sandboxes of the container profile: use runc")
            if max(spec.user.uid, spec.user.gid) >= IDS:
                raise SandboxError(f"user {spec.user.uid}:{spec.user.gid}: a container has numbers below {IDS} only")
        self.name = spec.name
        self.runtime = command.name
        self.spec = spec
        self.layers: tuple[Path, ...] = ()
        self.disk = ""
        self.began_with: tuple[Change, ...] = ()
        self._command = command.networked() if spec.network else command
        self._state = state
        self._streams = streams
        self._gives_stdout = streams is not None and streams.stdout >= 0
        self._folder: Path | None = None
        self._stdout = BoundedStream(spec.limits.output_bytes)
        self._stderr = BoundedStream(spec.limits.output_bytes)
        self._launcher: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._pidfd = -1
        self._root = -1
        self._pid = 0
        self._started_at = 0.0
        self._killed = False
        self._overdue = False
        self._oom = False
        self._ending: _Ending | None = None
        self._ended = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._commands = 0
        # Streams of commands that have ended and left something running, and what tells the watcher of them.
        self._lingering: list[BoundedStream] = []
        self._woken = self._wake = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def create(self, hooks: RuntimeHooks) -> int:
        """See the protocol. What was made of it is removed again when it fails."""
        if self._folder is not None or self._closed:
            raise SandboxError(f"{self.name}: a sandbox is created once")
        try:
            self._folder = make_sandbox_folder(self._state, self.name)
            places = self._prepare(self._folder)
            usr = self._folder / ("layer-usr" if self.spec.profile == "container" else "merged") / "usr"
            files = files_of_imports(self.spec.imports, self._state) if self.spec.host_usr and self.spec.imports else ()
            with reading_ahead(usr, files):
                self._launch(self._folder, places, hooks)
            _logger.debug("%s: created, its first process is %d", self.name, self._pid)
        except BaseException as error:
            # Looked at before what fills it is removed.
            full = no_room(self._state, "no sandbox can be made", error)
            self.close()
            if full is not None and isinstance(error, Exception):
                raise full from error
            raise
        return self._pid

    def _prepare(self, folder: Path) -> list[Place]:
        """Mount the root file system and say what is to be bound into it."""
        if self.spec.profile == "strict":
            return self._prepare_seen(folder, lambda place: place)
        with mapped_mounts(folder, first_id(self.name)) as mapped:
            return self._prepare_seen(folder, mapped)

    def _prepare_seen(self, folder: Path, seen: Callable[[Path], Path]) -> list[Place]:
        """`seen`: mounts something as the sandbox is to see it, and says where."""
        spec, container = self.spec, self.spec.profile == "container"
        disk, merged = folder / "disk", folder / "merged"
        for place in (disk, merged, folder / "bundle"):
            place.mkdir(mode=0o755)
        more = 0 if spec.earlier is None else room_mb(spec.earlier.layer)
        self.disk = mount_disk(disk, spec.limits.disk_mb + more, self._state)
        for name in ("work", "points", "points-work"):
            (disk / name).mkdir()
            (disk / name).chmod(0o755)
        seen_disk = seen(disk)
        written = (target for target in _writable(spec) if target != "/")
        places = [Place(merged / target.lstrip("/"), target, True) for target in written]
        for index, target in enumerate(spec.scratch):
            name = f"scratch-{index}"
            (disk / name).mkdir()
            (disk / name).chmod(0o755)
            os.chown(disk / name, spec.user.uid, spec.user.gid)
            places.append(Place(seen_disk / name, target, True))
        known = {source: seen(source) for source in dict.fromkeys(one.source for one in spec.shared)}
        places += [Place(known[one.source], one.target, one.writable) for one in spec.shared]
        for index, mount in enumerate(spec.mounts):
            own = self._own(mount.source, folder, f"mount-{index}")
            shown = seen(own) if own.is_dir() else seen_disk / own.name
            places.append(Place(shown, mount.target, False))
        if self._command.init_has_root:
            for target, text in made_up_proc(spec.limits).items():
                name = target.replace("/", "-")
                (disk / name).write_text(text)
                places.append(Place(seen_disk / name, target, False))
        if self._command.enters_by_program:
            # Beside its disk, since the sandbox can't write it and nothing of its room is for it.
            shutil.copyfile(ENTER, folder / "enter")
            (folder / "enter").chmod(0o755)
            places.append(Place(folder / "enter", ENTER_AT, False))
        lower = tuple(self._own(layer, folder, f"layer-{index}") for index, layer in enumerate(spec.rootfs))

        # What is missing to mount on is made in a layer of its own, below the changes.
        mount_overlay(lower, disk / "points", disk / "points-work", merged)
        self._make_points(merged)
        kernel.unmount(merged)
        self.layers = (disk / "points", *lower)
        if spec.host_usr and container:
            machine = folder / "layer-usr"
            (machine / "usr").mkdir(parents=True)
            (machine / "usr").chmod(0o755)
            mount_usr(machine / "usr", self._state)
            self.layers = (*self.layers, machine)
        self._make_upper(disk)
        seen_lower = tuple(map(seen, lower))
        upper = seen_disk / "upper"
        mount_overlay((seen_disk / "points", *seen_lower), upper, seen_disk / "work", merged, set_id=container)
        if spec.host_usr and container:
            self._mount_writable_usr(folder, seen, seen_disk, seen_lower)
        elif spec.host_usr:
            mount_usr(merged / "usr", self._state)
        if container:
            (folder / "dev").mkdir()
            mount_dev(folder / "dev", first_id(self.name))
        # A folder inside another is mounted after it.
        return sorted(places, key=lambda place: place.target.rstrip("/").count("/"))

    def _make_upper(self, disk: Path) -> None:
        """Make the changed layer, with what an earlier sandbox left. What it has in /usr goes to a layer of its own
        where that is an overlay of its own."""
        spec, upper = self.spec, disk / "upper"
        if spec.earlier is None:
            upper.mkdir()
            upper.chmod(0o755)
        else:
            mounts = [(mount.target, mount.source.is_dir()) for mount in spec.mounts]
            folders = [target for target, is_folder in mounts if is_folder]
            files = [target for target, is_folder in mounts if not is_folder]
            self.began_with = lay_earlier(
                spec.earlier, self.layers, [*self._system_folders, *self._own_folders, *folders], files, upper
            )
        if spec.host_usr and spec.profile == "container":
            with contextlib.suppress(FileNotFoundError):
                (upper / "usr").rename(disk / "upper-usr")
            for place in (upper / "usr", disk / "upper-usr", disk / "work-usr"):
                place.mkdir(exist_ok=True)
                place.chmod(0o755)

    def _mount_writable_usr(
        self, folder: Path, seen: Callable[[Path], Path], disk: Path, lower: tuple[Path, ...]
    ) -> None:
        """Mount the machine's /usr below an overlay of its own. Who reads the changed layer finds its changes there in
        ``usr``."""
        machine, own = folder / "layer-usr", folder / "disk"
        above = (layer / "usr" for layer in lower)
        layers = [place for place in above if place.is_dir() and not place.is_symlink()]
        upper, work = disk / "upper-usr", disk / "work-usr"
        mount_overlay((*layers, seen(machine / "usr")), upper, work, folder / "merged" / "usr", set_id=True)
        kernel.mount(str(own / "upper-usr"), own / "upper" / "usr", "", kernel.MS_BIND)

    def _own(self, source: Path, folder: Path, name: str) -> Path:
        """A copy of what lies outside of the sandbox, so that it shares not even an inode with another one."""
        if not source.is_dir():
            copy = folder / "disk" / name
            shutil.copyfile(source, copy)
            copy.chmod(stat.S_IMODE(source.stat().st_mode))
            return copy
        target = folder / name
        target.mkdir()
        mount_folder(source, target, self._state)
        return target

    @property
    def _system_folders(self) -> tuple[str, ...]:
        return (*MOUNT_POINTS, *(("/usr",) if self.spec.host_usr else ()))

    @property
    def _own_folders(self) -> list[str]:
        """The folders that must be there for its user."""
        spec = self.spec
        homes = ("/tmp", spec.user.home) if spec.profile == "container" else ()
        return [target for target in (*_writable(spec), *homes, *spec.scratch, spec.cwd) if target != "/"]

    def _make_points(self, merged: Path) -> None:
        spec = self.spec
        user = (spec.user.uid, spec.user.gid)
        root = os.open(merged, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for target in self._system_folders:
                ensure_point(root, target, owner=(0, 0))
            for target in self._own_folders:
                if target in ("/tmp", "/var/tmp"):
                    ensure_point(root, target, owner=(0, 0), mode=_SHARED_MODE)
                else:
                    ensure_point(root, target, owner=user)
            for folder in spec.shared:
                ensure_point(root, folder.target, owner=(0, 0))
            for mount in spec.mounts:
                ensure_point(root, mount.target, owner=(0, 0), file=not mount.source.is_dir())
            if self._command.enters_by_program:
                ensure_point(root, ENTER_AT, owner=(0, 0), file=True)
        finally:
            os.close(root)

    def _launch(self, folder: Path, places: list[Place], hooks: RuntimeHooks) -> None:
        bundle, pid_file = folder / "bundle", folder / "pid"
        container = self.spec.profile == "container"
        config = bundle_config(
            self.spec,
            _PASSABLE if container else folder / "merged",
            places,
            cgroup=cgroup_path(self.name),
            seccomp=self._command.seccomp(self.spec.deny_syscalls, hooks.refusals),
            dev=folder / "dev" if container else None,
            sealed_dev=self._command.init_has_root,
            spare_pids=self._command.spare_pids,
            spare_memory_mb=self._command.spare_memory_mb,
        )
        (bundle / "config.json").write_text(json.dumps(config))
        kernel.adopt_orphans()
        self._stdout.open()
        self._stderr.open()
        if container:
            for stream in (self._stdout, self._stderr):
                give(stream.write_end, first_id(self.name), self.spec.first_user or self.spec.user)
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        create = self._command.create(self._state, self.name, bundle, pid_file, hooks.flags)
        if container:
            create = [*_WITH_ROOT_THERE, str(folder / "merged"), str(_PASSABLE), *create]
        self._launcher = subprocess.Popen(
            [*hooks.wrapper, *create],
            stdin=self._streams.stdin if self._streams else subprocess.DEVNULL,
            stdout=self._streams.stdout if self._streams and self._gives_stdout else self._stdout.write_end,
            stderr=self._stderr.write_end,
            env=self._command.environment(),
            cwd="/",
            # Out of reach of a terminal's Ctrl-C, and a session by which its orphans are known.
            start_new_session=True,
        )
        self._stdout.close_write_end()
        self._stderr.close_write_end()
        if self._streams:
            self._streams.close()
        self._await_creation(self._launcher, pid_file, wrapped=bool(hooks.wrapper))
        self._pid = int(pid_file.read_text())
        try:
            self._pidfd = os.pidfd_open(self._pid)
            root = f"/proc/{self._pid}/root" if self._command.init_has_root else folder / "merged"
            self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if self._command.init_has_root:
                close_network_counters(self._pid)
        except OSError as problem:
            raise SandboxError(f"{self.name}: the sandbox ended as soon as it was created ({problem})") from None
        # Should affidavit be killed, the end of this pipe ends the sandbox.
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ || kill -9 "$1"', "sh", str(self._pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
        self._watcher = threading.Thread(target=self._watch, name=f"sandbox {self.name}", daemon=True)
        self._watcher.start()
        if self._killed:
            self.kill()

    def _await_creation(self, launcher: subprocess.Popen[bytes], pid_file: Path, *, wrapped: bool) -> None:
        """Wait until the runtime says that the sandbox is created; a wrapper goes on as long as the sandbox does."""
        deadline = time.monotonic() + _STEP_S
        if not wrapped and _ends_within(launcher.pid, _STEP_S):
            launcher.wait()
        while wrapped and not pid_file.exists() and launcher.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        if pid_file.exists() and (wrapped or launcher.returncode == 0):
            return
        if launcher.poll() is None:
            launcher.kill()
            launcher.wait()
            raise SandboxError(f"{self._command.binary} did not create a sandbox within {_STEP_S:.0f} s")
        self._stderr.drain()
        raise SandboxError(f"{self._command.binary} refused to create a sandbox: {_last_line(self._stderr.content())}")

    def start(self) -> None:
        """See the protocol."""
        if self._folder is None or self._pidfd < 0:
            raise SandboxError(f"{self.name}: a sandbox is started after it was created")
        if self._killed:
            raise SandboxError(f"{self.name}: the sandbox was killed before it was started")
        self._started_at = time.monotonic()
        self._command.run("start", self._state, self.name)

    def count_from_now(self) -> None:
        """Count the wall time of its command from now on: it waited for something until now."""
        self._started_at = time.monotonic()

    @property
    def first_process(self) -> int:
        """Its first process as a recorder counts it: on the machine, or in a sandbox with a kernel of its own."""
        return self._pid if self._command.init_has_root else 1

    @property
    def filters_entrants(self) -> bool:
        """Whether the sandbox's filter of system calls holds for commands that enter it, too."""
        return self._command.filters_entrants

    @property
    def enters_by_program(self) -> bool:
        """Whether a command that enters is at first a program of ours, which puts that filter on itself."""
        return self._command.enters_by_program

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def exec(
        self,
        spec: ExecSpec,
        *,
        data: bytes = b"",
        timeout_s: float,
        entrance: Entrance | None = None,
        tree: Tree | None = None,
    ) -> ExecEnd:
        """Run a further command in the sandbox, to its end. Any number of threads may, at once.

        A command that can't be found or run is no exception: its end has the code 127 or 126, as a shell has it.
        What it leaves behind in the background goes on, until the sandbox's end.

        Args:
            spec: the command.
            data: its standard input.
            timeout_s: when it is up, the command and all that it started are killed, and nothing else.
            entrance: the recorder's; None: nobody records.
            tree: where the runtime has a kernel of its own (gVisor), the living processes of a process's tree; None: of
                a command whose time is up only the first process is killed.

        Raises:
            SandboxError: the sandbox does not run (any more), or the runtime fails.
        """
        if self._folder is None or not self._started_at or self._ended.is_set():
            raise SandboxError(f"{self.name}: the sandbox does not run: no command can enter it")
        if not spec.argv:
            raise SandboxError(f"{self.name}: a command of no words can't be run")
        with self._lock:
            self._commands += 1
            number = self._commands
        execution = Execution(self._command, self.spec, self._state, self._folder / "bundle", number, spec)
        try:
            if not execution.start(entrance or Unrecorded()):
                if self._ended.wait(0):
                    raise SandboxError(f"{self.name}: the sandbox ended before a command could enter it")
                return execution.refused()
            return execution.finish(data, timeout_s, tree)
        finally:
            execution.close()
            self._linger(execution.streams)

    def _linger(self, streams: Iterable[BoundedStream]) -> None:
        """Go on reading streams that a command's children may still write to: they would stand still, or be killed by
        SIGPIPE."""
        for stream in streams:
            stream.close_write_end()
            if stream.read_end >= 0:
                stream.forget()
                with self._lock:
                    if not self._ended.is_set():
                        self._lingering.append(stream)
                        with contextlib.suppress(BlockingIOError):
                            os.write(self._wake, b"x")
                        continue
                stream.close()

    def _watch(self) -> None:
        """Take the output and wait for the end; the only one that reaps the init."""
        try:
            ended_at = self._follow()
            self._dismiss_watchdog()
            code, by = self._reap()
            self._command.reap_orphans({self._pid} | ({self._launcher.pid} if self._launcher else set()))
            self._command.reap_entering(self._pid)
            self._oom = oom_kills(self.name) > 0
            self._ending = _Ending(code, by, ended_at)
        finally:
            self._ending = self._ending or _Ending(None, None, time.monotonic())
            with self._lock:
                self._ended.set()
                late, self._lingering = self._lingering, []
            for stream in late:
                stream.close()

    def _follow(self) -> float:
        """Take the output until the init has ended and nothing more comes; when it ended, monotonic seconds."""
        own = {self._stdout.read_end, self._stderr.read_end}
        streams = {stream.read_end: stream for stream in (self._stdout, self._stderr)}
        poll = select.poll()
        for fd in (*streams, self._pidfd, self._woken):
            poll.register(fd, select.POLLIN)
        ended_at = 0.0
        while own or not ended_at:
            # Streams that outlive the init are held by the runtime itself; it has a moment to let go.
            wait_ms = max(0.0, ended_at + _LAST_WORDS_S - time.monotonic()) * 1000 if ended_at else None
            events = poll.poll(wait_ms)
            if not events and ended_at:
                break
            for fd, _ in events:
                if fd == self._pidfd:
                    ended_at = time.monotonic()
                    poll.unregister(fd)
                elif fd == self._woken:
                    os.read(fd, 4096)
                    with self._lock:
                        new, self._lingering = self._lingering, []
                    for stream in new:
                        streams[stream.read_end] = stream
                        poll.register(stream.read_end, select.POLLIN)
                elif not streams[fd].drain():
                    poll.unregister(fd)
                    own.discard(fd)
                    stream = streams.pop(fd)
                    if stream not in (self._stdout, self._stderr):
                        stream.close()
        for stream in streams.values():
            if stream not in (self._stdout, self._stderr):
                stream.close()
        return ended_at

    def _reap(self) -> tuple[int | None, int | None]:
        """The init's exit code or signal; neither where it can't be known."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                # A tracer takes the end of its tracee first.
                result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                # Its parent, the runtime's create, is not quite gone.
                result = None
            if result is not None:
                if result.si_code == os.CLD_EXITED:
                    return self._command.decode_exit(self._folder, result.si_status)
                return None, result.si_status
            time.sleep(0.001)
        return None, None

    def _dismiss_watchdog(self) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(b"\n")
                self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None

    def wait(self, timeout_s: float) -> Exit | None:
        """See the protocol."""
        if self._ended.wait(timeout_s):
            return self.exit()
        self._overdue = True
        return None

    def kill(self) -> None:
        """See the protocol. SIGKILL to the init of a pid namespace ends everything in it, and the init's end is told
        only after the last of them is gone (pid_namespaces(7)). A sandbox that is killed before it is started is not
        started any more.

        Raises:
            SandboxError: it does not end.
        """
        with self._lock:
            if not self._ended.is_set():
                self._killed = True
                if self._pidfd >= 0:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        # It has to run to die, and to take the others with it; none of its own code runs any more.
                        os.sched_setscheduler(self._pid, os.SCHED_RR, os.sched_param(1))
                    hasten(self.name)
        if self._watcher is None:
            # Not created yet: `create` sees to it, and `start` refuses.
            return
        deadline = time.monotonic() + _STEP_S
        while not self._ended.wait(_LOOK_S):
            # Whoever waits for a command of the sandbox has taken its end by now.
            self._command.reap_entering(self._pid)
            if time.monotonic() > deadline:
                raise SandboxError(f"{self.name}: the sandbox does not end although it was killed")

    def exit(self) -> Exit:
        """See the protocol. `code` and `signal` are both None where the runtime itself died under the sandbox."""
        if self._ending is None:
            raise SandboxError(f"{self.name}: the sandbox has not ended yet")
        started = self._started_at or self._ending.at
        return Exit(
            code=self._ending.code,
            signal=self._ending.signal,
            timed_out=self._killed and self._overdue,
            oom=self._oom,
            duration_ms=round((self._ending.at - started) * 1000),
        )

    def output(self) -> Output:
        """See the protocol."""
        self.exit()
        dropped = self._stdout.dropped + self._stderr.dropped
        said = self._streams.said() if self._streams and self._gives_stdout else self._stdout.content()
        return Output(said, self._stderr.content(), dropped)

    def upper(self) -> Path:
        """See the protocol."""
        self.exit()
        return self._place("upper")

    def layer(self) -> Path:
        """The changed layer, which may change under the reader's hands until the sandbox's end."""
        return self._place("upper")

    @property
    def earlier_links(self) -> Mapping[bytes, bytes]:
        """See the protocol."""
        links = [change for change in self.began_with if change.type == "symlink" and change.kind != "deleted"]
        return {decode_name(link.path): decode_name(link.target or "") for link in links}

    def scratch(self, target: str) -> Path:
        """See the protocol."""
        return self._place(f"scratch-{list(self.spec.scratch).index(target)}")

    def _place(self, name: str) -> Path:
        if self._folder is None:
            raise SandboxError(f"{self.name}: the sandbox is closed")
        return self._folder / "disk" / name

    def root_fd(self) -> int:
        """See the protocol."""
        if self._root < 0:
            raise SandboxError(f"{self.name}: the sandbox is not there")
        return os.dup(self._root)

    def close(self) -> None:
        """See the protocol.

        Raises:
            SandboxError: something of it can't be removed; the next run tries again.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.kill()
        finally:
            if self._watcher is not None:
                self._watcher.join(_STEP_S)
            if self._launcher is not None:
                self._end_launcher(self._launcher)
            self._dismiss_watchdog()
            for stream in (self._stdout, self._stderr):
                stream.close()
            for fd in (self._pidfd, self._root, self._woken, self._wake):
                if fd >= 0:
                    os.close(fd)
            self._pidfd = self._root = self._woken = self._wake = -1
            if self._folder is not None:
                remove_sandbox(self._folder, self._state, (self._command,))
                self._folder = None

    def _end_launcher(self, launcher: subprocess.Popen[bytes]) -> None:
        if launcher.poll() is None and not _ends_within(launcher.pid, 5):
            launcher.kill()
        launcher.wait()


def _writable(spec: SandboxSpec) -> Sequence[str]:
    """The folders that must be made writable: none in a container, where all is."""
    return () if spec.profile == "container" else spec.writable


def _ends_within(child: int, timeout_s: float) -> bool:
    """Whether a child that was not waited for yet ends in time; Popen.wait would look for that by turns only."""
    pidfd = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(pidfd)


def _last_line(text: bytes) -> str:
    lines = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
