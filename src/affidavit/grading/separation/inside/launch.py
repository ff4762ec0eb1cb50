"""T: runs a program in S as if it were this process: ``launch.py``, and what to run as JSON in AFFIDAVIT_REQUEST, or
``launch.py --at PATH ARGUMENT…``. Standard streams, exit status, signals and files pass through."""

import json
import os
import resource
import select
import signal
import struct
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_HEAD = struct.Struct(">cI")
_PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main():
    sys.path.insert(0, _HERE)
    from affidavit_inside import frames, values, wire
    from affidavit_inside.settings import LINKS, Settings

    settings = Settings(os.environ)
    asked = request()
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
        for number in _PASSED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda n, frame: connection.send(record(b"s", bytes((n,)))))
        status, told = converse(connection)
        if told is not None:
            mirror.incoming(*told, roots)
            if mirror.linked and settings.ways is None and settings.words:
                settings.tell_ways({LINKS})
    except (values.Refused, OSError, ValueError, TypeError) as error:
        print(f"{asked['argv'][:1]}: can't be run in the solution's sandbox: {error}", file=sys.stderr)
        return 126
    if status < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    return status


def request():
    if len(sys.argv) > 2 and sys.argv[1] == "--at":
        return {"argv": sys.argv[2:], "cwd": os.getcwd(), "shell": False, "environment": {}, "unset": []}
    return json.loads(os.environ["AFFIDAVIT_REQUEST"])


def record(kind, data):
    return _HEAD.pack(kind, len(data)) + data


def converse(connection):
    """Pass the streams until the program has ended: its status, negative for a signal, and the files that changed."""
    from affidavit_inside import values

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
                output(1 if kind == b"o" else 2, data)
                continue
            told = values.Reader(data).read()
            if kind == b"f":
                print(str(told)[:1000], file=sys.stderr)
                return 127, None
            status, changed = told
            if type(status) is not int or not -64 <= status <= 255 or type(changed) is not list or len(changed) != 2:
                raise values.Refused("no status")
            return status, changed
        ready, _, _ = select.select([connection.socket, *([0] if reading else [])], [], [])
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


def output(number, data):
    try:
        while data:
            data = data[os.write(number, data) :]
    except BrokenPipeError:
        os._exit(128 + signal.SIGPIPE)


if __name__ == "__main__":
    sys.exit(main())
