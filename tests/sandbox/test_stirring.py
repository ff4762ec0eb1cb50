"""Counters of the kernel, moved between sandboxes."""

import secrets

import pytest

from affidavit.sandbox import stir_counters


@pytest.mark.parametrize(
    ("made", "drawn_from"),
    [
        ({}, [1024, 1024, 1024]),
        ({"pipes and sockets": 10, "renames": 5_000}, [1044, 1024, 11_024]),
        ({"files in memory": 10**9}, [1024, 1 << 17, 1024]),
        # What is not known may have been much.
        (None, [33_792, 33_792, 33_792]),
    ],
)
def test_counters_are_moved_farther_the_more_a_sandbox_moved_them(
    monkeypatch: pytest.MonkeyPatch, made: dict[str, int] | None, drawn_from: list[int]
) -> None:
    bounds = []
    monkeypatch.setattr(secrets, "randbelow", lambda bound: bounds.append(bound) or 1)
    stir_counters(made)
    assert bounds == drawn_from
