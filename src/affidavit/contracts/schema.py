"""The JSON Schema of contracts, made from their model, for editors."""

import json
from typing import Any

from affidavit.contracts.document import ContractDocument

SCHEMA_ID = "urn:affidavit:contract:v1"


def json_schema() -> dict[str, Any]:
    """The schema (https://json-schema.org/draft/2020-12/schema) of ``affidavit.contract/v1``.

    It is as strict as a schema can be: what it takes may still be refused, with line and column, when it is loaded.
    """
    generated = ContractDocument.model_json_schema(mode="validation", by_alias=True)
    for definition in generated["$defs"].values():
        # The first paragraph is for users.
        definition["description"] = " ".join(definition["description"].partition("\n\n")[0].replace("``", "").split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        **generated,
        "title": "Affidavit contract",
    }


def schema_text() -> str:
    """The content of ``docs/contract.schema.json``."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
