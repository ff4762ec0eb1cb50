"""S: the process of one session: ``worker.py FD``, and what it is for as JSON in AFFIDAVIT_OPENED."""

import json
import os
import socket
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    sys.path[:] = [folder for folder in sys.path if folder not in ("", _HERE)]
    sys.path.insert(0, _HERE)
    from affidavit_inside import frames, processes

    processes.adopt_orphans()
    connection = frames.Connection(socket.socket(fileno=int(sys.argv[1])))
    os.set_inheritable(connection.socket.fileno(), False)
    opened = json.loads(os.environ.pop("AFFIDAVIT_OPENED"))
    workdir = os.environ["AFFIDAVIT_WORKDIR"]
    from affidavit_inside import serving

    sys.path.remove(_HERE)
    serving.Session(connection, opened, workdir).serve()


if __name__ == "__main__":
    main()
