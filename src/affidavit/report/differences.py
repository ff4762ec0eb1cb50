"""The difference between two texts, line by line; the texts were chosen by whoever is evaluated."""

import difflib
from collections.abc import Sequence

_AROUND = 3
"""Lines shown before and after a change."""

# The search for the smallest difference takes time with the product of the lines on both sides, and with hostile texts
# far more.
_MOST_PAIRS = 40_000


class Differences:
    """Compares texts, as long as that does not take too long in all."""

    def __init__(self) -> None:
        self._left = 2 * _MOST_PAIRS

    def lines(self, before: str | None, after: str | None) -> list[str]:
        """What changed, each line with a mark before it: ``+``, ``-``, a space for what stayed, ``@`` for a remark.

        Where too much differs, all old lines are before all new ones.

        Args:
            before, after: None where there was no file.
        """
        old, new = _lines(before), _lines(after)
        head = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        tail = 0
        while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        one, other = old[head : len(old) - tail], new[head : len(new) - tail]
        if not one and not other:
            return ["@only how the last line ends is different"] if before != after and old else []
        first = [f" {line}" for line in old[max(0, head - _AROUND) : head]]
        last = [f" {line}" for line in old[len(old) - tail :][:_AROUND]]
        pairs = len(one) * len(other)
        if pairs > min(self._left, _MOST_PAIRS):
            return [*first, *(f"-{line}" for line in one), *(f"+{line}" for line in other), *last]
        self._left -= pairs
        return [*first, *_compared(one, other), *last]


def _lines(text: str | None) -> list[str]:
    return [] if not text else text.removesuffix("\n").split("\n")


def _compared(one: Sequence[str], other: Sequence[str]) -> list[str]:
    lines: list[str] = []
    groups = difflib.SequenceMatcher(None, one, other, autojunk=False).get_grouped_opcodes(_AROUND)
    for number, group in enumerate(groups):
        if number:
            lines.append("@…")
        for tag, start, end, other_start, other_end in group:
            if tag == "equal":
                lines += [f" {line}" for line in one[start:end]]
            else:
                lines += [f"-{line}" for line in one[start:end]]
                lines += [f"+{line}" for line in other[other_start:other_end]]
    return lines
