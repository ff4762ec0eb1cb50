"""System calls that a sandbox's filter refuses, seen by answering for the filter.

A filter of system calls refuses before any tracer sees the call. Where the runtime hands over a listener instead
(seccomp_unotify(2), ``linux.seccomp.listenerPath`` of the OCI configuration), each such call waits here for its answer,
which is always EPERM. When nobody is there to answer any more, the kernel answers ENOSYS.
"""

import array
import contextlib
import errno
import fcntl
import os
import platform
import select
import socket
import struct
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from affidavit.recorder.ptrace.tasks import task_status

# struct seccomp_notif: id, pid, flags, struct seccomp_data {nr, arch, instruction pointer, six arguments}.
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
# struct seccomp_notif_resp: id, value, error, flags.
_ANSWER = struct.Struct("=QqiI")
_IOC_READ_WRITE = 3 << 30
_RECEIVE = _IOC_READ_WRITE | _NOTIFICATION.size << 16 | ord("!") << 8
_SEND = _IOC_READ_WRITE | _ANSWER.size << 16 | ord("!") << 8 | 1

# AUDIT_ARCH_…: what the native entry is (linux/audit.h).
_NATIVE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FOREIGN = 1 << 32
"""Added to the number of a call that came by another entry than the native one."""

_BEHIND = 100_000
_STATE_BYTES = 1 << 16


class Refusal(NamedTuple):
    """A call that was refused: who, as the machine counts, when (CLOCK_REALTIME, nanoseconds), and its number."""

    pid: int
    tid: int
    time_ns: int
    number: int


class Refusals:
    """The listeners of one sandbox: that of its first process' filter, and that of each command that enters it.

    Args:
        name: the sandbox's.
        notify: called from another thread when there is something to take.

    Attributes:
        path: what the runtime gets; ``@`` begins an abstract socket, which only root may connect to.
        connected: whether the runtime has handed over a listener.
        failed: whether refusals may have gone unseen.
    """

    def __init__(self, name: str, notify: Callable[[], None]) -> None:
        self.failed = False
        self._notify = notify
        self.path = f"@affidavit-{uuid.uuid4().hex}"
        self.connected = threading.Event()
        self._queue: deque[Refusal] = deque()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind("\0" + self.path[1:])
        self._server.listen(1)
        self._end_fd, self._end = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name=f"refusals {name}", daemon=True)
        self._thread.start()

    def take(self) -> list[Refusal]:
        """The refusals since the last call, in order."""
        return [self._queue.popleft() for _ in range(len(self._queue))]

    def close(self) -> None:
        """Answer no more. Harmless when called twice."""
        if self._end >= 0:
            os.close(self._end)
            self._end = -1
            self._thread.join()
            os.close(self._end_fd)
            self._server.close()

    def _serve(self) -> None:
        # Whatever fails here, the kernel refuses in its stead.
        listeners: set[int] = set()
        try:
            poll = select.poll()
            poll.register(self._server.fileno(), select.POLLIN)
            poll.register(self._end_fd, 0)
            while self._end_fd not in (ready := dict(poll.poll())):
                if ready.pop(self._server.fileno(), 0) and (listener := self._receive()) is not None:
                    # One for the sandbox, and one for each command that enters it.
                    listeners.add(listener)
                    poll.register(listener, select.POLLIN)
                    self.connected.set()
                for listener, event in ready.items():
                    if event & select.POLLIN:
                        self._answer(listener)
                    else:
                        # Nobody is under its filter any more.
                        poll.unregister(listener)
                        listeners.discard(listener)
                        os.close(listener)
        except Exception:
            self.failed = True
        finally:
            for listener in listeners:
                os.close(listener)

    def _wait(self, fd: int) -> bool:
        """Wait until there is something to read; False at the end."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        poll.register(self._end_fd, 0)
        ready = dict(poll.poll())
        return self._end_fd not in ready and bool(ready[fd] & select.POLLIN)

    def _receive(self) -> int | None:
        """What who connects hands over, where it is root."""
        peer, _ = self._server.accept()
        with peer:
            _, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            if uid != 0 or not self._wait(peer.fileno()):
                return None
            _, passed, _, _ = peer.recvmsg(_STATE_BYTES, socket.CMSG_SPACE(16 * 4))
            fds = array.array("i")
            for _, _, data in passed:
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            for spare in fds[1:]:
                os.close(spare)
            return fds[0] if fds else None

    def _answer(self, listener: int) -> None:
        """Refuse the call that waits."""
        while len(self._queue) > _BEHIND and self._end >= 0:
            time.sleep(0.001)
        asked = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, asked)
        except FileNotFoundError:
            # The caller was killed meanwhile.
            return
        ticket, tid, _, number, arch, *_ = _NOTIFICATION.unpack(asked)
        # The caller waits: it is there.
        pid = task_status(tid).get("Tgid", tid)
        native = _NATIVE.get(platform.machine())
        self._queue.append(Refusal(pid, tid, time.time_ns(), number if arch == native else number | FOREIGN))
        self._notify()
        with contextlib.suppress(FileNotFoundError):
            fcntl.ioctl(listener, _SEND, bytearray(_ANSWER.pack(ticket, 0, -errno.EPERM, 0)))
