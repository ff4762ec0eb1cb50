"""Running buildah and skopeo: bounded in time, in what they print and in what they write."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from affidavit.images.errors import ImageError

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_LOG_BYTES = 8 << 20
_LOOK_EVERY_S = 0.2
# What a pull or a build leaves of the disk to everybody else.
_SPARE_BYTES = 1 << 30
_FATAL = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_STEP = re.compile(r"step \{Env:.*?Original:.*?\}")


def find_tool(name: str, package: str) -> str:
    """Absolute path of a program. Raises ImageError where it is not installed."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise ImageError(f"{name} is not installed, and images need it: make setup, or apt install {package}")
    return found


def run_tool(
    argv: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    *,
    timeout_s: float,
    writes_to: Path,
    most_bytes: int,
    line: Callable[[str], None] | None = None,
) -> int:
    """Run a program to its end.

    Args:
        argv: the command, absolute path first.
        env: its environment, beside PATH.
        log: a new file for what it prints.
        timeout_s: seconds it may take.
        writes_to: the folder that it fills; some of the disk under it stays free.
        most_bytes: what one file of it may take.
        line: is given each line that it prints.

    Returns:
        its exit status.

    Raises:
        ImageError: it took too long, too much room, or printed too much.
    """
    deadline = time.monotonic() + timeout_s
    with log.open("wb") as out:
        # prlimit(1): a function between fork and exec is not safe beside threads.
        process = subprocess.Popen(
            ["prlimit", f"--fsize={most_bytes}", "--core=0", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={"PATH": _PATH, **env},
            cwd="/",
            start_new_session=True,
        )
    try:
        seen = 0
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_EVERY_S)
            seen = _pass_on(log, seen, line)
            if process.returncode is not None:
                return process.returncode
            if time.monotonic() > deadline:
                raise ImageError(f"took more than {timeout_s:.0f} s, and was stopped")
            if log.stat().st_size > _MOST_LOG_BYTES:
                raise ImageError(f"printed more than {_MOST_LOG_BYTES >> 20} MiB, and was stopped")
            if _free(writes_to) < _SPARE_BYTES:
                raise ImageError(f"{writes_to}: less than {_SPARE_BYTES >> 30} GiB is left on the disk; make room")
    finally:
        # Also what it left running.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _pass_on(log: Path, seen: int, line: Callable[[str], None] | None) -> int:
    if line is None:
        return seen
    with log.open("rb") as file:
        file.seek(seen)
        new = file.read(1 << 20)
    whole, newline, _ = new.rpartition(b"\n")
    for text in whole.decode("utf-8", "replace").splitlines():
        line(text)
    return seen + len(whole) + len(newline)


def _free(folder: Path) -> int:
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize


def last_words(log: Path, most: int = 400) -> str:
    """What a tool said last: the message of its last error, else its last line; bounded, control characters out."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - (64 << 10)))
        lines = file.read().decode("utf-8", "replace").split("\n")
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in lines]
    lines = [line for line in lines if line]
    chosen = next((line for line in reversed(lines) if "level=fatal" in line or line.startswith("Error: ")), None)
    text = chosen or (lines[-1] if lines else "nothing")
    match = _FATAL.search(text)
    text = match[1].replace('\\"', '"') if match else text.removeprefix("Error: ")
    # buildah says what went wrong after all that it knows of the step.
    text = _STEP.sub("step", text)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 :]}"
