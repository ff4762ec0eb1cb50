"""The commands of real agents, read from trajectories that others have published.

Which format a file has follows from its name:

- ``agent.log``: what mini-swe-agent 1 printed in a terminal, as Terminal-Bench's recordings keep it;
- ``*.traj.json``: a trajectory of mini-swe-agent 1;
- ``*.traj``: a trajectory of SWE-agent's;
- ``*-SECONDS.FRACTION.json``: the last request of an OpenHands trial to its model, which has all that it ran;
- ``*-branch-N.json`` in a folder ``actions``: an attempt of ForkProof's (ashtonchew/traceback) at a task's grader; the
  file of that name in the folder ``qa`` says whether it is taken for cheating. One that is not is passed over: its
  agent was asked to cheat;
- ``*.jsonl.gz``: what `write` wrote.
"""

import gzip
import json
import re
import shlex
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

# Bounds on a file, and on what one unpacks to: these are other people's.
_MOST_BYTES = 64 << 20
# The terminal of Terminal-Bench's recordings, which mini-swe-agent breaks its lines for.
_COLUMNS = 160
_LONG_TEXT = 200

_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))")
_STEP = re.compile(r"^mini-swe-agent \(step \d+, \$[\d.]+\):$", re.MULTILINE)
_BLOCK = re.compile(r"^```bash\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_SUBMISSION = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
# SWE-agent's own tools, which no shell has.
_TOOLS = re.compile(
    r"(?:connect_(?:exec|sendline|start|stop)|create|debug_(?:continue|exec|start|step|stop)|decompile|disassemble|edit|"
    r"exit_forfeit|find_file|goto|insert|open|scroll_(?:down|up)|search_(?:dir|file)|str_replace_editor|submit|view)(?:\s|$)"
)

_OPENHANDS = re.compile(r".*-\d{9,}\.\d+\.json")
_FORKPROOF = re.compile(r".*-branch-\d+\.json")

# Its task has tests and solution in a folder that its agents can read; elsewhere they are in folders of their own.
_FORKPROOF_PLACES = (
    (re.compile(r"(?<![\w./-])(?:/app/)?(?:\./)?task_assets/reference_solution\.sh"), "/solution/solve.sh"),
    (re.compile(r"(?<![\w./-])(?:/app/)?(?:\./)?task_assets(?![\w-])"), "/tests"),
)

_HEREDOC = re.compile(r"(<<-?\s*(['\"]?)(\w+)\2[^\n]*\n)(.*?)(^[ \t]*\3$)", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"'([^']*)'|\"((?:\\.|[^\"\\])*)\"", re.DOTALL)
_PRIVATE = (
    (re.compile(r"\b(?:sk|ghp|gho|glpat|hf|xox[bp])[-_][\w-]{12,}"), "TOKEN"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w"), "user@example.com"),
    (re.compile(r"\b(https?|ssh|git|ftp)://(?!localhost|127\.|0\.0\.0\.0)[^\s/'\"`)>]+"), r"\1://example.com"),
    (re.compile(r"(?<![\w.])(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), "192.0.2.1"),
    (re.compile(r"/(home|Users)/[\w.-]+"), r"/\1/user"),
)


class TrajectoryError(Exception):
    """What is wrong with a file; the message names it."""


@dataclass(frozen=True)
class CommandSequence:
    """What an agent ran in one trial.

    Attributes:
        source: where its trajectory comes from: the file's path in the folder that it was read from.
        commands: shell commands in order, each for a shell of its own.
        cheats: whether its source takes it for cheating.
    """

    source: str
    commands: tuple[str, ...]
    cheats: bool = False

    @property
    def collection(self) -> str:
        """The first folder of its source."""
        return self.source.split("/", 1)[0]


def read(path: Path) -> Iterator[CommandSequence]:
    """The sequences of a file, or of every trajectory below a folder in the order of their names; none is empty.

    Raises:
        TrajectoryError: no trajectory is there, or one is too large or is not of its format.
    """
    if not path.is_dir():
        yield from _of_file(path, path.name)
        return
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_trajectory(file)]
    if not files:
        raise TrajectoryError(f"{path}: no trajectory is in this folder (agent.log, *.traj, *.traj.json, *.jsonl.gz …)")
    for file in files:
        yield from _of_file(file, str(file.relative_to(path)))


def write(sequences: Iterable[CommandSequence], file: Path) -> None:
    """Write sequences in a compact form without long texts and private names; a reader never sees half of it."""
    lines = (
        json.dumps(
            {
                "source": one.source,
                "commands": [without_private_names(shortened(each)) for each in one.commands],
                **({"cheats": True} if one.cheats else {}),
            }
        )
        for one in sequences
    )
    data = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def shortened(command: str) -> str:
    """A command whose here-documents and quoted arguments of more than 200 characters are empty."""
    command = _HEREDOC.sub(lambda found: found[0] if len(found[4]) <= _LONG_TEXT else found[1] + found[5], command)
    return _QUOTED.sub(lambda found: found[0] if len(found[0]) <= _LONG_TEXT + 2 else "''", command)


def without_private_names(command: str) -> str:
    """A command with other words in place of tokens, mail addresses, hosts, addresses and users' home folders."""
    for pattern, instead in _PRIVATE:
        command = pattern.sub(instead, command)
    return command


def _is_trajectory(file: Path) -> bool:
    return (
        file.name == "agent.log"
        or file.name.endswith((".traj", ".traj.json", ".jsonl.gz"))
        or _OPENHANDS.fullmatch(file.name) is not None
        or (file.parent.name == "actions" and _FORKPROOF.fullmatch(file.name) is not None)
    )


def _of_file(file: Path, source: str) -> Iterator[CommandSequence]:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        if file.name.endswith(".gz"):
            with gzip.open(file) as unpacked:
                data = unpacked.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise TrajectoryError(f"{file}: has more than {_MOST_BYTES >> 20} MiB; leave it out")
        text = data.decode(errors="replace")
        if file.name.endswith(".jsonl.gz"):
            found = [_saved(json.loads(line)) for line in text.splitlines()]
        elif file.name.endswith(".traj"):
            found = [CommandSequence(source, tuple(_of_swe_agent(json.loads(text))))]
        elif file.name.endswith(".traj.json"):
            messages = (one["content"] for one in json.loads(text)["messages"] if one["role"] == "assistant")
            found = [CommandSequence(source, tuple(command for one in messages for command in _of_answer(one)))]
        elif file.name == "agent.log":
            found = [CommandSequence(source, tuple(_of_terminal(text)))]
        elif _OPENHANDS.fullmatch(file.name):
            found = [CommandSequence(source, tuple(_of_openhands(json.loads(text))))]
        elif _FORKPROOF.fullmatch(file.name):
            cheats = json.loads((file.parent.with_name("qa") / file.name).read_text())["is_reward_hacking"] is True
            found = [CommandSequence(source, tuple(_of_forkproof(json.loads(text))), cheats=True)] if cheats else []
        else:
            raise TrajectoryError(f"{file}: its name is not one of a trajectory, as agent.log, *.traj or *.jsonl.gz")
    except (OSError, EOFError, zlib.error) as error:
        raise TrajectoryError(f"{file}: can't be read: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrajectoryError(f"{file}: is not of the format that its name says: {error!r}") from None
    yield from (one for one in found if one.commands)


def _saved(line: dict[str, object]) -> CommandSequence:
    source, commands = line["source"], line["commands"]
    if not isinstance(source, str) or not isinstance(commands, list):
        raise TypeError("a line has no source and no list of commands")
    if not all(isinstance(one, str) for one in commands):
        raise TypeError("a command is no text")
    return CommandSequence(source, tuple(commands), line.get("cheats") is True)


def _of_terminal(text: str) -> Iterator[str]:
    # A spinner overwrites itself: what stands after the last return of a line is what stays.
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in _CONTROL.sub("", text).split("\n"))
    for step in _STEP.split("\n".join(lines))[1:]:
        yield from map(_joined, _of_answer(step.split("\nUser:\n")[0]))


def _of_answer(text: str) -> Iterator[str]:
    """The command in an answer of mini-swe-agent's model, if it is not the one that only submits."""
    block = _BLOCK.search(text)
    if block is not None and _SUBMISSION not in block[1]:
        yield block[1]


def _joined(text: str) -> str:
    """A text whose lines were broken for the terminal, with its own lines."""
    lines = text.split("\n")
    whole = lines[0]
    for before, line in pairwise(lines):
        word = line.split(" ", 1)[0]
        if not word or len(before.rstrip()) + 1 + len(word) <= _COLUMNS:
            whole += f"\n{line}"
        else:
            # A word of more than a line is broken in its midst.
            whole += line if len(before) >= _COLUMNS or before.endswith(" ") else f" {line}"
    return whole


def _of_swe_agent(trajectory: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    # A demonstration has a history instead.
    for step in trajectory.get("trajectory", []):
        command = step["action"].strip()
        if command and not _TOOLS.match(command):
            yield command


def _of_openhands(request: dict[str, Any]) -> Iterator[str]:
    # The model's last answer is only in the answer, and is the one that ends the trial.
    for message in request["fncall_messages"]:
        for called in message.get("tool_calls") or ():
            if called["function"]["name"] == "execute_bash":
                wanted = json.loads(called["function"]["arguments"])
                # Input is for a program that runs already.
                if wanted["command"].strip() and wanted.get("is_input") not in (True, "true"):
                    yield wanted["command"]


def _of_forkproof(record: dict[str, Any]) -> Iterator[str]:
    for event in record["trace_readback"]["events"]["events"]:
        wanted = event.get("arguments") or {}
        if event["kind"] != "tool_call" or "command" not in wanted:
            continue
        if "path" not in wanted:
            command = wanted["command"]
        elif wanted["command"] == "view":
            command = f"cat {shlex.quote(wanted['path'])}"
        else:
            continue
        for place, instead in _FORKPROOF_PLACES:
            command = place.sub(instead, command)
        yield command
