"""Rows on their way from a recorder's thread."""

import threading

from affidavit.events import OPS
from affidavit.recorder.batch_queue import BatchQueue
from affidavit.recorder.rows import Rows

ROW = {"ts_ns": 1, "pid": 1, "tid": 1, "ppid": 0, "op": OPS[0], "source": "x", "ret": 0}


def test_few_rows_wait_to_be_more() -> None:
    rows = Rows()
    outbox = BatchQueue(rows, threading.Event(), within_s=1e6)
    rows.add(ROW)
    assert 0 < outbox.offer() <= 1e6
    assert len(rows) == 1
    outbox.end()
    assert [batch.num_rows for batch in outbox.batches()] == [1]


def test_rows_that_are_due_or_many_do_not_wait() -> None:
    for within_s, number in ((0.0, 1), (1e6, 8192)):
        rows = Rows()
        outbox = BatchQueue(rows, threading.Event(), within_s)
        for _ in range(number):
            rows.add(ROW)
        outbox.offer()
        assert len(rows) == 0
