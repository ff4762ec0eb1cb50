"""The ledger: what it says after a run was killed at any point, and what it refuses."""

import errno
import os
from pathlib import Path

import pytest

from affidavit.runs import LEDGER, Ledger, RunPlan, read_ledger
from affidavit.signing import EvidenceError, SigningKey, new_key
from plans import digest_of

BUNDLE = digest_of("bundle")
PASS = ("pass", 1.0, 1.0)


def write(folder: Path, key: SigningKey, plan: RunPlan) -> bytes:
    """A run of four trials: one sealed, one interrupted and tried again, one that failed early, one that passed."""
    one, two, three, four = (trial.name for trial in plan.in_order)
    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        seal(ledger, one)
        log = ledger.trial(two)
        log.sandbox_made()
        log.aborted("interrupted")
        seal(ledger, two)
        ledger.trial(three).aborted("no sandbox", "error")
        seal(ledger, four)
        ledger.finish()
    return (folder / LEDGER).read_bytes()


def seal(ledger: Ledger, name: str) -> None:
    log = ledger.trial(name)
    log.sandbox_made()
    log.finished()
    log.judged(*PASS)  # type: ignore[arg-type]
    log.sealed(BUNDLE, 12)


def test_a_whole_run(folder: Path, key: SigningKey, plan: RunPlan) -> None:
    write(folder, key, plan)
    read = read_ledger(folder / LEDGER, key.public)
    history, names = read.history, [trial.name for trial in plan.in_order]
    assert (history.run_id, history.plan, history.closed) == (folder.name, plan.digest, True)
    assert (history.without_end(names), read.unsigned, read.discarded) == ([], 0, 0)
    assert [len(history.attempts[name]) for name in names] == [1, 2, 1, 1]
    assert history.attempts[names[1]][0].kinds == ["started", "sandbox", "aborted"]
    end = history.end_of(names[0])
    assert end is not None
    assert (end.verdict, end.score, end.bundle, end.duration_ms) == ("pass", 1.0, BUNDLE, 12)
    assert (history.attempts[names[2]][0].verdict, history.attempts[names[2]][0].why) == ("error", "no sandbox")


def test_a_run_that_was_killed_after_any_byte_says_what_has_no_end(
    folder: Path, key: SigningKey, plan: RunPlan
) -> None:
    whole = write(folder, key, plan)
    names = [trial.name for trial in plan.in_order]
    lines = whole.splitlines(keepends=True)
    first, left = len(lines[0]), []
    # Every line end, and a few places within each line.
    starts = [sum(map(len, lines[:index])) for index in range(1, len(lines) + 1)]
    cuts = sorted({cut for start in starts for cut in (start, start - 1, start - 7, start - 200)})
    for cut in [cut for cut in cuts if first <= cut <= len(whole)]:
        (folder / LEDGER).write_bytes(whole[:cut])
        read = read_ledger(folder / LEDGER, key.public)
        assert (read.whole + read.discarded, read.unsigned <= 1) == (cut, True)
        left.append(len(read.history.without_end(names)))
    assert left == sorted(left, reverse=True)
    assert {*left} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("lost", [0, 1, 90, 300, 700, 1400])
def test_a_run_that_was_killed_goes_on(folder: Path, key: SigningKey, plan: RunPlan, lost: int) -> None:
    one, two, three, four = (trial.name for trial in plan.in_order)
    path = folder / LEDGER
    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        seal(ledger, one)
        ledger.trial(two).sandbox_made()
    path.write_bytes(path.read_bytes()[: path.stat().st_size - lost])
    ledger, before = Ledger.reopen(folder, key)
    with ledger:
        assert before.history.without_end([one, two]) == [two]
        for name in (two, three, four):
            seal(ledger, name)
        ledger.finish()
    read = read_ledger(path, key.public)
    assert (read.history.resumed, read.history.closed, read.unsigned, read.discarded) == (1, True, 0, 0)
    assert read.history.without_end([one, two, three, four]) == []
    started = lost < 1400
    assert len(read.history.attempts[two]) == 1 + started
    assert read.holds(before.checkpoint)
    closed, _ = Ledger.reopen(folder, key)
    with closed:
        assert closed.finish() == read.checkpoint


def test_what_was_sealed_unseen_is_adopted(folder: Path, key: SigningKey, plan: RunPlan) -> None:
    one, two, *_ = (trial.name for trial in plan.in_order)
    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        for name in (one, two):
            log = ledger.trial(name)
            log.sandbox_made()
            log.finished()
            log.judged(*PASS)  # type: ignore[arg-type]
    ledger, _ = Ledger.reopen(folder, key)
    with ledger:
        ledger.adopt(one, "pass", 1.0, 1.0, BUNDLE)
        with pytest.raises(EvidenceError, match="not what the ledger says"):
            ledger.adopt(two, "pass", 0.5, 1.0, BUNDLE)
    assert read_ledger(folder / LEDGER, key.public).history.without_end([one, two]) == [two]


def test_only_one_process_writes(folder: Path, key: SigningKey, plan: RunPlan) -> None:
    with Ledger.create(folder, key, folder.name, plan.digest):
        with pytest.raises(EvidenceError, match="still at work"):
            Ledger.reopen(folder, key)
        with pytest.raises(EvidenceError, match="can't be written"):
            Ledger.create(folder, key, folder.name, plan.digest)


def test_a_full_disk_leaves_whole_entries_and_stops_the_run(
    folder: Path, key: SigningKey, plan: RunPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, *_ = (trial.name for trial in plan.in_order)
    write_some = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 100:
            return write_some(descriptor, data[:100], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        seal(ledger, one)
        before = (folder / LEDGER).read_bytes()
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(EvidenceError, match="No space left"):
            ledger.trial(two)
        monkeypatch.undo()
        with pytest.raises(EvidenceError, match="could not be written"):
            ledger.finish()
    assert (folder / LEDGER).read_bytes() == before


@pytest.mark.parametrize("line", range(8))
def test_a_changed_entry_or_checkpoint_is_found(folder: Path, key: SigningKey, plan: RunPlan, line: int) -> None:
    whole = write(folder, key, plan)
    lines = whole.splitlines(keepends=True)
    for change in (
        lambda text: text.replace(b'"at":"2', b'"at":"3').replace(b'"sig":"', b'"sig":"A'),
        lambda text: b"",
        lambda text: text + text,
        lambda text: b"\n" + text,
    ):
        spoilt = [*lines[:line], change(lines[line]), *lines[line + 1 :]]
        (folder / LEDGER).write_bytes(b"".join(spoilt))
        with pytest.raises(EvidenceError, match=rf"{LEDGER}:\d+: "):
            read_ledger(folder / LEDGER, key.public)


def test_another_key_has_not_signed(folder: Path, key: SigningKey, plan: RunPlan, tmp_path: Path) -> None:
    write(folder, key, plan)
    with pytest.raises(EvidenceError, match="is not signed by"):
        read_ledger(folder / LEDGER, new_key(tmp_path / "other").public)


def test_what_can_t_follow_is_not_written(folder: Path, key: SigningKey, plan: RunPlan) -> None:
    one, two, *_ = (trial.name for trial in plan.in_order)
    with Ledger.create(folder, key, folder.name, plan.digest) as ledger:
        seal(ledger, one)
        with pytest.raises(EvidenceError, match="which has its end"):
            ledger.trial(one)
        log = ledger.trial(two)
        with pytest.raises(EvidenceError, match="says verdict of a/cmd/1 after started"):
            log.judged(*PASS)  # type: ignore[arg-type]
    assert len(read_ledger(folder / LEDGER, key.public).history.attempts) == 2
