"""Whatever is missing from a record, its trial is inconclusive and says how much."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from affidavit.evaluation import choose_runtime
from affidavit.recorder.ebpf import EbpfRecorder
from affidavit.recorder.ebpf.frames import Totals
from harness import EBPF, SOLVE, Trials

pytestmark = pytest.mark.usefixtures("nothing_left")

Batches = Callable[[Any], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Tampered:
    """The eBPF recorder, with something done to what it hands over."""

    batches: Batches
    name: str = "ebpf"

    def available(self) -> Any:
        return EbpfRecorder().available()

    def open(self, sandbox_name: str, within_ms: int) -> Any:
        recording = EbpfRecorder().open(sandbox_name, within_ms)
        genuine = recording.batches
        recording.batches = lambda: self.batches((recording, genuine()))  # type: ignore[method-assign]
        return recording


def without_a_row(of: Any) -> Iterator[pa.RecordBatch]:
    """One row less, in the middle."""
    taken = False
    for batch in of[1]:
        if not taken and batch.num_rows > 2:
            yield batch.slice(0, 1)
            batch, taken = batch.slice(2), True
        yield batch


def without_the_end(of: Any) -> Iterator[pa.RecordBatch]:
    """The rows, but not the mark behind them."""
    for batch in of[1]:
        yield batch
        if "exit" in batch["op"].to_pylist():
            return


def counted(**counters: int) -> Batches:
    """Something that the programs in the kernel counted."""

    def batches(of: Any) -> Iterator[pa.RecordBatch]:
        recording, genuine = of
        yield from genuine
        recording._totals = replace(recording._totals, **counters)

    return batches


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (without_a_row, "events were written of"),
        (without_the_end, "the record was not read to its end"),
        (counted(uncounted=7), "7 system calls were not counted"),
        (counted(live=2), "2 tasks of the sandbox still ran"),
    ],
)
def test_what_is_missing_makes_a_trial_inconclusive(
    trials: Trials, task: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, batches: Batches, said: str
) -> None:
    chosen = replace(choose_runtime("runc", "ebpf"), recorder=Tampered(batches))
    monkeypatch.setattr("affidavit.evaluation.preflight.choose_runtime", lambda *_: chosen)
    outcome = trials(EBPF, task(), SOLVE)
    assert (outcome.verdict, outcome.score) == ("inconclusive", None)
    assert said in outcome.reasons


@pytest.mark.parametrize(
    ("counters", "lost"),
    [
        ({"emitted": 103}, 3),
        ({"emitted": 104, "dropped": 4}, 4),
        ({"unmarked": 5}, 5),
        ({"uncounted": 6}, 6),
        ({"foreign": 7}, 7),
        ({"reentered": 8, "missed": 1}, 9),
        ({"malformed": 10}, 10),
        ({"cut": 11}, 11),
    ],
    ids=str,
)
def test_each_counter_of_the_kernel_is_told(counters: dict[str, int], lost: int) -> None:
    whole = Totals(100, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0)
    recording = EbpfRecorder().open("counters")
    try:
        recording._totals = whole
        assert recording.summary().complete
        recording._totals = replace(whole, **counters)
        summary = recording.summary()
    finally:
        recording.close()
    assert (summary.complete, summary.lost) == (False, lost)
    assert str(lost) in summary.reasons[0]
