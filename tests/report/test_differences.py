"""Differences between texts: right where they are small, and bounded where they are hostile."""

import random

import pytest

from affidavit.report.differences import Differences


def applied(lines: list[str]) -> tuple[list[str], list[str]]:
    """Both sides of a difference that shows all lines."""
    return [one[1:] for one in lines if one[0] in " -"], [one[1:] for one in lines if one[0] in " +"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, "a\nb\n", ["+a", "+b"]),
        ("a\n", None, ["-a"]),
        ("a\nb\nc\n", "a\nB\nc\n", [" a", "-b", "+B", " c"]),
        ("a\n", "a\n", []),
        ("a\n", "a", ["@only how the last line ends is different"]),
        (None, "", []),
        ("0\n1\n2\n3\n4\nx\n", "0\n1\n2\n3\n4\ny\n", [" 2", " 3", " 4", "-x", "+y"]),
    ],
)
def test_small_differences(before: str | None, after: str | None, expected: list[str]) -> None:
    assert Differences().lines(before, after) == expected


def test_changes_that_lie_apart_are_shown_apart() -> None:
    old = [str(number) for number in range(40)]
    new = ["first", *old[1:20], "middle", *old[21:39], "last"]
    lines = Differences().lines("\n".join(old), "\n".join(new))
    assert [line for line in lines if line[0] in "+-@"] == [
        "-0", "+first", "@…", "-20", "+middle", "@…", "-39", "+last",
    ]  # fmt: skip


def test_both_sides_are_what_they_were() -> None:
    chance = random.Random(5)
    for _ in range(200):
        old, new = ([chance.choice("ab") for _ in range(chance.randrange(1, 7))] for _ in range(2))
        lines = Differences().lines("\n".join(old) + "\n", "\n".join(new) + "\n")
        if old != new:
            before, after = applied(lines)
            hidden = len(old) - len(before)
            assert len(after) + hidden == len(new)
            assert "\n".join(before) in "\n".join(old)
            assert "\n".join(after) in "\n".join(new)


def test_where_too_much_differs_the_old_lines_stand_before_the_new_ones() -> None:
    differences = Differences()
    old, new = [f"a{n}" for n in range(300)], [f"b{n}" for n in range(300)]
    lines = differences.lines("\n".join(["same", *old]), "\n".join(["same", *new]))
    assert lines == [" same", *(f"-{line}" for line in old), *(f"+{line}" for line in new)]


def test_the_search_for_the_smallest_difference_has_an_end() -> None:
    """Each pair could take seconds; after the first ones, old lines stand before new ones."""
    chance, differences = random.Random(5), Differences()
    texts = [[chance.choice("abc") for _ in range(190)] for _ in range(8)]
    stayed = []
    for old, new in zip(texts, reversed(texts), strict=True):
        lines = differences.lines("\n".join(["0", *old, "0"]), "\n".join(["1", *new, "1"]))
        stayed.append(any(line.startswith(" ") for line in lines))
    assert stayed == [True, True, False, False, False, False, False, False]
