"""The answers of a server."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ExecResult:
    """One command; the attributes are those of `affidavit.ExecResult`.

    Attributes:
        id: its number, from 1, as in the bundle's ``agent/execs.parquet``.
        stdout, stderr: the first 4 MiB of each; all in `stdout` where it had a terminal.
        exit_code: as a shell tells it.
        timed_out: its time was up, and it was killed with all that it had started.
        truncated: more was written than is kept.
    """

    id: int
    stdout: bytes
    stderr: bytes
    exit_code: int
    timed_out: bool
    truncated: bool

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ExecResult:
        """From the answer to ``setup`` and ``exec``."""
        return cls(
            value["id"],
            base64.b64decode(value["stdout"]),
            base64.b64decode(value["stderr"]),
            value["exit_code"],
            value["timed_out"],
            value["truncated"],
        )


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on, as in ``verdict.json``.

    Attributes:
        verdict: ``pass``, ``fail``, ``violation``, ``inconclusive`` or ``error``.
        score: the score that counts; None where none does.
        raw_score: the graders', whatever the record says; None where there is none.
        reasons: sentences on why, for everything but a plain pass.
        violations: the broken rules: ``rule``, ``severity``, ``message``, ``events`` and more.
        attempts: what the agent tried and came to nothing.
        assurance: what stands behind the raw score; None where there is no score.
    """

    verdict: str
    score: float | None
    raw_score: float | None
    reasons: tuple[str, ...]
    violations: tuple[dict[str, Any], ...]
    attempts: tuple[dict[str, Any], ...]
    assurance: str | None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Judgement:
        """From the answer to ``grade``."""
        return cls(
            value["verdict"],
            value["score"],
            value["raw_score"],
            tuple(value["reasons"]),
            tuple(value["violations"]),
            tuple(value.get("attempts") or ()),
            value.get("assurance"),
        )


@dataclass(frozen=True)
class Bundle:
    """A sealed bundle.

    Attributes:
        path: its folder on the server's machine.
        digest: names it as a whole: ``sha256:`` and the SHA-256 of its signed statement.
    """

    path: str
    digest: str
