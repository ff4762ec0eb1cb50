"""The contract of a task that has none, and the one that applies to a task."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from affidavit.contracts.contract import Contract, contract_of, load_contract
from affidavit.contracts.document import SCHEMA
from affidavit.contracts.errors import ContractError
from affidavit.contracts.packs import PATTERN_LISTS
from affidavit.contracts.patterns import escape
from affidavit.contracts.privileged_calls import PRIVILEGED_CALLS
from affidavit.signing import TrustDocument

Profile = Literal["strict", "container"]

# Every end of a name but ".sample": the hooks of a repository, without the samples that `git init` lays beside them.
_NO_SAMPLE = "{[!e],[!l]e,[!p]le,[!m]ple,[!a]mple,[!s]ample,[!.]sample}"
_HIDDEN = ("/tests", "/solution", "/logs/verifier")


class PublishedReference(Protocol):
    """A published contract that a task names."""

    @property
    def registry(self) -> str:
        """The registry's location."""

    @property
    def reference(self) -> str:
        """The contract's id and version, ``ID@VERSION``."""


class GovernedEnvironment(Protocol):
    """The inside of the sandbox that a contract is for."""

    @property
    def workdir(self) -> str:
        """The working directory, absolute."""

    @property
    def profile(self) -> Profile:
        """Its profile."""


class GovernedContract(Protocol):
    """Where a task's contract is; at most one of the two is set."""

    @property
    def path(self) -> Path | None:
        """The task's own contract file."""

    @property
    def published(self) -> PublishedReference | None:
        """The published contract that the task names."""


class Governed(Protocol):
    """What a contract needs to know of the task that it governs; :class:`affidavit.tasks.Task` is one."""

    @property
    def path(self) -> Path:
        """The task's folder."""

    @property
    def environment(self) -> GovernedEnvironment:
        """The inside of its sandbox."""

    @property
    def contract(self) -> GovernedContract:
        """Where its contract is."""


def default_contract(task: Governed) -> Contract:
    """Reads anywhere in its sandbox, writes in the working directory and /tmp but never to test infrastructure, no
    network, no privileged operation. The hidden parts of a task, which its sandbox does not hold, may not be looked
    for. What else the sandbox refuses is recorded as an attempt; the task's own time limit is no limit of the
    contract's. In a container the agent writes anywhere, but no test infrastructure in the working directory."""
    return default_for(task.environment.workdir, task.environment.profile)


def default_for(folder: str, profile: Profile = "strict") -> Contract:
    """The default contract of a task.

    Args:
        folder: its working directory.
        profile: what its sandbox is like inside.
    """
    workdir = escape(folder)
    below = "" if workdir == "/" else workdir
    if profile == "container":
        # Elsewhere it may install what it likes, test frameworks too: what of it is carried over is another matter.
        anywhere = (one for one in PATTERN_LISTS["affidavit:test-infrastructure"] if one.startswith("**/"))
        # An exception takes away from a whole list, so the list's own exception can't be said here of the folder alone.
        forbidden = (one.replace("-*", f"-*{_NO_SAMPLE}") if "/.git/hooks/" in one else one for one in anywhere)
        name, write = "affidavit/default-container", ["/**", *(f"!{below}/{pattern}" for pattern in forbidden)]
    else:
        name, write = "affidavit/default", [f"{below}/**", "/tmp/**", "!affidavit:test-infrastructure"]
    return contract_of(
        {
            "schema": SCHEMA,
            "id": name,
            "version": "1.1.0" if profile == "container" else "2.0.0",
            "attempts": "record",
            "files": {
                "read": ["/**"],
                "write": [*write, *(f"!{pattern}" for pattern in shadowing(folder))],
                "deny": [f"{hidden}/**" for hidden in _HIDDEN if not f"{folder}/".startswith(f"{hidden}/")],
            },
            "syscalls": {"deny": list(PRIVILEGED_CALLS)},
            "extends": ["affidavit:base"],
        },
        "the default contract",
    )


def shadowing(folder: str) -> tuple[str, ...]:
    """Patterns of what stands in place of a test framework for a program that is started in a folder: ``python -m
    pytest`` and the like look there first.

    Args:
        folder: the working directory.
    """
    workdir = escape(folder)
    below = "" if workdir == "/" else workdir
    return (f"{below}/{{pytest,_pytest,pluggy,unittest,iniconfig}}{{,.py,/**}}", f"{below}/*.dist-info/**")


def contract_for(task: Governed, trust: TrustDocument | None = None) -> Contract:
    """The task's own contract, else the default one.

    Raises:
        ContractError: as `load_contract`; or it has expired.
    """
    if task.contract.path is None:
        return default_contract(task)
    contract = load_contract(task.contract.path, trust)
    if contract.expired(datetime.now(UTC)):
        raise ContractError(
            f"{task.contract.path}: expired on {contract.document.expires}; publish a version with a later 'expires'"
        )
    return contract
