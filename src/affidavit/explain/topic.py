"""What each rule, operation, verdict, reason, finding, gap and exploit means, and what to do about it."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from affidavit.contracts import OPERATIONS
from affidavit.errors import AffidavitError
from affidavit.redteam import FLAWS, load_exploits

# What the operations' own description leaves open.
_OPERATION_FIX = (
    "Where honest work needs it, leave the operation out of `operations.forbid`, or allow it to one program by a scope."
)


class UnknownTopicError(AffidavitError):
    """There is no topic of that id, and no topic is about that message."""


@dataclass(frozen=True)
class Topic:
    """One thing that a verdict, a table or a message may name.

    Attributes:
        id: as it is printed: ``files.write``, ``grading.control``, ``tool_replacement``.
        kind: ``verdict``, ``reason``, ``rule``, ``operation``, ``finding``, ``exploit``, ``gap``, ``contract lint``,
            ``task lint`` or ``task check``.
        title: what it is, in one line.
        meaning: what was seen, in sentences.
        why: why that matters.
        fix: what to do.
        example: a line of output, or of a contract.
        matches: regular expressions of the messages that it is about.
    """

    id: str
    kind: str
    title: str
    meaning: str
    why: str
    fix: str
    example: str
    matches: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What ``affidavit explain --json`` prints."""
        return {name: value for name, value in asdict(self).items() if name != "matches"}


@cache
def topics() -> tuple[Topic, ...]:
    """Every topic, those of a kind together."""
    text = files("affidavit.explain").joinpath("topics.toml").read_text("utf-8")
    written = (Topic(**{**entry, "matches": tuple(entry.get("matches", ()))}) for entry in tomllib.loads(text)["topic"])
    return (*written, *_operations(), *_exploits())


def explain(text: str) -> Topic:
    """The topic of an id, or the one that a message is about.

    Args:
        text: ``files.write``, or a sentence as it stands in a verdict or as ``affidavit doctor`` prints it.

    Raises:
        UnknownTopicError: there is none; the text names those that are spelled like it.
    """
    known = {topic.id: topic for topic in topics()}
    wanted = text.strip()
    if found := known.get(wanted) or known.get(wanted.removeprefix("operations.")):
        return found
    for topic in topics():
        if any(re.search(pattern, wanted) for pattern in topic.matches):
            return topic
    near = get_close_matches(wanted, known, 3, 0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    shown = " ".join(wanted.split())[:100]
    raise UnknownTopicError(f"nothing is known of {shown!r}; {meant}affidavit explain --list names what is")


def _operations() -> Iterator[Topic]:
    for name, operation in OPERATIONS.items():
        yield Topic(
            id=name,
            kind="operation",
            title=f"The operation {name}, which `operations.forbid` may name ({operation.severity} severity)",
            meaning=operation.sees,
            why=f"What it does not see: {operation.misses}",
            fix=_OPERATION_FIX,
            example=f"operations:\n  forbid: [{name}]",
        )


def _exploits() -> Iterator[Topic]:
    for exploit in load_exploits():
        source = f" Published in {exploit.source}." if exploit.source else ""
        yield Topic(
            id=exploit.name,
            kind="exploit",
            title=f"An exploit of the battery: {exploit.kind}",
            meaning=exploit.description + source,
            why=f"It tries this flaw of an evaluation: {FLAWS[exploit.flaw]}.",
            fix="`affidavit redteam PATH` plays it against your tasks and says which layer stopped it.",
            example=f"affidavit redteam examples/suite/fix-ttl-cache --exploit {exploit.name}",
        )
