"""What one sandbox can tell another one beside it."""

from collections.abc import Callable
from typing import Any

from affidavit.sandbox import RuntimeHooks

_HOLD = "exec 9</usr/bin/env; flock -n 9 && echo held; sleep 60"
_ASK = "exec 9</usr/bin/env; flock -n 9 && echo free"
_BLIND = """
import ctypes, os
fd = os.open("/usr/bin/env", os.O_RDONLY)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
try:
    os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
except OSError as problem:
    print(problem.errno)
print(open("/proc/loadavg").read() + open("/proc/vmstat").read())
"""


def test_a_lock_on_a_file_of_usr_is_its_own(make: Callable[..., Any], run: Callable[..., Any]) -> None:
    with make("runc", "/bin/sh", "-c", _HOLD) as holder:
        holder.create(RuntimeHooks())
        holder.start()
        assert holder.wait(2) is None
        assert run("runc", "/bin/sh", "-c", _ASK).stdout == "free\n"
        holder.kill()
        assert holder.output().stdout == b"held\n"


def test_asks_no_page_cache_and_no_counters(run: Callable[..., Any]) -> None:
    assert run("runc", "/usr/bin/python3", "-c", _BLIND).stdout.split() == ["95", "0.00", "0.00", "0.00", "1/1", "1"]
