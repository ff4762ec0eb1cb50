"""T: a program of the solution's, run in S for the process that stands for it here (``launch.c``).

What does this is a copy of the broker: an interpreter that is started for each program would take longer than most of
the programs. Standard streams, exit status, signals and files pass through.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress

from . import frames, processes, values, wire
from .settings import LINKS, Settings

_HEAD = struct.Struct(">cI")
_LENGTH = struct.Struct("=I")
_STATUS = struct.Struct("=i")
_STREAMS = struct.Struct("3i")
_NOT_RUN = 126


class Over(Exception):
    """The program ends here, whatever it does in S.

    Attributes:
        status: for the process that stands for it; None where that has ended itself.
    """

    def __init__(self, status=None):
        super().__init__(status)
        self.status = status


def run(launcher):
    """Serve one process; this one's own exit status.

    Args:
        launcher: the socket to it.
    """
    asked = receive(launcher)
    try:
        status = launch(launcher, asked)
    except Over as over:
        status = over.status
    for stream in range(2):
        os.close(stream)
    if status is not None:
        launcher.sendall(_STATUS.pack(status))
    return 0


def receive(launcher):
    """Take its streams, working directory and environment for this process's own: what it asks for.

    Raises:
        OSError, ValueError, struct.error: it ended before it had told all.
    """
    head, sent, _, _ = launcher.recvmsg(_LENGTH.size, socket.CMSG_SPACE(_STREAMS.size))
    (length,) = _LENGTH.unpack(head)
    for number, stream in enumerate(_STREAMS.unpack(sent[0][2])):
        os.dup2(stream, number)
    # Nothing else that is open here is to be held open by this process.
    processes.close_all_but(launcher.fileno())
    told = b""
    while len(told) < length:
        part = launcher.recv(length - len(told))
        if not part:
            raise ValueError("a launcher that ended")
        told += part
    cwd, number, *texts = told[:-1].split(b"\0")
    arguments = [os.fsdecode(text) for text in texts[: int(number)]]
    os.environb.clear()
    os.environb.update(text.split(b"=", 1) for text in texts[int(number) :] if b"=" in text[1:])
    with suppress(OSError):
        os.chdir(cwd)
    if arguments[:1] == ["--at"]:
        cwd = os.fsdecode(cwd)
        return {"argv": arguments[1:], "cwd": cwd, "shell": False, "environment": {}, "unset": []}
    return json.loads(os.environ["AFFIDAVIT_REQUEST"])


def launch(launcher, asked):
    """Run a program in S: its exit status, negative for a signal.

    Raises:
        Over: as that says.
    """
    settings = Settings(os.environ)
    mirror = settings.mirror()
    words = [*asked["argv"], asked["cwd"], *asked["environment"].values()]
    roots = mirror.roots(words)
    same = os.fstat(1)[:2] == os.fstat(2)[:2]
    try:
        outgoing = mirror.outgoing(roots)
        connection = frames.connect(settings.channel)
        connection.open(json.dumps({"kind": "program"}).encode("ascii"))
        writer = values.Writer()
        writer.put({**asked, "merge": same, "files": outgoing, "roots": roots})
        wire.send(connection, writer.out)
        status, told = converse(launcher, connection)
        if told is not None:
            mirror.incoming(*told, roots)
            if mirror.linked and settings.ways is None and settings.words:
                settings.tell_ways({LINKS})
    except (values.Refused, OSError, ValueError, TypeError) as error:
        print(f"{asked['argv'][:1]}: can't be run in the solution's sandbox: {error}", file=sys.stderr)
        return _NOT_RUN
    return status


def record(kind, data):
    return _HEAD.pack(kind, len(data)) + data


def converse(launcher, connection):
    """Pass the streams until the program has ended: its status, negative for a signal, and the files that changed."""
    reading = True
    while True:
        while len(connection.data) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(connection.data)
            if length > values.MOST_BYTES + (1 << 20) or kind not in b"oexf":
                raise values.Refused("no record")
            if len(connection.data) < _HEAD.size + length:
                break
            connection.take(_HEAD.size)
            data = connection.take(length) if length else b""
            if kind in (b"o", b"e"):
                output(launcher, connection, 1 if kind == b"o" else 2, data)
                continue
            told = values.Reader(data).read()
            if kind == b"f":
                print(str(told)[:1000], file=sys.stderr)
                return 127, None
            status, changed = told
            if type(status) is not int or not -64 <= status <= 255 or type(changed) is not list or len(changed) != 2:
                raise values.Refused("no status")
            return status, changed
        ready, _, _ = select.select([connection.socket, launcher, *([0] if reading else [])], [], [])
        if launcher in ready:
            pass_signals(launcher, connection)
        if 0 in ready:
            try:
                data = os.read(0, 1 << 16)
            except OSError:
                data = b""
            reading = bool(data)
            try:
                connection.send(record(b"i", data))
            except OSError:
                # It has ended, and what it said last is still to be read.
                reading = False
        if connection.socket in ready and not connection.receive():
            raise values.Refused("the program's sandbox ended")


def pass_signals(launcher, connection):
    """Pass on the signals that the process here got.

    Raises:
        Over: it has ended.
    """
    try:
        numbers = launcher.recv(64)
    except OSError:
        numbers = b""
    if not numbers:
        raise Over
    for number in numbers:
        connection.send(record(b"s", bytes((number,))))


def output(launcher, connection, stream, data):
    """Write to a stream of the process here, as long as that is there to be written for.

    Raises:
        Over: it has ended, or nobody reads the stream any more.
    """
    while data:
        ready, writable, _ = select.select([launcher], [stream], [])
        if ready:
            pass_signals(launcher, connection)
        if writable:
            # A pipe that can be written to takes no less without waiting (pipe(7)).
            try:
                data = data[os.write(stream, data[: select.PIPE_BUF]) :]
            except BrokenPipeError:
                raise Over(128 + signal.SIGPIPE) from None
