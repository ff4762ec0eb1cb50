"""What a sandbox may use, and no more."""

from collections.abc import Callable
from typing import Any

from affidavit.sandbox import Limits


def test_memory(run: Callable[..., Any], runtime: str) -> None:
    # More than the bound and what is spared for gVisor's own use together.
    script = "x = bytearray(); exec('while len(x) < 2 << 30: x += bytes(range(256)) * 16384')"
    ran = run(runtime, "/usr/bin/python3", "-c", script, limits=Limits(memory_mb=128, disk_mb=16))
    assert ran.exit.oom
    assert ran.exit.signal == 9


def test_memory_of_a_child(run: Callable[..., Any]) -> None:
    script = "python3 -c \"x = b'x' * (1 << 29)\"; echo $?"
    ran = run("runc", "/bin/bash", "-c", script, limits=Limits(memory_mb=128, disk_mb=16))
    assert ran.stdout == "137\n"
    assert ran.exit.oom
    assert ran.exit.code == 0


def test_processes(run: Callable[..., Any]) -> None:
    script = """
import os, time
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            time.sleep(60)
        made += 1
except BlockingIOError:
    pass
print(made)
"""
    ran = run("runc", "/usr/bin/python3", "-c", script, limits=Limits(pids=32, disk_mb=16))
    assert ran.stdout == "31\n"


def test_disk(run: Callable[..., Any], runtime: str) -> None:
    script = """
        for i in 1 2 3 4 5 6; do head -c 10000000 /dev/zero > /workspace/$i || echo full; done 2>/dev/null
        head -c 60000000 /dev/zero > /logs/a 2>/dev/null || echo full
    """
    ran = run(runtime, "/bin/bash", "-c", script, limits=Limits(disk_mb=32), scratch=("/logs",))
    assert 3 <= ran.stdout.count("full") <= 5


def test_size_of_one_file(run: Callable[..., Any]) -> None:
    # 1 TB of nothing takes no room on the disk, but time to read.
    ran = run("runc", "/bin/bash", "-c", "truncate -s 1T /workspace/hole; stat -c %s /workspace/hole")
    assert ran.stdout in ("", "0\n")


def test_number_of_files(run: Callable[..., Any], runtime: str) -> None:
    script = "import os\nfor i in range(100000): open(f'/workspace/{i}', 'w').close()"
    ran = run(runtime, "/usr/bin/python3", "-c", script, limits=Limits(disk_mb=16))
    assert ran.exit.code == 1
    assert "No space left" in ran.stderr


def test_processor_time_of_a_process(run: Callable[..., Any]) -> None:
    limits = Limits(cpu_ms=800, disk_mb=16)
    ran = run("runc", "/bin/bash", "-c", "(while :; do :; done); echo $?", limits=limits)
    assert ran.stdout in ("137\n", "152\n"), "SIGKILL or SIGXCPU"


def test_processors(run: Callable[..., Any]) -> None:
    script = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    ran = run("runc", "/usr/bin/python3", "-c", script, limits=Limits(cpus=0.25, disk_mb=16))
    assert float(ran.stdout) < 0.6


def test_open_files(run: Callable[..., Any], runtime: str) -> None:
    script = "import os\ntry:\n while True: last = os.open('/', os.O_RDONLY)\nexcept OSError: print(last)"
    ran = run(runtime, "/usr/bin/python3", "-c", script, limits=Limits(open_files=64, disk_mb=16))
    assert ran.stdout == "63\n"


def test_limits_of_its_starter_are_not_inherited(run: Callable[..., Any]) -> None:
    ran = run("runc", "/bin/bash", "-c", "ulimit -c; ulimit -n; ulimit -Hs; ulimit -s")
    assert ran.stdout == "0\n4096\nunlimited\n8192\n"


def test_flood_under_gvisor(run: Callable[..., Any]) -> None:
    # Processes of the sentry count, too, so the bound is no exact one; where it is reached, the sentry gives up.
    script = "import os, time\nfor i in range(3000):\n if os.fork() == 0: time.sleep(60)"
    ran = run("gvisor", "/usr/bin/python3", "-c", script, limits=Limits(pids=32, memory_mb=512, disk_mb=16))
    assert ran.exit.code != 0
