"""The labels of a task, by which reports group tasks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_MOST_TAGS = 64
_LONGEST = 100


@dataclass(frozen=True)
class Labels:
    """Labels from ``[metadata]`` and ``[task].keywords``. They decide nothing about a verdict.

    Attributes:
        category: one word or a few; None where there is none.
        difficulty: as the author puts it; None where there is none.
        tags: without repetition, in the author's order.
        security_critical: a failure here has consequences for security.
    """

    category: str | None = None
    difficulty: str | None = None
    tags: tuple[str, ...] = ()
    security_critical: bool = False

    def to_json(self) -> dict[str, Any]:
        """As in ``task.json``."""
        return {
            "category": self.category,
            "difficulty": self.difficulty,
            "tags": list(self.tags),
            "security_critical": self.security_critical,
        }


def read_labels(metadata: object, keywords: object = None) -> Labels:
    """Labels from a free-form table: what has another type than expected is no label, and long ones are cut.

    Args:
        metadata: the value of ``[metadata]``, or ``labels`` of a ``task.json``.
        keywords: the value of ``[task].keywords``.
    """
    table: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    tags = dict.fromkeys([*_texts(table.get("tags")), *_texts(keywords)])
    category, difficulty = (next(_texts([table.get(name)]), None) for name in ("category", "difficulty"))
    return Labels(category, difficulty, tuple(tags)[:_MOST_TAGS], table.get("security_critical") is True)


def _texts(values: object) -> Iterator[str]:
    for value in values if isinstance(values, list) else ():
        if isinstance(value, str) and value.strip():
            yield value.strip()[:_LONGEST]
