"""The public API: the names of ``import affidavit``.

Everything else in the package is internal and may change between any two versions.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from affidavit.alerts import AlertError
from affidavit.contracts import Contract, ContractError, load_contract
from affidavit.errors import AffidavitError
from affidavit.evaluation import (
    AccessOptions,
    Agent,
    PlanOptions,
    PolicyOptions,
    Progress,
    RunError,
    RunOptions,
    RunResult,
    TrialResult,
    run_suite,
)
from affidavit.evidence import EvidenceError
from affidavit.gateway import GatewayError, GatewaySettings, gateway_settings
from affidavit.plugins import PluginError
from affidavit.policy import Violation
from affidavit.session import ExecResult, Session, SessionError, open_session
from affidavit.suites import SuiteError
from affidavit.tasks import Task, TaskError, load_task
from affidavit.verification import Check, Judgement, Verdict, Verification
from affidavit.verification import verify as verify_bundle

__all__ = [
    "AccessOptions",
    "AffidavitError",
    "Agent",
    "AlertError",
    "Check",
    "Contract",
    "ContractError",
    "EvidenceError",
    "ExecResult",
    "GatewayError",
    "GatewaySettings",
    "Judgement",
    "PlanOptions",
    "PluginError",
    "PolicyOptions",
    "Progress",
    "RunError",
    "RunOptions",
    "RunResult",
    "Session",
    "SessionError",
    "SuiteError",
    "Task",
    "TaskError",
    "TrialResult",
    "Verdict",
    "Verification",
    "Violation",
    "open_contract",
    "open_models",
    "open_session",
    "open_task",
    "run",
    "verify",
]


class _Silent:
    """Progress that nobody watches."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def doing(self, done: int, total: int, what: str) -> None:
        """Say nothing."""

    def finished(self, done: int, total: int, trial: TrialResult) -> None:
        """Say nothing."""


def run(
    path: Path | str,
    agent: Agent | str,
    options: RunOptions | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """Run an agent on tasks and judge it, like ``affidavit run``.

    Args:
        path: a task folder, a folder of task folders, or a suite file.
        agent: an agent, or the name of a built-in one or of a plug-in's. `Agent.shell` makes one of a shell command.
        options: how the run is made; the defaults of `RunOptions` where None.
        progress: receives the progress of the run; None: it is not reported.

    Returns:
        A result for each trial. Trials that failed, broke their contract or could not be judged are no exception here.

    Raises:
        RunError: the run can't be made as asked. Nothing was run.
        PluginError: a plug-in that is installed can't be loaded.
    """
    chosen = Agent.named(agent) if isinstance(agent, str) else agent
    return run_suite(Path(path), chosen, options or RunOptions(), progress or _Silent())


def verify(
    bundle: Path | str,
    key: Path | str | None = None,
    task: Path | str | None = None,
    trust: Path | str | None = None,
) -> Verification:
    """Check a bundle offline, like ``affidavit verify``.

    Args:
        bundle: its folder.
        key: the public key (PEM) that must have signed; the user's own where None.
        task: the task's folder, with which every deterministic grader is asked again.
        trust: the trust file that says who must have signed the contract.

    Returns:
        Every check that was made. A bundle that does not hold is no exception here: look at `Verification.ok`.

    Raises:
        EvidenceError: there is no such folder, or the key or the trust file can't be read.
        TaskError: there is no such task.
    """
    return verify_bundle(Path(bundle), _path(key), _path(task), _path(trust))


def open_task(path: Path | str) -> Task:
    """Read a task folder.

    Raises:
        TaskError: it can't be used; the text names the file, the place in it and the fix.
    """
    return load_task(Path(path))


def open_contract(path: Path | str) -> Contract:
    """Read a contract (YAML), and the signatures beside it where there are any; who signed is not judged.

    Raises:
        ContractError: it can't be used; the text names the file, the place in it and the fix.
    """
    return load_contract(Path(path))


def open_models(
    models: Sequence[str],
    *,
    url: str | None = None,
    script: Path | str | None = None,
    budget: str = "",
    prices: Path | str | None = None,
    provider_tools: bool = False,
) -> GatewaySettings:
    """The models of a run or a session, for `AccessOptions`, like ``--model`` and its companions.

    Args:
        models: that may be asked for, the agent's own first; ``NAME=UPSTREAM`` where the upstream has another name.
        url: of the upstream; None: from the environment (``AFFIDAVIT_MODEL_URL``, or the provider whose key is there).
        script: a file of answers, in place of an upstream.
        budget: for each trial, as in ``requests=200,tokens=1000000,seconds=600,cost=5.50``.
        prices: a file with what models cost (TOML).
        provider_tools: tools that the provider runs, and media that it fetches, are granted.

    Raises:
        GatewayError: something can't be used, or no model is named.
    """
    made = gateway_settings(
        models,
        os.environ,
        url=url,
        script=_path(script),
        budget=budget,
        prices=_path(prices),
        provider_tools=provider_tools,
    )
    if made is None:
        raise GatewayError("open_models: name at least one model")
    return made


def _path(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value)
