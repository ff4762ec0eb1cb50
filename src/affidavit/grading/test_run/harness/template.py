"""A process that has loaded a framework, and makes a copy of itself for each test: ``template.py FRAMEWORK FD PLAN``.

For a sandbox where nothing of the agent's runs: what one test does is not there in the next one's copy, and what all of
them load is loaded once. FD is a socket (SOCK_SEQPACKET). It says ``ready``, is sent the name of a test with the
descriptor that its report goes to (SCM_RIGHTS), and answers with the number of its process, and with how that ended as
waitpid(2) has it.
"""

import array
import importlib
import os
import socket
import sys


def main():
    framework, descriptor, plan = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    test = importlib.import_module(f"{framework}_test")
    test.load()
    runner = socket.socket(fileno=descriptor)
    runner.send(b"ready")
    while True:
        name, report = receive(runner)
        if not name:
            return 0
        pid = os.fork()
        if pid == 0:
            os.setsid()
            runner.close()
            sys.argv[:] = [f"{sys.path[0]}/{framework}_test.py", name, str(report), plan]
            begin()
            return test.main()
        os.close(report)
        runner.send(str(pid).encode())
        runner.send(str(os.waitpid(pid, 0)[1]).encode())


def receive(runner):
    """The name of a test, and the descriptor for its report; empty at the end."""
    size = array.array("i").itemsize
    data, others, _, _ = runner.recvmsg(1 << 16, socket.CMSG_SPACE(size))
    if not data:
        return "", None
    descriptors = array.array("i")
    descriptors.frombytes(others[0][2][:size])
    os.set_inheritable(descriptors[0], False)
    return data.decode("utf-8", "surrogateescape"), descriptors[0]


def begin():
    """What each process of the tests does first: see separation/inside/standins/sitecustomize.py."""
    site = sys.modules.get("sitecustomize")
    if hasattr(site, "affidavit_begin"):
        site.affidavit_begin()


if __name__ == "__main__":
    sys.exit(main())
