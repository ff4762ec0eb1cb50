"""The tables of docs/recorders.md, from the table of cases. Run as a program it writes them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from table import RECORDERS, Case, table

from affidavit.events import OPS

PAGE = Path(__file__).parent.parent.parent / "docs" / "recorders.md"

_BEGIN, _END = "<!-- from tests/conformance/table.yaml -->", "<!-- end -->"
_OF = {
    "ebpf": "runc with `ebpf`",
    "ptrace": "runc with `ptrace`",
    "gvisor": "gVisor with `gvisor`",
}


def rendered(page: str) -> str:
    """The page with its tables as they should be."""
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    return f"{before}{_BEGIN}\n{_tables()}{_END}{after}"


def _tables() -> str:
    numbers = {gap: number for number, gap in enumerate(table().gaps, 1)}
    head = f"| {{}} | {{}} | {' | '.join(_OF.values())} |\n|---|---|---|---|---|\n"
    text = head.format("operation", "system calls")
    for op in OPS:
        cases = [case for case in table().cases if case.operation == op]
        calls = list(dict.fromkeys(f"{case.calls}" for case in cases))
        cells = [_cell(cases, name, numbers) for name in RECORDERS]
        text += f"| `{op}` | {'; '.join(calls)} | {' | '.join(cells)} |\n"
    text += "\n" + head.format("", "also shown with")
    for case in table().cases:
        if case.operation == "any":
            cells = [_cell([case], name, numbers) for name in RECORDERS]
            text += f"| | {case.calls} | {' | '.join(cells)} |\n"
    text += "\nThe numbers are these gaps, in the words of `affidavit doctor` and of the evidence:\n\n"
    text += "".join(f"{number}. {table().gaps[gap]}\n" for gap, number in numbers.items())
    text += "\nGaps that no program can show at will, and where they are shown:\n\n"
    return text + "".join(f"- {gap} ({where})\n" for gap, where in table().elsewhere.items())


def _cell(cases: list[Case], name: str, numbers: dict[str, int]) -> str:
    absent = list(dict.fromkeys(case.calls for case in cases if name in case.absent))
    gaps: dict[tuple[int, bool], dict[str, None]] = {}
    for case in cases:
        if gap := case.gap(name):
            gaps.setdefault((numbers[gap], name in case.loss), {})[case.calls] = None
    notes = [
        f"{'' if len(cases) == 1 else '; '.join(calls) + ' '}[{number}]{' inconclusive' if loss else ''}"
        for (number, loss), calls in sorted(gaps.items())
    ]
    if len(cases) == 1:
        return "no such call" if absent else notes[0] if notes else "yes"
    notes += [f"no {'; '.join(absent)} there"] if absent else []
    return " · ".join(["yes", *notes])


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
