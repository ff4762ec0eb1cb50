from pathlib import Path
from typing import Any

from affidavit.contracts import OPERATIONS, json_schema, schema_text
from affidavit.contracts.operations import BUILT_IN

PUBLISHED = Path(__file__).parents[2] / "docs" / "contract.schema.json"


def test_what_is_published_is_what_the_model_says() -> None:
    assert PUBLISHED.read_text("utf-8") == schema_text(), (
        "stale; write what affidavit.contracts.schema_text() says to docs/contract.schema.json"
    )


def properties(schema: dict[str, Any]) -> dict[str, Any]:
    found = {f"contract.{name}": of for name, of in schema["properties"].items()}
    for name, of in schema["$defs"].items():
        found |= {f"{name}.{key}": value for key, value in of.get("properties", {}).items()}
    return found


def test_an_editor_can_tell_what_each_key_means() -> None:
    schema = json_schema()
    for name, of in properties(schema).items():
        assert of.get("description") or "$ref" in of or "default" in of, name
    assert all(of["description"] for of in schema["$defs"].values())
    assert all(of["additionalProperties"] is False for of in (schema, *schema["$defs"].values()))


def test_an_editor_can_complete() -> None:
    schema = json_schema()
    assert {"schema", "scopes", "rules", "expires"} <= set(schema["properties"])
    assert schema["required"] == ["schema", "id", "version"]
    assert "for" in schema["$defs"]["Scope"]["properties"]
    assert "mount" in schema["$defs"]["Syscalls"]["properties"]["deny"]["items"]["enum"]
    offered = schema["$defs"]["Operations"]["properties"]["forbid"]["items"]["anyOf"]
    assert {one["const"] for one in offered if "const" in one} <= set(OPERATIONS)
    assert "exec" in str(schema["$defs"]["Selector"]["properties"]["op"])


def test_the_page_tells_of_each_operation_what_its_detector_does() -> None:
    page = (PUBLISHED.parent / "contract-language.md").read_text("utf-8")
    for name, operation in BUILT_IN.items():
        assert f"| `{name}` | {operation.sees} | {operation.misses} |" in page
