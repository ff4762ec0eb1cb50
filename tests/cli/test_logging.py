"""``-v``, ``-q`` and ``AFFIDAVIT_LOG``."""

from collections.abc import Callable
from pathlib import Path

from harness import Command

SECRET = "b7d1c1f0-not-to-be-logged"


def test_verbose_names_what_is_done_and_no_secret(affidavit: Command, task: Callable[..., Path]) -> None:
    ran = affidavit.alone("-vv", "run", task(), "--agent-cmd", f": {SECRET}", AFFIDAVIT_ALERT_SECRET=SECRET)
    assert "affidavit.evaluation.stages: stage agent: exit 0" in ran.err
    assert "DEBUG affidavit.sandbox.container" in ran.err
    assert SECRET not in ran.err


def test_quiet_says_nothing(affidavit: Command, task: Callable[..., Path]) -> None:
    assert affidavit.alone("-q", "run", task(), "--agent", "nop").err == ""


def test_the_environment_sets_the_level(affidavit: Command) -> None:
    ran = affidavit.alone("profiles", AFFIDAVIT_LOG="loud")
    assert (ran.status, ran.err) == (
        2,
        "affidavit: AFFIDAVIT_LOG=loud: no such level; use debug, info, warning, error\n",
    )


def test_contradicting_flags(affidavit: Command) -> None:
    assert affidavit.alone("-v", "-q", "profiles").status == 2
