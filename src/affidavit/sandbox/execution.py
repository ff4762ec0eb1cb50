"""A command that enters a running sandbox, from the runtime's ``exec`` to its end."""

import array
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import time
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

from affidavit.sandbox.cgroups import ExecCgroup
from affidavit.sandbox.oci import process_config
from affidavit.sandbox.protocol import Entrance, ExecEnd, ExecSpec, SandboxError, SandboxSpec
from affidavit.sandbox.runtime import RuntimeCommand
from affidavit.sandbox.state import no_room
from affidavit.sandbox.stream import BoundedStream
from affidavit.sandbox.user_namespace import first_id, give

# How long a runtime may take to begin a command, and a killed command to end, seconds: for a loaded machine.
_STEP_S = 120.0
_WRITE_BYTES = 1 << 16
_KILL_ROUNDS = 100
_KILL_PAUSE_S = 0.02
_NOT_FOUND, _NOT_RUN = 127, 126
_END_OF_INPUT = b"\x04"

Tree = Callable[[int], Collection[int]]
"""The living processes of the tree that a process began, as the sandbox counts them; asked where there is no control
group to look at."""


class Execution:
    """One command in a sandbox that runs already. Used by one thread.

    The runtime is asked to detach, so that the command's process becomes a child of this one (which adopts orphans):
    its streams are plain pipes, its end is known by a pidfd, and no process of the runtime's stays beside it.

    Attributes:
        pid: the process that entered, as a recorder counts it; None where none came of it.
        streams: standard output and error.
    """

    def __init__(
        self, command: RuntimeCommand, sandbox: SandboxSpec, state: Path, folder: Path, number: int, spec: ExecSpec
    ) -> None:
        """
        Args:
            command: the runtime.
            sandbox: where the command enters.
            state: the state folder.
            folder: of the sandbox's bundle.
            number: of the command, unique in its sandbox.
            spec: what is wanted.
        """
        self.pid: int | None = None
        self.streams = (BoundedStream(spec.output_bytes), BoundedStream(spec.output_bytes))
        self._command = command
        self._sandbox = sandbox
        self._state = state
        self._folder = folder
        self._number = number
        self._spec = spec
        self._cgroup = ExecCgroup(sandbox.name, number) if command.init_has_root else None
        self._pidfd = -1
        self._input = -1
        self._began = 0.0

    def start(self, entrance: Entrance) -> bool:
        """Let it enter; whether it did.

        Raises:
            SandboxError: the runtime does not answer.
        """
        files = {name: self._folder / f"exec-{self._number}.{name}" for name in ("json", "pid", "own")}
        config = process_config(self._sandbox, self._command.entering(self._spec, self._sandbox.deny_syscalls))
        try:
            files["json"].write_text(json.dumps(config))
        except OSError as error:
            raise no_room(self._state, "no command can enter its sandbox", error) or error from error
        console = _Console() if self._spec.terminal else None
        launcher: subprocess.Popen[bytes] | None = None
        own: int | None = None
        out, err = self.streams
        try:
            err.open()
            if console is None:
                out.open()
            reading, self._input = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._input, False)
            if self._sandbox.profile == "container":
                for end in (reading, out.write_end, err.write_end):
                    if end >= 0:
                        give(end, first_id(self._sandbox.name), self._spec.user)
            words = ["--detach", "--process", str(files["json"]), "--pid-file", str(files["pid"])]
            if self._cgroup is not None:
                words += ["--cgroup", self._cgroup.make()]
            else:
                words += ["--internal-pid-file", str(files["own"])]
            if console is not None:
                words += ["--console-socket", console.path]
            call = self._command.call(self._state, "exec", *words, self._sandbox.name)
            self._began = time.monotonic()
            try:
                launcher = subprocess.Popen(
                    [*entrance.hooks().wrapper, *call],
                    stdin=subprocess.DEVNULL if console else reading,
                    stdout=subprocess.DEVNULL if console else out.write_end,
                    stderr=err.write_end,
                    env=self._command.environment(),
                    cwd="/",
                    start_new_session=True,
                )
            finally:
                os.close(reading)
                out.close_write_end()
                err.close_write_end()
            self._await_launcher(launcher)
            if launcher.returncode == 0:
                if console is not None:
                    self._take_terminal(console.receive())
                pid = int(files["pid"].read_text())
                self._pidfd = os.pidfd_open(pid)
                own = self.pid = pid if self._cgroup is not None else int(files["own"].read_text())
        finally:
            if launcher is not None:
                entrance.entered(launcher.pid, own)
                if launcher.returncode != 0:
                    # It may have been broken off with its sandbox, and have left its helpers to us.
                    self._command.reap_orphans({launcher.pid})
            if console is not None:
                console.close()
            for file in files.values():
                file.unlink(missing_ok=True)
        return own is not None

    def _await_launcher(self, launcher: subprocess.Popen[bytes]) -> None:
        """Wait for the runtime; what it writes meanwhile, or the command does, is taken, so that neither waits."""
        pidfd = os.pidfd_open(launcher.pid)
        deadline = time.monotonic() + _STEP_S
        try:
            while not self._turn(pidfd, b"", deadline)[0]:
                if time.monotonic() > deadline:
                    launcher.kill()
                    raise SandboxError(f"{self._command.binary} did not begin a command within {_STEP_S:.0f} s")
        finally:
            os.close(pidfd)
            launcher.wait()

    def _take_terminal(self, master: int) -> None:
        os.close(self._input)
        os.set_blocking(master, False)
        self.streams[0].attach(master)
        self._input = os.dup(master)

    def finish(self, data: bytes, timeout_s: float, tree: Tree | None) -> ExecEnd:
        """Feed it, take what it writes, and wait for its end; all that it started is killed when its time is up.

        Args:
            data: its standard input.
            timeout_s: from its beginning on, seconds.
            tree: asked whom to kill where the runtime has a kernel of its own.

        Raises:
            SandboxError: it does not end although it was killed.
        """
        deadline = self._began + timeout_s
        if self._spec.terminal:
            data += _END_OF_INPUT if data.endswith(b"\n") or not data else _END_OF_INPUT * 2
        ended, timed_out = False, False
        while not ended:
            ended, data = self._turn(self._pidfd, data, deadline)
            if not ended and time.monotonic() >= deadline:
                if timed_out:
                    raise SandboxError(f"{self._sandbox.name}: a command does not end although it was killed")
                timed_out, deadline = True, time.monotonic() + _STEP_S
                self.kill(tree)
        at = time.monotonic()
        if timed_out:
            # What it had started may have gone on for a moment longer than it.
            self.kill(tree)
        for stream in self.streams:
            # It has ended: what it wrote is there. What its children still hold open is not waited for.
            stream.drain()
        code, by = self._reap()
        return self._end(None if timed_out else code, signal.SIGKILL if timed_out else by, timed_out, at)

    def refused(self) -> ExecEnd:
        """The end of a command that never began: as a shell tells of it."""
        text = self.streams[1].content()
        code = _NOT_FOUND if b"not found" in text or b"no such file" in text.lower() else _NOT_RUN
        return self._end(code, None, False, time.monotonic())

    def _end(self, code: int | None, by: int | None, timed_out: bool, at: float) -> ExecEnd:
        out, err = self.streams
        duration = round((at - self._began) * 1000)
        return ExecEnd(code, by, timed_out, duration, out.content(), err.content(), out.dropped + err.dropped)

    def _turn(self, pidfd: int, data: bytes, deadline: float) -> tuple[bool, bytes]:
        """Wait for something to happen and see to it: whether the process ended, and what is left to be written."""
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        streams = {stream.read_end: stream for stream in self.streams if stream.read_end >= 0}
        for fd in streams:
            poll.register(fd, select.POLLIN)
        if self._input >= 0 and pidfd == self._pidfd:
            if data:
                poll.register(self._input, select.POLLOUT)
            else:
                self._close_input()
        wait_ms = max(0.0, deadline - time.monotonic()) * 1000 + 1
        ended = False
        for fd, _ in poll.poll(wait_ms):
            if fd == pidfd:
                ended = True
            elif fd in streams:
                if not streams[fd].drain():
                    streams[fd].close()
            else:
                data = self._write(data)
        return ended, data

    def _write(self, data: bytes) -> bytes:
        try:
            return data[os.write(self._input, data[:_WRITE_BYTES]) :]
        except BlockingIOError:
            return data
        except OSError:
            # It does not read any more.
            return b""

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def kill(self, tree: Tree | None) -> None:
        """Kill its process and all that it started, and nothing else."""
        if self._cgroup is not None:
            self._cgroup.kill()
            return
        # The sentry has no groups: whoever was started meanwhile is found in the next round.
        for _ in range(_KILL_ROUNDS):
            alive = set(tree(self.pid)) if tree is not None and self.pid is not None else {self.pid}
            for pid in alive:
                with contextlib.suppress(SandboxError):
                    self._command.run("kill", self._state, "--pid", str(pid), self._sandbox.name, "KILL")
            if tree is None or not alive:
                return
            time.sleep(_KILL_PAUSE_S)

    def _reap(self) -> tuple[int | None, int | None]:
        """Exit code or signal; neither where it can't be known."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            # A tracer takes the end of its tracee first, and its parent, the runtime's exec, may not be quite gone.
            with contextlib.suppress(ChildProcessError):
                result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
                if result is not None:
                    return (result.si_status, None) if result.si_code == os.CLD_EXITED else (None, result.si_status)
            time.sleep(0.001)
        return None, None

    def close(self) -> None:
        """Let go of everything but of streams that a child of its still holds: those are left open in `streams`."""
        self._close_input()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._cgroup is not None:
            self._cgroup.remove()


class _Console:
    """Where the runtime hands over the master of the pseudo-terminal that it made (``--console-socket``)."""

    def __init__(self) -> None:
        # Abstract, so that its length does not depend on the state folder; whoever is not root is sent away.
        self.path = f"@affidavit-{uuid.uuid4().hex}"
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._server.bind("\0" + self.path[1:])
        self._server.listen(4)
        self._server.settimeout(_STEP_S)

    def receive(self) -> int:
        """The master's descriptor, once the runtime has ended. Raises SandboxError."""
        with contextlib.suppress(TimeoutError):
            while True:
                peer, _ = self._server.accept()
                with peer:
                    _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
                    if uid != 0:
                        continue
                    _, passed, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
                    fds = array.array("i")
                    for _, _, raw in passed:
                        fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
                    if fds:
                        os.set_inheritable(fds[0], False)
                        return fds[0]
        raise SandboxError("the runtime handed over no terminal")

    def close(self) -> None:
        self._server.close()
