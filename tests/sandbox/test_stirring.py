"""Counters of the kernel, moved between sandboxes."""

import ctypes
import mmap
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.sandbox import Counters, read_counters, stir_counters


def pipe() -> None:
    for end in os.pipe():
        os.close(end)


def queue() -> None:
    """A message queue has an inode number as pipes have, and is never opened by a call that makes a pipe."""
    libc = ctypes.CDLL(None)
    os.close(libc.mq_open(b"/stirring", os.O_CREAT | os.O_RDWR, 0o600, None))
    libc.mq_unlink(b"/stirring")


def shared_memory() -> None:
    mmap.mmap(-1, 4096).close()


def rename(folder: Path) -> None:
    (folder / "a").touch()
    (folder / "a").rename(folder / "b")


@pytest.mark.parametrize(("move", "which"), [(pipe, 0), (queue, 0), (shared_memory, 1), (rename, 2)])
def test_counters_are_moved_farther_the_more_they_were_moved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, move: Callable[..., None], which: int
) -> None:
    bounds: list[int] = []
    monkeypatch.setattr(secrets, "randbelow", lambda bound: bounds.append(bound) or 1)
    before = read_counters()
    for _ in range(6_000):
        move(*[tmp_path] if move is rename else [])
    stir_counters(before)
    # What else runs on this machine moves them as well. A batch may have been begun, or not used up.
    assert bounds[which] >= 1024 + 2 * 6_000
    # Of each processor's batches no more is known.
    assert bounds[3:] == [1024] * 2 * len(os.sched_getaffinity(0))


def test_they_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda bound: min(bound - 1, 20_000))
    before = read_counters()
    moved = (before.pipes - 20_000, before.files - 20_000, before.renames - 20_000)
    stir_counters(Counters(*moved, before.stirred))
    after = read_counters()
    assert min(after.pipes - before.pipes, after.files - before.files, after.renames - before.renames) >= 19_000


def test_a_counter_that_begins_again_takes_no_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[int] = []
    monkeypatch.setattr(secrets, "randbelow", lambda bound: bounds.append(bound) or 1)
    before = read_counters()
    stir_counters(Counters(before.pipes + 10**9, before.files, before.renames, before.stirred))
    assert bounds[0] == 1 << 23


def test_gradings_side_by_side_do_not_drive_each_other_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them takes place within another, whose end stirs for all that it has seen."""
    bounds: list[int] = []
    monkeypatch.setattr(secrets, "randbelow", lambda bound: bounds.append(bound) or bound - 1)
    begun = [read_counters() for _ in range(6)]
    for one in reversed(begun):
        stir_counters(one)
    # Driven by the others' steps, it would take three times as many from one to the next.
    assert max(bounds) < 100_000
