"""What a trial is judged by, from what its bundle holds: the same objects in a run and in ``verify``."""

from collections.abc import Mapping
from typing import Any

from affidavit.contracts import Contract
from affidavit.evidence import EvidenceError
from affidavit.policy import Judge
from affidavit.sandbox import Exit

# What the built-in agents are handed beside the task.
_GIVEN = {"oracle": ("/solution",)}


def new_judge(contract: Contract, workdir: str, agent: str) -> Judge:
    """A judge of the agent's record.

    Args:
        contract: what was promised.
        workdir: the task's working directory.
        agent: the agent's name.
    """
    return Judge(contract, workdir=workdir, given=given_to(agent))


def given_to(agent: str) -> tuple[str, ...]:
    """The folders that Affidavit itself puts into the sandbox for an agent of this name."""
    return _GIVEN.get(agent, ())


def read_exit(facts: Mapping[str, Any]) -> Exit:
    """How a stage's command ended, from its ``exit.json``.

    Raises:
        EvidenceError: it is none.
    """
    try:
        return Exit(**{name: value for name, value in facts.items() if name != "halted"})
    except TypeError as error:
        raise EvidenceError(f"exit.json: {error}") from None
