"""Runs git, for importing tasks and for patches."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from affidavit.tasks.errors import TaskError

_KEPT = ("SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy")


def run_git(
    what: str,
    words: Sequence[str],
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    *,
    as_configured: bool = False,
    timeout_s: float = 1800,
) -> bytes:
    """Run git, and return its standard output. It speaks only https, ssh and file, and asks nobody for a password.

    Args:
        what: it works on, for errors.
        words: its arguments.
        stdin: its standard input.
        env: further variables.
        as_configured: with the configuration of the user and the system, which may have filters, hooks and the way to a
            private server. Otherwise without.
        timeout_s: seconds that it may take.

    Raises:
        TaskError: it is not installed, took too long, or failed.
    """
    bare = {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    whole = {
        "PATH": os.environ.get("PATH", os.defpath),
        **({"HOME": os.environ.get("HOME", "/")} if as_configured else bare),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file",
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        **(env or {}),
    }
    try:
        done = subprocess.run(["git", *words], input=stdin, env=whole, capture_output=True, timeout=timeout_s)
    except FileNotFoundError:
        raise TaskError("git is not installed, and the tasks' repositories are git's: apt install git") from None
    except subprocess.TimeoutExpired:
        raise TaskError(f"{what}: git took more than {timeout_s:g} s") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise TaskError(f"{what}: git: {said[-1][:300] if said else done.returncode}")
    return done.stdout
