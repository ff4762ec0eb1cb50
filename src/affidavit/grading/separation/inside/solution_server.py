"""Process 1 of the solution's sandbox: ``solution_server.py [--not-first]``; see README.md."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _HERE)

from affidavit_inside import frames, processes, running  # noqa: E402

_MOST_SESSIONS = 200


class Server(frames.Relay):
    """Starts a process for each session, and kills it with all that it started."""

    def __init__(self, first):
        super().__init__()
        self.first = first
        self.processes = {}

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
        ours, theirs = socket.socketpair()
        if opened["kind"] != "python":
            self.processes[session] = processes.Forked(lambda: self.run(theirs, opened))
            theirs.close()
            self.add(session, ours)
            return
        # The agent's own code wants the interpreter and the packages of S.
        environment = {**os.environ, "AFFIDAVIT_OPENED": payload.decode("ascii"), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            self.processes[session] = subprocess.Popen(
                ["python3", "-s", os.path.join(_HERE, "worker.py"), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=2,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd=os.environ["AFFIDAVIT_WORKDIR"],
                env=environment,
            )
        except OSError as error:
            print(f"python3: {error}", file=sys.stderr)
            ours.close()
            self.closed(session)
        else:
            self.add(session, ours)
        theirs.close()

    def run(self, connection, opened):
        """A session that runs no code of the agent's in its own process, which is a copy of this one: it has the
        session's socket and nothing else that is open here."""
        os.setsid()
        processes.adopt_orphans()
        keep = connection.fileno()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != keep:
                with suppress(OSError):
                    os.close(int(name))
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        os.chdir(os.environ["AFFIDAVIT_WORKDIR"])
        running.run(frames.Connection(connection), opened, os.environ["AFFIDAVIT_WORKDIR"])
        return 0

    def drop(self, session):
        super().drop(session)
        process = self.processes.pop(session, None)
        if process is not None:
            end(process, self.first)
        if self.first and not self.sessions:
            with suppress(OSError):
                os.kill(-1, signal.SIGKILL)


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
    first = sys.argv[1:] != ["--not-first"]
    if first and (os.getpid() != 1 or len(sys.argv) > 1):
        print("solution_server.py is process 1 of a solution's sandbox", file=sys.stderr)
        return 2
    if not processes.hide():
        return 3
    server = Server(first)
    while server.host_open:
        server.step(1.0)
        if first:
            reap({process.pid for process in server.processes.values()})
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
