"""S: the process of one session: ``worker.py FD``. It may be started before the session is opened; what that is for
comes first on the socket FD: the length of a JSON text (``struct '>I'``) and the text."""

import json
import os
import socket
import struct
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    sys.path[:] = [folder for folder in sys.path if folder not in ("", _HERE)]
    sys.path.insert(0, _HERE)
    from affidavit_inside import frames, processes

    processes.adopt_orphans()
    connection = frames.Connection(socket.socket(fileno=int(sys.argv[1])))
    os.set_inheritable(connection.socket.fileno(), False)
    from affidavit_inside import serving

    sys.path.remove(_HERE)
    (length,) = struct.unpack(">I", exactly(connection.socket, 4))
    opened = json.loads(exactly(connection.socket, length))
    workdir = os.environ["AFFIDAVIT_WORKDIR"]
    os.chdir(workdir)
    serving.Session(connection, opened, workdir).serve()


def exactly(connection, length):
    """As many bytes; the process ends where the session is never opened."""
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data


if __name__ == "__main__":
    main()
