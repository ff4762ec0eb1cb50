"""Process 1 of the tests' sandbox: ``tests_broker.py [--not-first] -- VERIFIER…``; see README.md."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)

from affidavit_inside import frames, launching, processes, values, wire  # noqa: E402
from affidavit_inside.settings import Settings  # noqa: E402

_MOST_SESSIONS = 200
_NOT_FILLED = 70


class Broker(frames.Relay):
    """Gives each connection a session of its own, and each program that runs in S a copy of this process.

    Attributes:
        copies: those copies that may still run, by process id.
    """

    kinds_from_host = frozenset((frames.DATA, frames.CLOSE))
    kinds_from_session = frozenset((frames.OPEN, frames.DATA))

    def __init__(self, listening, launches):
        super().__init__()
        self.listening, self.launches = listening, launches
        self.others[listening.fileno()] = self.accept
        self.others[launches.fileno()] = self.launch
        self.copies = {}
        self.last = 0

    def accept(self):
        with suppress(BlockingIOError):
            connection, _ = self.listening.accept()
            self.last += 1
            if self.host_open and len(self.sessions) < _MOST_SESSIONS:
                self.add(self.last, connection)
            else:
                connection.close()

    def launch(self):
        with suppress(BlockingIOError):
            launcher, _ = self.launches.accept()
            launcher.setblocking(True)
            copy = processes.Forked(lambda: launching.run(launcher))
            self.copies[copy.pid] = copy
            launcher.close()

    def from_host(self, session, kind, payload):
        if session not in self.sessions or self.sessions[session].closing:
            return
        if kind == frames.DATA:
            self.to_session(session, kind, payload)
        else:
            # Not before all that came has been passed on.
            self.to_session(session, kind, b"")
            self.sessions[session].closing = True

    def read_results(self, descriptor):
        """Pass on what the verifier printed."""
        try:
            data = os.read(descriptor, 1 << 18)
        except BlockingIOError:
            return
        if data:
            # Whether or not the solution is still there.
            self.host.waiting += frames.frames(0, frames.RESULT, data)
        else:
            del self.others[descriptor]


def main():
    arguments = sys.argv[1:]
    first = True
    while arguments and arguments[0] != "--":
        word = arguments.pop(0)
        if word == "--not-first":
            first = False
        else:
            print(f"tests_broker.py: {word}: no such option", file=sys.stderr)
            return 2
    if (first and os.getpid() != 1) or len(arguments) < 2:
        print(
            "tests_broker.py is process 1 of a tests' sandbox: tests_broker.py -- VERIFIER…",
            file=sys.stderr,
        )
        return 2
    # Nothing but what is needed may reach the pipes of the host.
    if not processes.hide():
        return 3
    channel = os.environ.setdefault("AFFIDAVIT_CHANNEL", "@affidavit-channel")
    os.environ["AFFIDAVIT_LAUNCHES"] = f"{channel}-launches"
    os.environ["AFFIDAVIT_STATE"] = state = new_folder()
    standins = os.path.join(_HERE, "standins")
    path = os.environ.get("PYTHONPATH", "").split(":")
    os.environ["PYTHONPATH"] = ":".join([standins, *(part for part in path if part and part != standins)])
    broker = Broker(listen(channel), listen(os.environ["AFFIDAVIT_LAUNCHES"]))
    if run(broker, processes.Forked(fill), first) != 0:
        broker.flush_all()
        return _NOT_FILLED
    verifier = subprocess.Popen(arguments[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    printed = verifier.stdout.fileno()
    os.set_blocking(printed, False)
    broker.others[printed] = lambda: broker.read_results(printed)
    status = run(broker, verifier, first)
    while printed in broker.others and not ended_output(printed):
        broker.read_results(printed)
    for session in list(broker.sessions):
        broker.drop(session)
        broker.closed(session)
    broker.flush_all()
    with suppress(OSError):
        for name in os.listdir(state):
            os.unlink(os.path.join(state, name))
        os.rmdir(state)
    return status if status >= 0 else 128 - status


def listen(name):
    """A socket that listens under this name."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(frames.address(name))
    listening.listen(64)
    listening.setblocking(False)
    return listening


def new_folder():
    """A private folder for what is noted of the solution's files."""
    folder = f"{os.environ.get('TMPDIR') or '/tmp'}/affidavit-state-{os.urandom(8).hex()}"
    os.mkdir(folder, 0o700)
    return folder


def ended_output(descriptor):
    """Whether nothing more is there to be read."""
    import select

    return not select.select([descriptor], [], [], 0)[0]


def run(broker, process, first):
    """Pass frames on until a child has ended: its status."""
    while True:
        broker.step(1.0)
        if not first:
            broker.copies = {pid: copy for pid, copy in broker.copies.items() if copy.poll() is None}
            status = process.poll()
            if status is not None:
                return status
            continue
        while True:
            try:
                done, how = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                done = 0
            if not done:
                break
            broker.copies.pop(done, None)
            if done == process.pid:
                process.returncode = 0
                return processes.ended(how)


def fill():
    """In a child: bring the solution's working directory here, as far as it may be here; the exit status."""
    for descriptor in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
    settings = Settings(os.environ)
    connection = frames.connect(settings.channel)
    connection.open(json.dumps({"kind": "tree"}).encode("ascii"))
    try:
        data = wire.receive(connection)
        if data is None:
            raise values.Refused("its sandbox told nothing")
        told = values.Reader(data).read()
        if type(told) is not list or len(told) != 2:
            raise values.Refused(str(told)[:300])
        mirror = settings.mirror()
        mirror.incoming(*told, [])
    except values.Refused as error:
        print(f"the solution's files: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.exit(main())
