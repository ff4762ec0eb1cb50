"""The result of a session's command."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ExecResult:
    """One command.

    Attributes:
        id: its number, from 1, as in the bundle's ``agent/execs.parquet``.
        stdout, stderr: the first bytes of each; all in `stdout` where it had a terminal.
        exit_code: as a shell tells it: 128 and its number where a signal ended the command, 137 where its time was up,
            127 and 126 where it was not found or could not be run.
        timed_out: its time was up, and it was killed with all that it had started.
        truncated: more was written than is kept.
    """

    id: int
    stdout: bytes
    stderr: bytes
    exit_code: int
    timed_out: bool
    truncated: bool
