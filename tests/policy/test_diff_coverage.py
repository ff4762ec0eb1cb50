"""Changes of a sandbox held against its record."""

from dataclasses import dataclass
from typing import Any

import pytest

from affidavit.policy import unexplained
from affidavit.recorder.rows import Rows

AT = "/workspace/a"
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Change:
    path: str = AT
    kind: str = "added"


def said(changes: list[Change], *rows: dict[str, Any], gap_ns: int = SECOND, a_batch: int = 100) -> tuple[str, ...]:
    """What is not explained by rows that stand a while apart."""
    whole = Rows()
    batches = []
    for at, row in enumerate(rows):
        common = {"ts_ns": at * gap_ns, "pid": 7, "tid": 7, "ppid": 1, "ret": 0, "flags": 0, "source": "ebpf/memory"}
        whole.add({**common, **row})
        if len(whole) == a_batch:
            batches.append(whole.take())
    return unexplained([*batches, whole.take()], changes)  # type: ignore[arg-type]


def act(op: str, path: str = AT, path2: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, "path2": path2, **more}


MADE = act("create", ret=3)
REMOVED = act("unlink")
AWAY = "/workspace/b"

EXPLAINED: dict[str, tuple[list[Change], list[dict[str, Any]]]] = {
    "made": ([Change()], [MADE]),
    "made, removed and made": ([Change()], [MADE, REMOVED, MADE]),
    "linked": ([Change(AWAY)], [act("link", AT, AWAY)]),
    "renamed": ([Change(AWAY), Change(AT, "deleted")], [act("rename", AT, AWAY)]),
    "exchanged": ([Change(AWAY), Change(AT)], [act("rename", AT, AWAY, flags=2)]),
    "in a folder that was renamed": ([Change("/workspace/new/a")], [act("rename", "/workspace/old", "/workspace/new")]),
    "gone with a folder": ([Change("/workspace/old/a", "deleted")], [act("rename", "/workspace/old", "/tmp/x")]),
    "removed": ([Change(kind="deleted")], [REMOVED]),
    "written": ([Change(kind="modified")], [act("open_write", ret=3)]),
    "written by another name": ([Change(kind="modified")], [act("link", AT, AWAY), act("open_write", AWAY, ret=3)]),
    "a socket": ([Change()], [act("bind")]),
    "other attributes": ([Change(kind="metadata")], []),
    "killed in the call": ([Change()], [act("mkdir", ret=-4)]),
    "a name that is no text": ([Change("/workspace/\\xff")], [act("mkdir", "/workspace/\ufffd")]),
    "nothing": ([], [MADE, REMOVED]),
}
UNSEEN: dict[str, tuple[list[Change], list[dict[str, Any]]]] = {
    "not made": ([Change()], []),
    "another was made": ([Change()], [act("create", AWAY, ret=3)]),
    "not removed": ([Change(kind="deleted")], [MADE]),
    "removed and still there": ([Change()], [MADE, REMOVED]),
    "made and not there": ([Change(kind="deleted")], [REMOVED, MADE]),
    "only opened": ([Change()], [act("open_read", ret=3)]),
    "only tried": ([Change()], [act("create", ret=-13)]),
    "not written": ([Change(kind="modified")], [act("open_read", ret=3)]),
    "a name that could not be read": ([Change()], [act("create", None, ret=3)]),  # type: ignore[arg-type]
    "beside a folder that was renamed": ([Change("/workspace/newer/a")], [act("rename", "/a", "/workspace/new")]),
    "renamed away": ([Change()], [MADE, act("rename", AT, AWAY)]),
}


@pytest.mark.parametrize("a_batch", [1, 100])
@pytest.mark.parametrize("case", EXPLAINED)
def test_what_the_record_says_is_explained(case: str, a_batch: int) -> None:
    changes, rows = EXPLAINED[case]
    assert said(changes, *rows, a_batch=a_batch) == ()


@pytest.mark.parametrize("a_batch", [1, 100])
@pytest.mark.parametrize("case", UNSEEN)
def test_what_it_does_not_say_is_named(case: str, a_batch: int) -> None:
    changes, rows = UNSEEN[case]
    (sentence,) = said(changes, *rows, a_batch=a_batch)
    assert changes[0].path in sentence


def test_two_threads_at_once_may_stand_the_other_way_round() -> None:
    made = {**MADE, "tid": 8}
    assert said([Change()], made, REMOVED, gap_ns=1000) == ()
    assert said([Change()], made, REMOVED) != ()


def test_of_many_a_few_are_named() -> None:
    changes = [Change(f"/workspace/{number}") for number in range(10)]
    sentences = said(changes)
    assert len(sentences) == 4
    assert sentences[-1] == "and so were 7 others"
