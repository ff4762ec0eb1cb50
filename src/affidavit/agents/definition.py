"""What an agent is: a small TOML file, built in or the user's own (``docs/models.md``)."""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from affidavit.agents.mcp import McpForm
from affidavit.errors import AffidavitError, first_problem, read_input
from affidavit.signing import canonical_json

_FOLDER = Path(__file__).with_name("definitions")
_MOST_BYTES = 1 << 20
_NAME = r"^[a-z0-9][a-z0-9-]{0,40}$"
# A name and one exact version: what is evaluated must be what was named.
_PINNED = {
    "pypi": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}(?:\[[A-Za-z0-9,._-]{1,80}\])?==[A-Za-z0-9.+!]{1,40}"),
    "npm": re.compile(r"(?:@[a-z0-9][a-z0-9._-]{0,80}/)?[a-z0-9][a-z0-9._-]{0,80}@[0-9][A-Za-z0-9.+-]{0,60}"),
}
_BUILT_IN = ("oracle", "nop", "cmd")


class AgentError(AffidavitError):
    """An agent can't be used; one clear line."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Installation(_Table):
    """Where an agent comes from.

    Attributes:
        kind: ``pypi`` or ``npm``.
        packages: each with its exact version.
    """

    kind: Literal["pypi", "npm"]
    packages: list[str] = Field(min_length=1, max_length=50)


class CheckCall(_Table):
    """A call of a tool in an agent's check, as in a script's answer."""

    name: str = Field(min_length=1)
    arguments: dict[str, JsonValue] = {}


class CheckAnswer(_Table):
    """What the scripted model says in an agent's check."""

    text: str = ""
    tool_calls: list[CheckCall] = []


class AgentDefinition(_Table):
    """An agent.

    Attributes:
        name: as in ``--agent NAME``.
        version: of the agent.
        about: a sentence.
        dialect: that it speaks to its model.
        needs: programs that its root file system must have.
        install: None: it is in the root file system.
        command: for ``/bin/sh -c``; its files are below AGENT_FOLDER.
        environment: variables that it gets beside the task's and the gateway's.
        mcp: in which form it reads the task's MCP servers from the file that MCP_VARIABLE names; None: it takes none.
        check: what a scripted model says so that the agent writes ``hello`` into ``hello.txt``; empty: it has no check.
    """

    name: str = Field(pattern=_NAME)
    version: str = Field(min_length=1, max_length=60)
    about: str = Field(min_length=1, max_length=300)
    dialect: Literal["openai", "anthropic", "gemini"]
    needs: list[str] = []
    install: Installation | None = None
    command: str = Field(min_length=1, max_length=50_000)
    environment: dict[str, str] = {}
    mcp: McpForm | None = None
    check: list[CheckAnswer] = []

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in _BUILT_IN:
            raise ValueError(f"{name} is an agent of Affidavit's own")
        return name

    @field_validator("install")
    @classmethod
    def _is_pinned(cls, install: Installation | None) -> Installation | None:
        for package in install.packages if install else ():
            assert install is not None
            if not _PINNED[install.kind].fullmatch(package):
                example = "name==1.2.3" if install.kind == "pypi" else "name@1.2.3"
                raise ValueError(f"{package!r} is not a package with one exact version, as in {example}")
        return install

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the SHA-256 of its canonical form in hex."""
        return "sha256:" + hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()

    def script(self) -> tuple[dict[str, Any], ...]:
        """The answers of its check, as a gateway takes them."""
        rest = {"usage": {"input_tokens": 10, "output_tokens": 5}, "model": None, "status": 200, "body": None}
        answers = [{**answer.model_dump(), **rest, "repeat": False} for answer in self.check]
        return (*answers[:-1], *({**last, "repeat": True} for last in answers[-1:]))


def load_agent(path: Path) -> AgentDefinition:
    """Read a definition.

    Raises:
        AgentError: it can't be read, or is none.
    """
    data = read_input(path, _MOST_BYTES, AgentError)
    try:
        return AgentDefinition.model_validate(tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"{path}: is not TOML: {error}") from None
    except ValidationError as error:
        raise AgentError(f"{path}: {first_problem(error)}") from None


def built_in_agents() -> dict[str, AgentDefinition]:
    """The agents that come with Affidavit, by name."""
    agents = [load_agent(path) for path in sorted(_FOLDER.glob("*.toml"))]
    return {agent.name: agent for agent in agents}


def find_agent(name: str, further: Sequence[str] = ()) -> AgentDefinition:
    """A built-in agent.

    Args:
        name: as users choose it.
        further: names that others know, for the message where there is none.

    Raises:
        AgentError: there is none of that name.
    """
    agents = built_in_agents()
    if name not in agents:
        *known, last = dict.fromkeys(("oracle", "nop", *agents, *further))
        raise AgentError(
            f"--agent {name}: no such agent; use {', '.join(known)} or {last}, give a definition with "
            "--agent-file, or a command with --agent-cmd"
        )
    return agents[name]
