"""What an agent asked its model, and what the model said, against a contract: the decision log by the same code in a
trial and in verification."""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from affidavit.contracts import Contract, cel, compile_rule_nodes, name_matches
from affidavit.events import GENERATING
from affidavit.gateway import content_type, read_answer
from affidavit.policy.attempts import Outcome
from affidavit.policy.columns import Names, Words
from affidavit.policy.findings import Findings
from affidavit.policy.sentences import shown

ModelLogReader = Callable[[Container[str]], Iterable[pa.RecordBatch]]
"""Reads those columns of a decision log that are named, in batches of MODEL_SCHEMA."""

Turn = dict[str, Any]

_COLUMNS = (
    *("turn", "started_ns", "ended_ns", "dialect", "operation", "method", "path", "model", "wire_model", "outcome"),
    *("status", "reason", "stripped", "input_tokens", "output_tokens"),
)
_BODY = ("response_headers", "response")
# Operations whose requests name a model.
_NAMING = (*GENERATING, "count_tokens")


class ModelCheck:
    """What a contract says of model traffic.

    Args:
        contract: its sections ``model`` and ``rules`` are used.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        said = contract.document.model
        parts = [one for node in compile_rule_nodes(contract.document.rules) for one in cel.walk(node)]
        of_turns = [one for one in parts if isinstance(one, cel.Column) and one.of == "turn"]
        asked = any(isinstance(one, cel.OverRecord) and one.source == "turns" for one in parts)
        self._wants_tools = said.tools is not None or any(one.name == "tools" for one in of_turns)
        self._needed = bool(of_turns) or asked or (said.requests, said.models, said.tools) != (None, None, None)

    def turns(self, read: ModelLogReader | None) -> list[Turn]:
        """The exchanges that the contract speaks of; none where it speaks of none, or the agent had no model.

        Raises:
            TraceError: the log can't be read.
        """
        if read is None or not self._needed:
            return []
        columns = (*_COLUMNS, *_BODY) if self._wants_tools else _COLUMNS
        return [_turn(row, self._wants_tools) for batch in read(columns) for row in _rows(batch)]

    def check(self, turns: Sequence[Turn], findings: Findings) -> None:
        """Judge the section ``model``."""
        said = self._contract.document.model
        if said.requests is not None:
            self._check_requests(said.requests, turns, findings)
        if said.models is not None:
            self._check_models(said.models, turns, findings)
        if said.tools is not None:
            self._check_tools(said.tools, turns, findings)

    def _check_requests(self, most: int, turns: Sequence[Turn], findings: Findings) -> None:
        # What its upstream failed to answer is not the agent's doing: clients ask again.
        asked = [turn for turn in turns if turn["operation"] in GENERATING and turn["outcome"] != "failed"]
        if len(asked) > most:
            message = (
                f"the agent asked its model {len(asked)} times, and the contract allows {most}: turn "
                f"{asked[most]['number']} is the first too many"
            )
            findings.add_fact("model.requests", "medium", "", message, "agent", len(asked) - most)

    def _check_models(self, names: Sequence[str], turns: Sequence[Turn], findings: Findings) -> None:
        record = self._contract.attempts_for("model.models") == "record"
        others: dict[tuple[str, bool], list[int]] = {}
        for turn in turns:
            if turn["operation"] in _NAMING and turn["model"] and not name_matches(names, turn["model"]):
                refused = record and turn["outcome"] == "refused"
                others.setdefault((turn["model"], refused), []).append(turn["number"])
        for (model, refused), numbers in others.items():
            message = (
                f"the agent asked for the model {shown(model)}, which the contract does not name: {_told(numbers)}"
            )
            outcome: Outcome | None = "refused" if refused else None
            findings.add_fact("model.models", "high", model, message, "agent", len(numbers), outcome=outcome)

    def _check_tools(self, names: Sequence[str], turns: Sequence[Turn], findings: Findings) -> None:
        others: dict[str, list[int]] = {}
        for turn in turns:
            for tool in dict.fromkeys(turn["tools"]):
                if not name_matches(names, tool):
                    others.setdefault(tool, []).append(turn["number"])
        for tool, numbers in others.items():
            message = f"the model called the tool {shown(tool)}, which the contract does not name: {_told(numbers)}"
            findings.add_fact("model.tools", "medium", tool, message, "agent", len(numbers))


class TurnFrame:
    """Exchanges with a model, one a row.

    Args:
        turns: as `ModelCheck.turns` gives them.
    """

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.rows = len(turns)
        self._turns = turns

    def leaf(self, node: cel.Node) -> Any:
        match node:
            case cel.Column("turn", name, "int"):
                return np.array([turn[name] for turn in self._turns], np.int64)
            case cel.Column("turn", name, "string"):
                return Names(pa.array([turn[name] for turn in self._turns], pa.utf8()))
            case cel.Column("turn", name, "strings"):
                return Words.of([turn[name] for turn in self._turns], np.arange(self.rows))
        raise TypeError(f"no turn has a {node}")


def _rows(batch: pa.RecordBatch) -> Iterable[dict[str, Any]]:
    # One by one: bodies may be large.
    for index in range(batch.num_rows):
        yield from batch.slice(index, 1).to_pylist()


def _turn(row: dict[str, Any], with_tools: bool) -> Turn:
    duration_ms = max(0, row["ended_ns"] - row["started_ns"]) // 1_000_000
    turn = {**row, "number": row["turn"], "duration_ms": duration_ms, "tools": _tools(row) if with_tools else []}
    for name in _BODY:
        turn.pop(name, None)
    return turn


def _tools(row: dict[str, Any]) -> list[str]:
    """The tools that an answer calls, as far as it reached the agent."""
    if row["operation"] not in GENERATING or row["status"] != 200:
        return []
    answer = read_answer(row["operation"], content_type(row["response_headers"]), row["response"])
    # Lone surrogates have no UTF-8.
    return [] if answer is None else [name.encode("utf-8", "replace").decode() for _, name, _ in answer.tool_calls]


def _told(numbers: Sequence[int]) -> str:
    first = ", ".join(map(str, numbers[:5]))
    return f"{'turns' if len(numbers) > 1 else 'turn'} {first}{' and others' if len(numbers) > 5 else ''}"
