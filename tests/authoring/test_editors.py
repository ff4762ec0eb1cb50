"""The line by which editors find the schema: only where a copy is, and by a path that holds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.authoring import editor_line
from affidavit.contracts import load_contract, schema_text
from harness import Command, write_task

LINE = "# yaml-language-server: $schema="


def test_the_nearest_copy_up_to_the_top_of_the_repository(tmp_path: Path) -> None:
    contract = tmp_path / "repository" / "tasks" / "a" / "contract.yaml"
    contract.parent.mkdir(parents=True)
    (tmp_path / "contract.schema.json").write_text(schema_text())
    assert editor_line(contract) == f"{LINE}../../../contract.schema.json\n"
    (tmp_path / "repository" / ".git").mkdir()
    assert editor_line(contract) == ""
    (tmp_path / "repository" / "contract.schema.json").write_text(schema_text())
    assert editor_line(contract) == f"{LINE}../../contract.schema.json\n"
    # Somebody else's schema of that name is none.
    (contract.parent / "contract.schema.json").write_text(json.dumps({"$id": "urn:other"}))
    assert editor_line(contract) == f"{LINE}../../contract.schema.json\n"
    (contract.parent / "contract.schema.json").write_text(schema_text())
    assert editor_line(contract) == f"{LINE}contract.schema.json\n"


def test_contracts_that_are_written_name_it(affidavit: Command, tmp_path: Path, task: Callable[..., Path]) -> None:
    folder = task("tasks/one")
    assert LINE not in (affidavit("contract", "new", folder).out + (folder / "contract.yaml").read_text())
    printed = affidavit("contract", "schema")
    assert (printed.status, printed.out, printed.err) == (0, schema_text(), "")
    written = affidavit("contract", "schema", "--out", tmp_path / "tasks" / "contract.schema.json")
    assert (written.status, written.err) == (0, "")
    assert f"{LINE}contract.schema.json" in written.out
    other = write_task(tmp_path / "tasks" / "two")
    affidavit("contract", "new", other)
    first, *_ = (other / "contract.yaml").read_text().splitlines()
    assert first == f"{LINE}../contract.schema.json"
    assert (other / first.removeprefix(LINE)).read_text() == schema_text()
    assert load_contract(other / "contract.yaml").id == "two"
    assert affidavit("task", "new", tmp_path / "tasks" / "three").status == 0
    assert (tmp_path / "tasks" / "three" / "contract.yaml").read_text().startswith(f"{first}\nschema: ")


@pytest.mark.parametrize("there", ["", "{}", "[" * 100_000])
def test_what_is_no_schema_is_not_replaced(affidavit: Command, tmp_path: Path, there: str) -> None:
    file = tmp_path / "contract.schema.json"
    file.write_text(there)
    ran = affidavit("contract", "schema", "--out", file)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"affidavit: {file}: already exists and is not a schema of contracts\n"
    assert file.read_text() == there
    file.write_text(schema_text().replace("title", "other"))
    assert affidavit("contract", "schema", "--out", file).status == 0
    assert file.read_text() == schema_text()
    assert affidavit("contract", "schema", "--out", tmp_path / "none" / "x.json").status == 2
