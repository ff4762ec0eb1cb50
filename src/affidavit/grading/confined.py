"""Running the part of a grader that reads the agent's bytes in a process of its own, without privileges and bounded.

Parsers of JSON, SQLite, regular expressions and programming languages read here what an agent wrote to hurt them. So
they run in a child process that has no privileges, no network, no way to get either, and an end to its memory and time.
What it says comes back as JSON.
"""

import ctypes
import importlib
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
from typing import Any

CPU_SECONDS = 20
MEMORY_BYTES = 2 << 30
_FILE_BYTES = 256 << 20
_WALL_SECONDS = 300
_NOBODY = 65534
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNET = 0x40000000
_MODULE = "affidavit.grading.confined"


class Overrun(Exception):
    """The child ended before it had an answer: what it read was too much for it. The text is the end of a sentence."""


def run_confined(function: str, *arguments: object, cpu_seconds: int = CPU_SECONDS) -> Any:
    """Call a function of this package in a child process.

    Args:
        function: ``package.module:name``. The module is imported before the child gives up its privileges, and so what
            it needs, which may be installed where nobody can read it; its function ``ready``, where it has one, is
            called with the same arguments to load what only some of them need.
        arguments: what pickle can take; they are trusted, but what bytes in them mean is not.
        cpu_seconds: processor time that it may take.

    Returns:
        What the function returned, by way of JSON.

    Raises:
        Overrun: it took too much time or memory, or crashed.
        RuntimeError: it raised an exception, which it should not.
    """
    with tempfile.TemporaryDirectory(prefix="affidavit-grader-") as folder:
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", f"from {_MODULE} import main; main()", function, str(cpu_seconds)],
                input=pickle.dumps(arguments),
                capture_output=True,
                cwd=folder,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1"},
                timeout=_WALL_SECONDS,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{function} took more than {_WALL_SECONDS} s; this machine is too busy") from None
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise Overrun(f"took more than {cpu_seconds} s of processor time to read")
    if done.returncode < 0:
        raise Overrun(f"made its reader crash (signal {-done.returncode})")
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{function} failed: {''.join(last)[:300]}")
    answer = json.loads(done.stdout)
    if "exhausted" in answer:
        raise Overrun(f"took {answer['exhausted']} to read")
    return answer["answer"]


def main() -> None:
    """The child's side: its arguments are the function's name and the seconds that it may take, its standard input is
    the function's arguments, its standard output the answer."""
    module, _, name = sys.argv[1].partition(":")
    home = importlib.import_module(module)
    function, ready = getattr(home, name), getattr(home, "ready", None)
    arguments = pickle.loads(sys.stdin.buffer.read())
    if ready is not None:
        ready(*arguments)
    _confine(int(sys.argv[2]))
    try:
        answer = json.dumps({"answer": function(*arguments)})
    except MemoryError:
        answer = json.dumps({"exhausted": f"more than {MEMORY_BYTES >> 20} MiB of memory"})
    except RecursionError:
        answer = json.dumps({"exhausted": "more levels than there may be"})
    sys.stdout.write(answer)
    sys.stdout.flush()
    # Nothing that the interpreter does at its end is wanted, where a parser may have left anything behind.
    os._exit(0)


def _confine(cpu_seconds: int) -> None:
    # Trees of code are walked by functions that call themselves, a few frames a level.
    sys.setrecursionlimit(5000)
    libc = ctypes.CDLL(None, use_errno=True)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    if os.geteuid() == 0:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "a network of its own can't be had")
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "new privileges can't be given up")
    # No process and no thread besides this one.
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
