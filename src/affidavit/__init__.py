"""Affidavit: runs an agent in a sandbox, records what it did from outside, and signs what it saw.

The names below are the public API, described in ``docs/api.md``; they are loaded when they are first used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affidavit.api import (
        AccessOptions,
        AffidavitError,
        Agent,
        AlertError,
        Check,
        Contract,
        ContractError,
        EvidenceError,
        ExecResult,
        GatewayError,
        GatewaySettings,
        Judgement,
        PlanOptions,
        PluginError,
        PolicyOptions,
        Progress,
        RunError,
        RunOptions,
        RunResult,
        Session,
        SessionError,
        SuiteError,
        Task,
        TaskError,
        TrialResult,
        Verdict,
        Verification,
        Violation,
        open_contract,
        open_models,
        open_session,
        open_task,
        run,
        verify,
    )

    __version__: str

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
    "__version__",
    "open_contract",
    "open_models",
    "open_session",
    "open_task",
    "run",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562), so that importing the package costs nothing."""
    if name == "__version__":
        from importlib.metadata import version

        return version("affidavit")
    if name in __all__:
        from affidavit import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
