"""An agent's way to its model: the gateway of one trial, and what is written of it into the bundle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from affidavit.contracts import Contract, name_matches
from affidavit.evidence import (
    MODEL_FACTS,
    MODEL_LOG,
    TRAJECTORY,
    BudgetFacts,
    BundleWriter,
    ModelFacts,
    PriceFacts,
    log_facts,
    model_cost,
    model_rows,
)
from affidavit.gateway import PORT, Exchange, GatewayProcess, GatewaySettings, HostDoor, trajectory
from affidavit.sandbox import NetworkNamespace
from affidavit.trace import model_batches, write_model_log

# What a sandbox has in the place of a key: clients want one.
PLACEHOLDER = "affidavit"
_BASE = f"http://127.0.0.1:{PORT}"


def gateway_environment(models: Sequence[str], base: str = _BASE, key: str = PLACEHOLDER) -> dict[str, str]:
    """What tells programs where their model is, by the names that providers' own clients read.

    Args:
        models: that may be asked for, the agent's own first.
        base: URL of the gateway; by default as a sandbox sees it.
        key: that it wants.
    """
    return {
        "AFFIDAVIT_GATEWAY": base,
        "AFFIDAVIT_MODEL": models[0],
        "OPENAI_BASE_URL": f"{base}/openai/v1",
        "OPENAI_API_BASE": f"{base}/openai/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": f"{base}/anthropic",
        "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": f"{base}/gemini",
        "GEMINI_API_KEY": key,
    }


def model_under(contract: Contract, settings: GatewaySettings) -> GatewaySettings:
    """The settings of a gateway under a contract: no more than both the run and the contract grant.

    Args:
        contract: the agent's.
        settings: what the run grants.
    """
    said = contract.document.model
    named = said.models
    models = (name for name in settings.models if named is None or name_matches(named, name))
    return replace(settings, models=tuple(models), answers=said.requests)


class ModelAccess:
    """The gateway of one trial. A context manager: ends it.

    Attributes:
        environment: for programs outside the sandbox: how they reach the gateway; empty where they can't.
    """

    def __init__(
        self, settings: GatewaySettings, namespace: NetworkNamespace, place: Path, wall_ms: int, *, host: bool
    ) -> None:
        """Start it.

        Args:
            settings: what is allowed.
            namespace: that the agent's sandbox will be in.
            place: a private folder.
            wall_ms: how long the agent has. An upstream that is silent for half of that has failed, so that the failure
                shows before the agent's time is up.
            host: programs outside the sandbox may ask as well.

        Raises:
            SandboxError, GatewayError, OSError: it does not start.
        """
        self._settings = replace(settings, idle_s=min(settings.idle_s, wall_ms / 2000))
        self._spool = place / "model.spool"
        door = HostDoor() if host else None
        self.environment = {} if door is None else gateway_environment(settings.models, door.url, door.key)
        self._process = GatewayProcess(self._settings, namespace.listen(PORT), self._spool, door)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.__exit__(*exc)

    def finish(self, bundle: BundleWriter, agent: Mapping[str, str], session: str) -> ModelFacts:
        """End it, and write ``agent/model.parquet``, ``agent/trajectory.json`` and ``agent/model.json``.

        Args:
            bundle: gets them.
            agent: its ``name``, ``version`` and ``model_name``.
            session: identifies the trial.

        Returns:
            What the statement says of the model.

        Raises:
            GatewayError, TraceError, EvidenceError: what the gateway wrote can't be read, or the bundle not be written.
        """
        spool = self._process.stop()
        path = bundle.file(MODEL_LOG)
        log = write_model_log(path, map(_row, spool))
        bundle.add(TRAJECTORY, trajectory(model_rows(model_batches(path)), agent, session))
        settings = self._settings
        facts = ModelFacts(
            **dict(log_facts(model_batches(path), log)),
            mode=settings.mode,
            asked=settings.models,
            mapping=dict(settings.mapping),
            upstreams={name: one.url for name, one in settings.upstreams.items()},
            budgets=BudgetFacts(**asdict(settings.budgets)),
            prices={name: PriceFacts(**asdict(price)) for name, price in settings.prices.items()},
            cost_usd=model_cost(model_batches(path), settings.prices),
            provider_tools=settings.provider_tools,
            idle_s=settings.idle_s,
            complete=spool.complete,
        )
        bundle.add(MODEL_FACTS, facts.to_json())
        self._spool.unlink()
        return facts


def _row(exchange: Exchange) -> dict[str, Any]:
    """An exchange as a row of MODEL_SCHEMA, without its hash."""
    row = asdict(exchange)
    for name, value in row.items():
        if isinstance(value, str):
            # Lone surrogates have no UTF-8.
            row[name] = value.encode("utf-8", "replace").decode()
    row["stripped"] = [one.encode("utf-8", "replace").decode() for one in exchange.stripped]
    for name in ("request_headers", "response_headers"):
        row[name] = json.dumps(row[name], sort_keys=True)
    return row
