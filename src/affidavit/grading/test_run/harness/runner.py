"""Process 1 of a grading sandbox: runs each hidden test in a process of its own and tells how it ended.

It never loads anything of the agent's. Its word goes to standard output, which no other process of the sandbox can get
at: no test inherits it, and as process 1 that can't be looked into (prctl(2), PR_SET_DUMPABLE) its descriptors and its
memory are closed to processes of the same user (ptrace(2), access mode checking), and signals of theirs don't reach it
(pid_namespaces(7)). Before the next test begins, every process of the one before is killed.

Standard library only; Python 3.8 and newer. ``python3 -I -S runner.py PLAN``, where PLAN is a JSON file: ``tests``
(names), ``argv`` (of a test's process, ``{name}`` and ``{fd}`` filled in), ``timeout_s`` of a test.

Where /proc shows descriptors to everyone all the same (gVisor), others may write there, but can't sign: the first line
is ``key`` and a key, and is read before the first test begins; every other one is the HMAC-SHA256, under that key, of
the line's number and what follows, and JSON.

For each test an object: ``test``, ``status`` (exit status, null where a signal ended it), ``signal``,
``timed_out``, ``reports`` (the lines that it wrote to its descriptor, parsed), ``odd`` (why they can't be read, or
null). The last is ``{"end": NUMBER OF TESTS}``.

With ``--below`` after PLAN it is the child of process 1 (see grading/separation/inside/README.md), in a sandbox where
none but the tests run. There, ``template`` of the plan is the command of a process that makes a copy of itself for each
test (template.py), which takes a fraction of the time; where it does not work, tests are started as they are elsewhere.
"""

import array
import ctypes
import fcntl
import hmac
import json
import os
import select
import signal
import socket
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_MOST_BYTES = 64 << 10
_READ_WITHIN_S = 10.0
_GONE_WITHIN_S = 2.0
# What would have a test's interpreter load code, or a framework take options, from elsewhere.
_DROPPED = ("PYTHON", "PYTEST_")
_KEPT = ("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING")


def main() -> int:
    below = sys.argv[2:] == ["--below"]
    # Killing all others, as it does, is for a sandbox only.
    if (os.getppid() if below else os.getpid()) != 1:
        print(
            "runner.py is process 1 of a grading sandbox, or with --below its child, and nothing else", file=sys.stderr
        )
        return 2
    plan = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        return 3
    if below:
        # What a test leaves behind comes to this process, as it would to process 1.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    told = os.dup(1)
    os.dup2(2, 1)
    # Signals without a handler do not reach process 1; Python has handlers for these.
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    environment = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_DROPPED)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    key = os.urandom(32)
    write(told, b"key " + key.hex().encode())
    await_reader(told)
    template = Template(plan["template"], environment) if below and plan.get("template") else None
    for number, name in enumerate(plan["tests"]):
        line = run(name, plan["argv"], float(plan["timeout_s"]), wake, environment, template)
        write(told, signed(key, number, {"test": name, **line}))
    write(told, signed(key, len(plan["tests"]), {"end": len(plan["tests"])}))
    return 0


def signed(key, number, value):
    """A line."""
    data = json.dumps(value).encode("ascii")
    return hmac.new(key, b"%d %b" % (number, data), "sha256").hexdigest().encode() + b" " + data


def await_reader(descriptor):
    """Wait until what was written to a pipe has been read: nobody else is to read it."""
    unread = ctypes.c_int(1)
    deadline = time.monotonic() + _READ_WITHIN_S
    while unread.value and time.monotonic() < deadline:
        try:
            fcntl.ioctl(descriptor, termios.FIONREAD, unread)
        except OSError:
            break
        time.sleep(0.005)


class Template:
    """The process that makes a copy of itself for each test: started when it is needed, and again when it is gone."""

    def __init__(self, argv, environment):
        self.argv, self.environment = argv, {**environment, "AFFIDAVIT_TEMPLATE": "1"}
        self.pid, self.socket = None, None

    def copy(self, name, writing, timeout_s):
        """Have a test begin; whether that works."""
        try:
            if self.pid is None:
                self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self.pid = start(self.argv, {"{fd}": str(theirs.fileno())}, theirs.fileno(), self.environment)
                theirs.close()
                self.socket.settimeout(timeout_s)
                if self.socket.recv(16) != b"ready":
                    raise OSError("it did not get ready")
            self.socket.settimeout(timeout_s)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writing]))]
            self.socket.sendmsg([name.encode("utf-8", "surrogateescape")], rights, socket.MSG_NOSIGNAL)
            int(self.socket.recv(32))
        except (OSError, ValueError):
            self.end()
            return False
        return True

    def status(self, within_s):
        """How the copy ended, as waitpid(2) has it; None where that is not told in time."""
        self.socket.settimeout(within_s)
        try:
            return int(self.socket.recv(32))
        except (OSError, ValueError):
            return None

    def end(self):
        """Kill it."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.ended()

    def reap(self):
        """Wait for orphans that have come to this process and have ended; whether this one is among them."""
        while True:
            done, _ = os.waitpid(-1, os.WNOHANG)
            if done == self.pid:
                self.ended()
                return True
            if not done:
                return False

    def ended(self):
        """It was waited for."""
        self.pid = None
        self.socket.close()


def start(argv, filled, descriptor, environment):
    """Start a process in a session of its own, with a descriptor that it inherits; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.set_inheritable(descriptor, True)
        words = []
        for word in argv:
            for what, value in filled.items():
                word = word.replace(what, value)
            words.append(word)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.execvpe(words[0], words, environment)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error}\n".encode())
    finally:
        os._exit(127)


def run(name, argv, timeout_s, wake, environment, template):
    """One test, start to end."""
    deadline = time.monotonic() + timeout_s
    reading, writing = os.pipe()
    pid = None
    if template is None or not template.copy(name, writing, timeout_s):
        pid = start(argv, {"{name}": name, "{fd}": str(writing)}, writing, environment)
    tells = wake if pid else template.socket.fileno()
    os.close(writing)
    data, ended, status = b"", False, None
    while status is None and time.monotonic() < deadline:
        watched = [tells] if ended else [tells, reading]
        ready, _, _ = select.select(watched, [], [], max(0.0, min(1.0, deadline - time.monotonic())))
        if reading in ready:
            chunk = os.read(reading, 1 << 16)
            ended = not chunk
            data = (data + chunk)[: _MOST_BYTES + 1]
        if pid is not None:
            if wake in ready:
                drain(wake)
            done, how = os.waitpid(pid, os.WNOHANG)
            if done:
                status = how
        elif tells in ready:
            status = template.status(0.0)
            if status is None:
                # A test has ended it, and with it whoever could tell.
                status = signal.SIGKILL
    timed_out = status is None
    last = end_all(pid) if pid is not None else end_others(template, told=not timed_out)
    status = last if status is None else status
    while not ended:
        # Nobody is left who could write: this ends.
        chunk = os.read(reading, 1 << 16)
        ended = not chunk
        data = (data + chunk)[: _MOST_BYTES + 1]
    os.close(reading)
    reports, odd = read_reports(data)
    return {
        "status": os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None,
        "timed_out": timed_out,
        "reports": reports,
        "odd": odd,
    }


def end_all(pid):
    """Kill every process but this one and wait until they are gone; the status of `pid`, None where it was known."""
    status = None
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            done, how = os.waitpid(-1, 0)
        except ChildProcessError:
            return status
        if done == pid:
            status = how


def end_others(template, *, told):
    """Kill every process but this one, its parent and the template, and wait until they are gone; the status of the
    template's copy, None where it was told. Where they start again as fast as they are killed, the template goes, too.
    """
    kept = {1, os.getpid(), template.pid}
    deadline = time.monotonic() + _GONE_WITHIN_S
    while others := {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()} - kept:
        for other in others:
            with suppress(ProcessLookupError):
                os.kill(other, signal.SIGKILL)
        if template.reap() or time.monotonic() > deadline:
            template.end()
            end_all(None)
            return signal.SIGKILL
        time.sleep(0.001)
    return None if told else template.status(_GONE_WITHIN_S)


def read_reports(data):
    """The lines that a test wrote, and why they can't be read."""
    if len(data) > _MOST_BYTES:
        return [], "it reported more than 64 KiB"
    try:
        lines = data.decode("ascii").splitlines()
        if data and not data.endswith(b"\n"):
            return [], "its report broke off"
        reports = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        return [], "its report is not JSON"
    if not all(isinstance(report, dict) for report in reports):
        return [], "its report is no JSON object"
    return reports, None


def drain(descriptor):
    with suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def write(descriptor, line):
    data = line + b"\n"
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    sys.exit(main())
