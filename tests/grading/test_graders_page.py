"""The examples of docs/graders.md are settings that the graders take."""

import re
import tomllib
from pathlib import Path

import pytest

from affidavit.grading import KINDS, make_graders
from affidavit.tasks import DEFAULT_GRADERS, GraderSpec

PAGE = (Path(__file__).parents[2] / "docs" / "graders.md").read_text()
TABLES = [
    table
    for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    for table in tomllib.loads(block)["affidavit"]["graders"]
]


@pytest.mark.parametrize("table", TABLES, ids=[table["kind"] for table in TABLES])
def test_an_example_is_taken(table: dict[str, object]) -> None:
    settings = {key: value for key, value in table.items() if key not in ("kind", "name", "weight", "gate")}
    spec = GraderSpec(str(table["kind"]), "shown", settings=settings)
    beside = [] if spec.kind == "test_run" else DEFAULT_GRADERS
    assert make_graders([*beside, spec])


def test_every_kind_has_one() -> None:
    assert {table["kind"] for table in TABLES} == set(KINDS)
