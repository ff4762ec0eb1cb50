"""What everybody may know of the grades: scores and findings, not what was expected, printed or found instead."""

import re
from collections.abc import Mapping
from typing import Any

_WHY = "why stands in the private part of the bundle"
# Parameters in a test's name are inputs of the test.
_PARAMETERS = re.compile(r"\[[^\]]*\]?")


def published_grades(grade: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``grades.json``.

    Args:
        grade: content of ``grade.json``: ``score``, ``graders`` as `Graded.to_json` gives them, and ``failed`` where
            the grading broke off.
    """
    failed = {"failed": _WHY} if "failed" in grade else {}
    return {"score": grade["score"], "graders": [_published(one) for one in grade["graders"]], **failed}


def _published(graded: Mapping[str, Any]) -> dict[str, Any]:
    parts = graded["components"]
    full = sum(part["score"] == 1 for part in parts)
    said = {name: _WHY if graded[name] else None for name in ("error", "abstained", "unproven")}
    return {
        **graded,
        **said,
        "message": f"{full} of {len(parts)} parts have full marks" if parts else "",
        "components": [{**part, "name": str(number), "message": ""} for number, part in enumerate(parts, 1)],
        "evidence": {**graded["evidence"], "files": [], "details": {}},
        "findings": [
            {**finding, "message": _PARAMETERS.sub("[…]", finding["message"])} for finding in graded["findings"]
        ],
    }
