"""Contracts as YAML with comments."""

import json
from collections.abc import Iterable, Sequence

from affidavit.authoring.learning import Learned, Line


def as_yaml(learned: Learned) -> str:
    """A learned contract, with what each of its lines rests on."""
    value = learned.value
    files, processes = value["files"], value["processes"]
    runs = [f"#   {number}: {quoted(name)}" for number, name in enumerate(learned.lessons, 1)]
    never = "; and never a file that decides how tests run" if len(value["extends"]) > 1 else ""
    lines = [
        f"# Learned from {len(learned.lessons)} recorded run{'s' if len(learned.lessons) != 1 else ''}:",
        *runs,
        "# It admits these runs and little else. Behind each entry: how many events of which runs it rests on.",
        f"schema: {value['schema']}",
        f"id: {quoted(value['id'])}",
        f"version: {value['version']}",
        "mode: strict",
        "actions: [flag]",
        "# Nothing was tried in these runs that came to nothing; record: it would be noted and break nothing.",
        f"attempts: {value['attempts']}",
        f"# What running any program touches{never}.",
        f"extends: [{', '.join(map(quoted, value['extends']))}]",
        "files:",
        *_list("read", learned.read, learned.lessons),
        *_list("write", learned.write, learned.lessons),
        *(f"    - {quoted(pattern)}" for pattern in learned.kept_out),
        "  # Where the hidden parts of a task lie; nobody has any business there.",
        f"  deny: [{', '.join(map(quoted, files['deny']))}]",
        "network:",
        *_list("endpoints", learned.endpoints, learned.lessons, "connection"),
        "processes:",
        *_list("exec", learned.exec, learned.lessons),
        f"  # At most {learned.peak} were alive at the same time.",
        f"  max_processes: {processes['max_processes']}",
        "operations:",
        *(f"  # Not forbidden, for a run shows it: {name}" for name in learned.tripped),
        f"  forbid: [{', '.join(value['operations']['forbid'])}]",
        "syscalls:",
        "  # Only who has privileges over the machine has a use for them.",
        f"  deny: [{', '.join(value['syscalls']['deny'])}]",
        "limits:",
        f"  # The longest run took {learned.longest_ms} ms.",
        f"  wall_ms: {value['limits']['wall_ms']}",
    ]
    return "\n".join(lines) + "\n"


def _list(name: str, entries: Sequence[Line], lessons: Sequence[str], of: str = "event") -> list[str]:
    if not entries:
        return [f"  {name}: []"]
    return [f"  {name}:", *(f"    - {quoted(entry.pattern)}  # {_evidence(entry, lessons, of)}" for entry in entries)]


def _evidence(entry: Line, lessons: Sequence[str], of: str) -> str:
    if not entry.evidence:
        return "the changes that were found at the end" if of == "event" else "its name was asked for"
    count = sum(count for _, count in entry.evidence)
    runs = [str(lessons.index(name) + 1) for name, _ in entry.evidence]
    return f"{count} {of}{'s' if count != 1 else ''}, run{'s' if len(runs) != 1 else ''} {_ranges(runs)}"


def _ranges(runs: Iterable[str]) -> str:
    numbers = [int(run) for run in runs]
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def quoted(text: str) -> str:
    """A text in the double quotes of YAML 1.2, which are JSON's."""
    return json.dumps(text)
