"""What a decision log says of an agent and its model: the facts in the statement, checked against the log."""

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from affidavit.events import GENERATING
from affidavit.evidence.bundle import BundleReader
from affidavit.gateway import Price, content_type, recorded_answer, trajectory
from affidavit.signing import EvidenceError
from affidavit.trace import ModelLog, model_batches, model_chain

MODEL_FACTS = "agent/model.json"
MODEL_LOG = "agent/model.parquet"
TRAJECTORY = "agent/trajectory.json"

_MOST_MODELS = 20


def model_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    """The rows of a decision log, one by one: bodies may be large."""
    for batch in batches:
        for index in range(batch.num_rows):
            yield from batch.slice(index, 1).to_pylist()


def log_facts(batches: Iterable[pa.RecordBatch], log: ModelLog) -> dict[str, Any]:
    """What of ``agent/model.json`` follows from the log.

    Args:
        batches: of the log.
        log: what it comes to.
    """
    wire: set[str] = set()
    tokens = {"input": 0, "output": 0}
    outcomes: dict[str, int] = {}
    stripped: set[str] = set()
    for batch in batches:
        for row in batch.drop_columns(["request", "response"]).to_pylist():
            outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + 1
            stripped |= {*row["stripped"]}
            if row["operation"] in GENERATING and row["wire_model"]:
                wire.add(row["wire_model"])
            tokens["input"] += row["input_tokens"]
            tokens["output"] += row["output_tokens"]
    return {
        "turns": log.turns,
        "head": f"sha256:{log.head.hex()}",
        "outcomes": outcomes,
        "stripped": sorted(stripped)[:_MOST_MODELS],
        "tokens": tokens,
        "wire": sorted(wire)[:_MOST_MODELS],
    }


def model_cost(batches: Iterable[pa.RecordBatch], prices: Mapping[str, Price]) -> float | None:
    """What a log's tokens cost, US dollars; None where there are no prices, or none for a model.

    Args:
        batches: of the log.
        prices: by the model that was asked for.
    """
    tokens: dict[str, tuple[int, int]] = {}
    for batch in batches:
        for row in batch.select(["model", "input_tokens", "output_tokens"]).to_pylist():
            read, written = tokens.get(row["model"], (0, 0))
            tokens[row["model"]] = read + row["input_tokens"], written + row["output_tokens"]
    taken = {model: counts for model, counts in tokens.items() if any(counts)}
    if not prices or not taken.keys() <= prices.keys():
        return None
    return round(sum(prices[model].of(*taken[model]) for model in sorted(taken)), 6)


def model_fault(facts: Mapping[str, Any]) -> str | None:
    """Why nobody can know what passed between an agent and its model; None where it is known."""
    if facts.get("complete") is True:
        return None
    return "the model gateway ended before the agent did, so what the agent could ask is not known"


def stranded(batches: Iterable[pa.RecordBatch]) -> str | None:
    """Why an agent could not go on: the last answer that it got, or waited for, was a failure of the upstream. None
    where it could.

    Args:
        batches: of its decision log.
    """
    last: Mapping[str, Any] | None = None
    for batch in batches:
        for row in batch.select(["turn", "operation", "outcome", "reason", "ended_ns"]).to_pylist():
            if row["operation"] in GENERATING and row["outcome"] in ("answered", "failed"):
                last = row if last is None or row["ended_ns"] >= last["ended_ns"] else last
    if last is None or last["outcome"] == "answered":
        return None
    return f"the agent's model failed, and nothing came after that: turn {last['turn']}: {last['reason'][:300]}"


def read_model_facts(reader: BundleReader) -> dict[str, Any] | None:
    """``agent/model.json``; None where the agent had no model. Raises EvidenceError."""
    return reader.json_object(MODEL_FACTS) if MODEL_FACTS in reader.names() else None


def read_model_log(reader: BundleReader, columns: Container[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The decision log of a bundle, or those of its columns that are asked for. Raises EvidenceError, TraceError while
    iterating."""
    with reader.open(MODEL_LOG) as file:
        yield from model_batches(file, MODEL_LOG, columns)


def recorded_answers(bundle: Path) -> list[dict[str, Any]]:
    """What the model of a trial answered, in order, for another trial in which the same is asked.

    Raises:
        EvidenceError, TraceError: there is no such bundle, or it has no decision log.
    """
    with BundleReader(bundle) as reader:
        if MODEL_LOG not in reader.names():
            raise EvidenceError(f"{bundle}: holds no {MODEL_LOG}: its agent had no model")
        return [
            recorded_answer(
                row["operation"], row["request"], row["status"], content_type(row["response_headers"]), row["response"]
            )
            for row in model_rows(read_model_log(reader))
            if row["operation"] in GENERATING and row["outcome"] in ("answered", "failed") and row["status"]
        ]


def check_model(reader: BundleReader, stated: Any) -> str:
    """Check a decision log: its chain, its trajectory, and that all that is said of it follows from it.

    Args:
        reader: of the bundle.
        stated: what the statement says of the model.

    Returns:
        A sentence on it.

    Raises:
        EvidenceError, TraceError: something is not so.
    """
    facts = read_model_facts(reader)
    if facts is None or facts != stated:
        raise EvidenceError(f"{MODEL_FACTS}: is not what the statement says of the model")
    log = model_chain(read_model_log(reader), MODEL_LOG)
    for name, value in log_facts(read_model_log(reader), log).items():
        if facts.get(name) != value:
            raise EvidenceError(f"{MODEL_FACTS}: its {name} is not what {MODEL_LOG} comes to")
    if "prices" in facts and facts.get("cost_usd") != model_cost(read_model_log(reader), _prices(facts["prices"])):
        raise EvidenceError(f"{MODEL_FACTS}: its cost_usd is not what {MODEL_LOG} comes to at its prices")
    written = reader.json_object(TRAJECTORY)
    agent, session = written.get("agent"), written.get("session_id")
    if not isinstance(agent, dict) or trajectory(model_rows(read_model_log(reader)), agent, str(session)) != written:
        raise EvidenceError(f"{TRAJECTORY}: is not what {MODEL_LOG} comes to")
    wire = ", ".join(facts["wire"]) or "no model"
    return f"{log.turns} exchanges in one chain, answered by {wire}; the trajectory follows from them"


def _prices(value: Any) -> dict[str, Price]:
    try:
        return {name: Price(float(one["input"]), float(one["output"])) for name, one in value.items()}
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise EvidenceError(f"{MODEL_FACTS}: its prices are none: {type(error).__name__}") from error
