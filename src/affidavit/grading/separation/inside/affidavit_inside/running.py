"""S: a process that runs one program for the tests' side, or tells which files there are."""

import os
import selectors
import signal
import struct
import subprocess
import sys
from contextlib import suppress

from . import files, values, wire

_HEAD = struct.Struct(">cI")


def run(connection, opened, workdir):
    """Do what a session of the kind ``program`` or ``tree`` is for."""
    if opened["kind"] == "tree":
        writer = values.Writer()
        try:
            writer.put(list(files.changes({}, files.scan([workdir]))))
        except values.Refused as error:
            writer = values.Writer()
            writer.put(str(error))
        wire.send(connection, writer.out)
        return
    asked = values.Reader(wire.receive(connection)).read()
    if asked["files"] is not None:
        files.put_in_solution(*asked["files"])
    roots = [workdir, *asked["roots"]]
    before = files.scan(roots)
    environment = {name: value for name, value in os.environ.items() if name not in asked["unset"]}
    environment.update(asked["environment"])
    cwd = asked["cwd"] if os.path.isdir(asked["cwd"]) else workdir
    try:
        process = subprocess.Popen(
            asked["argv"][0] if asked["shell"] else asked["argv"],
            shell=asked["shell"],
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if asked["merge"] else subprocess.PIPE,
        )
    except (OSError, ValueError) as error:
        _tell(connection, b"f", f"{asked['argv'][0]}: {error}")
        return
    _relay(connection, process)
    told = files.changes(before, files.scan(roots))
    _tell(connection, b"x", [process.wait(), list(told)])


def _tell(connection, kind, value):
    writer = values.Writer()
    writer.put(value)
    connection.send(_HEAD.pack(kind, len(writer.out)) + bytes(writer.out))


def _relay(connection, process):
    """Pass the streams until the program has ended and nobody has its output open any more."""
    os.set_blocking(process.stdin.fileno(), False)
    waiting, ended, reading_ended = bytearray(), False, False
    outputs = {process.stdout: b"o"}
    if process.stderr is not None:
        outputs[process.stderr] = b"e"
    while outputs:
        # First what came together with the request.
        while len(connection.data) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(connection.data)
            if len(connection.data) < _HEAD.size + length:
                break
            data = bytes(connection.data[_HEAD.size : _HEAD.size + length])
            del connection.data[: _HEAD.size + length]
            if kind == b"s":
                with suppress(OSError):
                    process.send_signal(signal.Signals(data[0]))
            else:
                waiting += data
                reading_ended = reading_ended or not data
        if not ended:
            try:
                while waiting:
                    del waiting[: os.write(process.stdin.fileno(), waiting[: 1 << 16])]
            except BlockingIOError:
                pass
            except OSError:
                waiting.clear()
                reading_ended = True
            if reading_ended and not waiting:
                with suppress(OSError):
                    process.stdin.close()
                ended = True
        with selectors.DefaultSelector() as selector:
            selector.register(connection.socket, selectors.EVENT_READ)
            for stream in outputs:
                selector.register(stream, selectors.EVENT_READ)
            if waiting and not ended:
                selector.register(process.stdin, selectors.EVENT_WRITE)
            ready = {key.fileobj for key, _ in selector.select()}
        for stream in ready & set(outputs):
            data = os.read(stream.fileno(), 1 << 16)
            if data:
                connection.send(_HEAD.pack(outputs[stream], len(data)) + data)
            else:
                del outputs[stream]
        if connection.socket in ready and not connection.receive():
            process.kill()
            sys.exit(0)
