"""The graders that a task asks for: ``[[affidavit.graders]]`` in ``task.toml``.

Further settings of a kind of grader stand in the same table and is read by the grader itself::

    [[affidavit.graders]]
    kind = "value"
    name = "total"        # the kind, where it is left out; unique in the task
    weight = 2.0          # 1 where it is left out; 0 for a grader that is a gate only
    gate = 0.5            # a lower score of this grader makes the whole score 0
    answer = "/workspace/answer.txt"
    expected = 42
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from affidavit.tasks.errors import TaskError
from affidavit.tasks.toml import TomlTable

_MOST = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DEFAULT_KIND = "test_run"
MOST_WEIGHT = 1e6


@dataclass(frozen=True)
class GraderSpec:
    """One grader, wanted.

    Attributes:
        kind: ``test_run``, ``state_diff``, ``value`` …
        name: unique in the task.
        weight: 0 or more.
        gate: from above 0 to 1: a lower score of this grader makes the whole score 0. None: it is no gate.
        settings: every other key of the table, as TOML has it.
    """

    kind: str
    name: str
    weight: float = 1.0
    gate: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    # Where it stands; a grader that the task did not write down stands nowhere.
    table: TomlTable | None = field(default=None, compare=False, repr=False)

    def error(self, key: str | None, message: str) -> TaskError:
        """An error that names file, line and key: ``spec.error("answer", "must be an absolute path, not 3")``."""
        if self.table is not None:
            return self.table.error(key, message)
        return TaskError(f"grader {self.name}: {f'{key} ' if key else ''}{message}")


DEFAULT_GRADERS = (GraderSpec(DEFAULT_KIND, "tests"),)
"""The graders of a task that names none: tests/test.sh and its reward."""


def read_graders(own: TomlTable) -> tuple[GraderSpec, ...]:
    """The graders that the table ``[affidavit]`` asks for.

    Raises:
        TaskError: one of them is not written as it should be. Their settings are not looked at here.
    """
    tables = own.tables("graders")
    if not tables:
        return DEFAULT_GRADERS
    if len(tables) > _MOST:
        raise own.error("graders", f"asks for {len(tables)} graders; {_MOST} is the most")
    specs = tuple(_read(table) for table in tables)
    names: set[str] = set()
    for spec in specs:
        if spec.name in names:
            raise spec.error("name", f"{spec.name!r} is the name of another grader of this task; give each its own")
        names.add(spec.name)
    if not any(spec.weight for spec in specs):
        raise own.error("graders", "all have weight 0, so that there is no score; give one of them a weight")
    return specs


def _read(table: TomlTable) -> GraderSpec:
    kind = table.text("kind")
    if not kind:
        raise table.error("kind", 'is missing; it says which grader, as in kind = "test_run"')
    name = table.text("name") or kind
    if not _NAME.fullmatch(name):
        raise table.error("name", f"must be 1 to 64 letters, digits, '-', '_', '.', not {name[:60]!r}")
    weight, gate = _number(table, "weight"), _number(table, "gate")
    if weight is not None and not 0 <= weight <= MOST_WEIGHT:
        raise table.error("weight", f"must be from 0 to {MOST_WEIGHT:,.0f}, not {weight:g}")
    if gate is not None and not 0 < gate <= 1:
        raise table.error("gate", f"must be above 0 and at most 1, not {gate:g}")
    if weight == 0 and gate is None:
        raise table.error("weight", "is 0 and there is no gate, so that this grader decides nothing; remove it")
    settings = {key: table.take(key) for key in table.unknown()}
    return GraderSpec(kind, name, 1.0 if weight is None else weight, gate, settings, table)


def _number(table: TomlTable, key: str) -> float | None:
    value = table.take(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise table.error(key, f"must be a number, not {str(value)[:60]!r}")
    return float(value)
