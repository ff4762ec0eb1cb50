"""``docs/compliance.md``: the fields that it names are in the evidence, the commands are there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence import ReproductionFacts
from affidavit.signing import read_envelope
from harness import Command

PAGE = (Path(__file__).parents[2] / "docs/compliance.md").read_text()
FIELDS = sorted({*re.findall(r"`([\w/.-]+\.json): ([\w.]+)`", PAGE)})
COMMANDS = sorted({*re.findall(r"\| `affidavit ([^`]+)` \|", PAGE)})


def document(run: Path, name: str) -> Any:
    """What is in a file of a run or of one of its bundles."""
    path = run / name if (run / name).exists() else run / "a/cmd/0/bundle" / name
    value = json.loads(path.read_bytes())
    if not name.endswith(".dsse.json"):
        return value
    payload = json.loads(read_envelope(path.read_bytes()).payload)
    return payload.get("predicate", payload)


@pytest.mark.parametrize(("name", "place"), FIELDS)
def test_a_field_is_there(finished: tuple[Path, Path], name: str, place: str) -> None:
    if name.startswith("reproductions/"):
        assert place in ReproductionFacts.model_fields
        return
    value = document(finished[0], name)
    for part in place.split("."):
        assert part in value, f"{name} has no {place}"
        value = value[part]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_there(affidavit: Command, command: str) -> None:
    words = command.split()
    named = words[:2] if words[0] == "task" else words[:1]
    shown = affidavit(*named, "--help")
    assert shown.status == 0
    for flag in (word for word in words if word.startswith("--")):
        assert flag in shown.out


def test_the_page_names_some_of_both() -> None:
    assert len(FIELDS) > 25
    assert len(COMMANDS) > 8
