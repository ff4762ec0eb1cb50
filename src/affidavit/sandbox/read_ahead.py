"""Files that Python begins with, read from a sandbox's own copy of /usr before Python asks for them.

A sandbox has a page cache of its own for /usr, which is empty at its beginning: an interpreter there waits for the disk
at each of the hundred files and more that it begins with, one after the other. Asked for by several threads, while the
runtime makes the sandbox, they come together. Which they are depends on the machine's Python and on the names of
modules alone, so that what is in that cache afterwards tells nothing of another sandbox.
"""

import hashlib
import json
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from affidavit.sandbox.packed import images_dir, look_at_usr

_THREADS = 8
_PYTHON = "/usr/bin/python3"
# Prints what an interpreter has read once it has imported what is named; with ".*", all modules of a package.
_LIST = """
import importlib, os, pkgutil, sys
sys.dont_write_bytecode = True
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name.removesuffix(".*"))
        found = pkgutil.iter_modules(module.__path__, module.__name__ + ".") if name.endswith(".*") else ()
        for _, below, _ in found:
            importlib.import_module(below)
    except ImportError:
        pass
with open("/proc/self/maps") as maps:
    names = [fields[5] for fields in map(str.split, maps) if len(fields) == 6]
for module in list(sys.modules.values()):
    names += [getattr(module, attribute, None) or "" for attribute in ("__cached__", "__file__")]
names += [os.path.dirname(name) for name in names]
names = dict.fromkeys(os.path.realpath(name) for name in names if name)
print(*(name for name in names if name.startswith("/usr/")), sep="\\0", end="")
"""


def files_of_imports(modules: Sequence[str], state: Path) -> tuple[str, ...]:
    """The files of /usr that the machine's Python reads when it imports modules: those that were found once, as long as
    /usr is the same.

    Args:
        modules: their names; ``NAME.*`` for all those in a package. One that is not there is left out.
        state: the state folder, where what was found is kept.

    Returns:
        Absolute paths of files, and of the folders that they are in; none where there is no Python.

    Raises:
        OSError: what was found can't be kept.
    """
    found = images_dir(state) / f"imports-{hashlib.sha256(json.dumps(modules).encode()).hexdigest()[:32]}.json"
    usr = look_at_usr().result()
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(found.read_bytes())
        if kept["usr"] == usr:
            return tuple(map(str, kept["files"]))
    try:
        listed = subprocess.run([_PYTHON, "-I", "-c", _LIST, *modules], stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        return ()
    files = tuple(filter(None, os.fsdecode(listed.stdout).split("\0")))
    found.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = found.with_name(f".{found.name}.{uuid.uuid4().hex}")
    fresh.write_text(json.dumps({"usr": usr, "files": files}))
    fresh.replace(found)
    return files


def _ask_for(path: Path) -> None:
    if path.suffix == ".py":
        # An interpreter looks whether it is as old as what was compiled of it, and reads that.
        path.stat()
    elif path.is_dir():
        list(path.iterdir())
    else:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)


@contextmanager
def reading_ahead(usr: Path, files: Sequence[str]) -> Iterator[None]:
    """Have files of a mounted copy of /usr come into memory; all have been asked for when the ``with`` ends.

    Args:
        usr: where the copy is mounted.
        files: absolute paths below /usr; one that is not there is left out.
    """
    waiting = [usr / name.removeprefix("/usr/") for name in reversed(files)]

    def ask() -> None:
        with suppress(IndexError):
            while True:
                with suppress(OSError):
                    _ask_for(waiting.pop())

    threads = [threading.Thread(target=ask, name="read ahead") for _ in range(_THREADS if files else 0)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
