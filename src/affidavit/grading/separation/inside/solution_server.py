"""Process 1 of the solution's sandbox: ``solution_server.py [--not-first] [--python]``; see README.md."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)

from affidavit_inside import frames, processes, running  # noqa: E402

_MOST_SESSIONS = 200


class Server(frames.Relay):
    """Starts a process for each session, and kills it with all that it started.

    Attributes:
        ahead: whether the process of the next session is started before it is opened, when no other runs.
    """

    def __init__(self, first, ahead):
        super().__init__()
        self.first, self.ahead = first, ahead
        self.processes = {}
        self.next = None
        self.prepare()

    def from_host(self, session, kind, payload):
        if kind == frames.OPEN:
            self.open(session, payload)
        elif kind == frames.DATA:
            self.to_session(session, kind, payload)
        else:
            self.drop(session)

    def open(self, session, payload):
        if session in self.sessions or len(self.sessions) >= _MOST_SESSIONS:
            self.closed(session)
            return
        opened = json.loads(payload)
        if opened["kind"] != "python":
            ours, theirs = socket.socketpair()
            self.processes[session] = processes.Forked(lambda: self.run(theirs, opened))
            theirs.close()
            self.add(session, ours)
            return
        try:
            self.processes[session], ours = self.take() or self.start()
            ours.sendall(struct.pack(">I", len(payload)) + payload)
        except OSError as error:
            print(f"python3: {error}", file=sys.stderr)
            self.closed(session)
        else:
            self.add(session, ours)

    def start(self):
        """The process of a session in Python, and the socket to it.

        Raises:
            OSError: there is no ``python3``.
        """
        ours, theirs = socket.socketpair()
        try:
            # The agent's own code wants the interpreter and the packages of S.
            process = subprocess.Popen(
                ["python3", "-s", os.path.join(_HERE, "worker.py"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd=os.environ["AFFIDAVIT_WORKDIR"],
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return process, ours

    def prepare(self):
        """Start the process of the next session."""
        if self.ahead and self.next is None and self.host_open:
            with suppress(OSError):
                self.next = self.start()

    def take(self):
        """The one that was started, if it is still there."""
        if self.next is not None and self.next[0].poll() is not None:
            self.put_away()
        taken, self.next = self.next, None
        return taken

    def put_away(self):
        """End the one that was started."""
        taken, self.next = self.next, None
        if taken is not None:
            end(taken[0], self.first)
            taken[1].close()

    def pids(self):
        """The processes that are waited for where they are ended."""
        started = [*self.processes.values(), *([self.next[0]] if self.next else [])]
        return {process.pid for process in started}

    def run(self, connection, opened):
        """A session that runs no code of the agent's in its own process, which is a copy of this one: it has the
        session's socket and nothing else that is open here."""
        os.setsid()
        processes.adopt_orphans()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        processes.close_all_but(connection.fileno())
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.chdir(os.environ["AFFIDAVIT_WORKDIR"])
        running.run(frames.Connection(connection), opened, os.environ["AFFIDAVIT_WORKDIR"])
        return 0

    def drop(self, session):
        super().drop(session)
        process = self.processes.pop(session, None)
        if process is not None:
            end(process, self.first)
        if not self.sessions:
            if self.first:
                with suppress(OSError):
                    os.kill(-1, signal.SIGKILL)
                # Whatever the session did to it.
                self.put_away()
            self.prepare()


def end(process, first):
    """Kill a session's process, its group and, in a sandbox, its descendants in other groups."""
    if first:
        for pid in descendants(process.pid):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def descendants(root):
    """Processes whose parents lead to this one."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found, waiting = [], [root]
    while waiting:
        parent = waiting.pop()
        children = [pid for pid, its in parents.items() if its == parent]
        found += children
        waiting += children
    return found


def main():
    options = set(sys.argv[1:])
    first = "--not-first" not in options
    if (first and os.getpid() != 1) or options - {"--not-first", "--python"}:
        print("solution_server.py is process 1 of a solution's sandbox", file=sys.stderr)
        return 2
    if not processes.hide():
        return 3
    server = Server(first, "--python" in options)
    while server.host_open:
        server.step(1.0)
        if first:
            reap(server.pids())
    server.put_away()
    return 0


def reap(kept):
    """Orphans that came to process 1; sessions' own processes are waited for where they are ended."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in kept:
            return
        os.waitpid(found.si_pid, 0)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.exit(main())
