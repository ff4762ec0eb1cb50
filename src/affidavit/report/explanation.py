"""Explanations for a person at a terminal."""

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import IO

from affidavit.explain import Topic

_WIDTH = 80


def print_topic(topic: Topic, out: IO[str]) -> None:
    """One topic: what it means, why it matters, what to do, an example."""
    out.write(f"{topic.id} ({topic.kind})\n{_filled(topic.title)}\n")
    for head, text in (("What it means", topic.meaning), ("Why it matters", topic.why), ("What to do", topic.fix)):
        out.write(f"\n{head}\n{_filled(text)}\n")
    out.write(f"\nExample\n{textwrap.indent(topic.example, '    ')}\n")


def print_topics(topics: Sequence[Topic], out: IO[str]) -> None:
    """The ids of all topics by kind, in columns."""
    for kind, group in groupby(topics, lambda topic: topic.kind):
        names = [topic.id for topic in group]
        out.write(f"{kind}\n{_filled('  '.join(names))}\n")


def _filled(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
