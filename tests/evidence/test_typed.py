"""Where evidence is made and judged, untyped dictionaries stay where JSON is read and written."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOMS = Path(__file__).parents[2] / "src/affidavit"
UNTYPED = re.compile(r"\b(dict|Dict|Mapping|MutableMapping)\[str, (Any|object)\]|\b(dict|Mapping)\b(?!\[)")
# Programs for sandboxes, which run with any Python.
ELSEWHERE = ("grading/separation/inside", "grading/test_run/harness")

WRITES = re.compile(r"to_json|[a-z]+_json|_as_set|_without_none")
READS = re.compile(r"read|from_json|json|json_object")
EDGE = {
    "evaluation": {"_row"},
    "evidence": {"add", "task", "grade", "grades", "verdict", "environment", "recorded_answers", "_observations"},
    "grading": {
        *("_assurance", "_note", "_evidence", "_ended", "_exit", "_reward", "_report"),
        *("_object", "_write", "ask", "_ask", "_details", "hear"),
    },
    "verification": set[str](),
}


def untyped(room: str) -> Iterator[str]:
    for path in sorted((ROOMS / room).rglob("*.py")):
        if str(path.relative_to(ROOMS)).startswith(ELSEWHERE):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                said = [one.annotation for one in arguments] + [node.returns]
                if any(UNTYPED.search(ast.unparse(one)) for one in said if one is not None):
                    yield node.name


def test_dictionaries_stay_at_the_edge() -> None:
    for room, edge in EDGE.items():
        inside = {name for name in untyped(room) if not (WRITES.fullmatch(name) or READS.fullmatch(name))}
        assert inside == edge, room
