"""What a decision log says of an agent and its model: the facts in the statement, checked against the log."""

from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from affidavit.events import GENERATING, ModelRow
from affidavit.evidence.bundle import BundleReader
from affidavit.evidence.document import Document, Texts
from affidavit.evidence.statement import TrialFacts
from affidavit.gateway import Price, content_type, recorded_answer, trajectory
from affidavit.signing import EvidenceError
from affidavit.trace import ModelLog, model_batches, model_chain

MODEL_FACTS = "agent/model.json"
MODEL_LOG = "agent/model.parquet"
TRAJECTORY = "agent/trajectory.json"

_MOST_MODELS = 20


class TokenCounts(Document):
    """Tokens that a model read and wrote."""

    input: int
    output: int


class LogFacts(Document):
    """What a decision log comes to.

    Attributes:
        turns: its number of exchanges.
        head: of its chain, as ``sha256:…``.
        outcomes: how many exchanges had each outcome.
        stripped: what was taken out of requests, the first 20 by name.
        tokens: of all exchanges.
        wire: the models that answered, as they named themselves, the first 20 by name.
    """

    turns: int
    head: str
    outcomes: dict[str, int]
    stripped: Texts
    tokens: TokenCounts
    wire: Texts


class BudgetFacts(Document):
    """What one trial could ask of its model; see `affidavit.gateway.Budgets`."""

    requests: int | None
    tokens: int | None
    seconds: float | None
    cost: float | None = None


class PriceFacts(Document):
    """What a model costs; see `affidavit.gateway.Price`."""

    input: float
    output: float


class ModelFacts(LogFacts):
    """``agent/model.json``: on which terms an agent had a model, and what the log comes to. The statement has the same.

    Attributes:
        mode: where answers came from: ``live``, ``replay`` or ``script``.
        asked: the names that could be asked for, the agent's own first.
        mapping: what the upstream calls a model, by the name that was asked for, where that is another one.
        upstreams: where the models are, by dialect.
        budgets: bounds on what could be asked.
        prices: by model; empty where the user gave none.
        cost_usd: what the log's tokens cost, US dollars; None where a price is missing.
        provider_tools: tools that the provider runs itself could be asked for.
        idle_s: how long an upstream could be silent before it counted as failed, seconds.
        complete: the gateway lived as long as the agent.
    """

    mode: str
    asked: Texts
    mapping: dict[str, str] = Field(default_factory=dict)
    upstreams: dict[str, str]
    budgets: BudgetFacts
    prices: dict[str, PriceFacts] = Field(default_factory=dict)
    cost_usd: float | None = None
    provider_tools: bool
    idle_s: float
    complete: bool

    @property
    def served(self) -> tuple[str, ...]:
        """The models that could be asked for, the agent's own first, by the names that the upstream knows."""
        return tuple(self.mapping.get(name, name) for name in self.asked)

    @property
    def fault(self) -> str | None:
        """Why nobody can know what passed between the agent and its model; None where it is known."""
        if self.complete:
            return None
        return "the model gateway ended before the agent did, so what the agent could ask is not known"


def model_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[ModelRow]:
    """The rows of a decision log, one by one: bodies may be large."""
    for batch in batches:
        for index in range(batch.num_rows):
            yield from batch.slice(index, 1).to_pylist()


def log_facts(batches: Iterable[pa.RecordBatch], log: ModelLog) -> LogFacts:
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
    return LogFacts(
        turns=log.turns,
        head=f"sha256:{log.head.hex()}",
        outcomes=outcomes,
        stripped=tuple(sorted(stripped)[:_MOST_MODELS]),
        tokens=TokenCounts(**tokens),
        wire=tuple(sorted(wire)[:_MOST_MODELS]),
    )


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


def read_model_facts(reader: BundleReader) -> ModelFacts | None:
    """``agent/model.json``; None where the agent had no model. Raises EvidenceError."""
    return ModelFacts.read(MODEL_FACTS, reader.json_object(MODEL_FACTS)) if MODEL_FACTS in reader.names() else None


def stated_model(facts: TrialFacts) -> ModelFacts | None:
    """What a statement says of the model; None where it says nothing. Raises EvidenceError."""
    stated = (facts.model_extra or {}).get("model")
    return None if stated is None else ModelFacts.read("the statement's model", stated)


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


def check_model(reader: BundleReader, facts: TrialFacts) -> str:
    """Check a decision log: its chain, its trajectory, and that all that is said of it follows from it.

    Args:
        reader: of the bundle.
        facts: the statement's.

    Returns:
        A sentence on it.

    Raises:
        EvidenceError, TraceError: something is not so.
    """
    written = read_model_facts(reader)
    # As they stand: a field that this version does not know must be the same in both, too.
    if written is None or reader.json_object(MODEL_FACTS) != (facts.model_extra or {}).get("model"):
        raise EvidenceError(f"{MODEL_FACTS}: is not what the statement says of the model")
    log = model_chain(read_model_log(reader), MODEL_LOG)
    for name, value in log_facts(read_model_log(reader), log):
        if getattr(written, name) != value:
            raise EvidenceError(f"{MODEL_FACTS}: its {name} is not what {MODEL_LOG} comes to")
    prices = {name: Price(one.input, one.output) for name, one in written.prices.items()}
    if written.cost_usd != model_cost(read_model_log(reader), prices):
        raise EvidenceError(f"{MODEL_FACTS}: its cost_usd is not what {MODEL_LOG} comes to at its prices")
    steps = reader.json_object(TRAJECTORY)
    agent, session = steps.get("agent"), steps.get("session_id")
    if not isinstance(agent, dict) or trajectory(model_rows(read_model_log(reader)), agent, str(session)) != steps:
        raise EvidenceError(f"{TRAJECTORY}: is not what {MODEL_LOG} comes to")
    wire = ", ".join(written.wire) or "no model"
    return f"{log.turns} exchanges in one chain, answered by {wire}; the trajectory follows from them"
