"""The agents of a run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from affidavit.agents import (
    AgentDefinition,
    AgentError,
    Brought,
    InstalledAgent,
    McpForm,
    find_agent,
    install_agent,
    scan_brought,
)
from affidavit.evaluation.errors import RunError
from affidavit.evidence import BroughtScan, PlantedPart
from affidavit.plugins import Group, PluginError, load_plugin, origin, plugins
from affidavit.sandbox import RootFilesystem
from affidavit.tasks import Task

# Where several agents run, an agent's name is that of a folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
# What these names promise is checked: the oracle may read the solution.
_RESERVED = ("oracle", "nop")


@dataclass(frozen=True)
class Agent:
    """An agent: a shell command in the sandbox.

    Attributes:
        name: as it stands in reports.
        command: run by ``/bin/sh -c`` in the working directory.
        sees_solution: the task's own solution lies at ``/solution`` for it.
        version: of its program; empty where nobody says.
        environment: variables that it gets beside the task's.
        definition: where it comes from; None: it brings nothing.
        installed: what it brings, once that is there.
        scan: what a look at that came to, once it was taken.
    """

    name: str
    command: str
    sees_solution: bool = False
    version: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    definition: AgentDefinition | None = None
    installed: InstalledAgent | None = None
    scan: Brought | None = None

    @classmethod
    def named(cls, name: str) -> "Agent":
        """An agent of Affidavit's own, or one that it has a definition of.

        Raises:
            RunError: there is none of that name.
        """
        match name:
            case "oracle":
                return cls("oracle", "exec /bin/bash /solution/solve.sh", sees_solution=True)
            case "nop":
                return cls("nop", ":")
            case _:
                return cls._brought(name)

    @classmethod
    def _brought(cls, name: str) -> "Agent":
        """An agent of a plug-in, or of a definition. Raises RunError."""
        known = plugins(Group.AGENTS)
        try:
            if name not in known:
                return cls.defined(find_agent(name, tuple(known)))
            agent = load_plugin(known[name])
        except AgentError as error:
            raise RunError(str(error)) from error
        except PluginError as error:
            raise RunError(f"--agent {name}: {error}") from error
        if not isinstance(agent, cls):
            raise RunError(f"--agent {name}: {origin(known[name])}: {known[name].value} is not an affidavit.Agent")
        return agent

    @classmethod
    def defined(cls, definition: AgentDefinition) -> "Agent":
        """The agent of a definition."""
        return cls(
            definition.name,
            definition.command,
            version=definition.version,
            environment=definition.environment,
            definition=definition,
        )

    @classmethod
    def shell(cls, command: str, name: str = "cmd") -> "Agent":
        """An agent that is a shell command.

        Raises:
            RunError: the command can't be passed to a shell.
        """
        if not command.strip():
            raise RunError("--agent-cmd is empty; use --agent nop for an agent that does nothing")
        if "\0" in command:
            raise RunError("--agent-cmd holds a NUL character, which no command line can")
        if len(command.encode("utf-8", "surrogateescape")) > 120_000:
            raise RunError("--agent-cmd is longer than 120,000 bytes, which execve(2) does not take as one argument")
        return cls(name, command)

    @property
    def mcp(self) -> McpForm | None:
        """In which form it reads MCP servers; None where nobody says."""
        return None if self.definition is None else self.definition.mcp

    def called(self, name: str) -> Self:
        """The agent under another name.

        Args:
            name: for reports and evidence.

        Raises:
            RunError: it can't have that name.
        """
        if self.name in _RESERVED:
            raise RunError(f"--agent-name {name}: {self.name} keeps its name; leave it out")
        if name in _RESERVED:
            raise RunError(f"--agent-name {name}: is an agent of Affidavit's own; give another name")
        if not _NAME.fullmatch(name):
            raise RunError(
                f"--agent-name {name[:80]!r}: must be up to 64 of A-Z a-z 0-9 . _ + -, first a letter or a digit"
            )
        return replace(self, name=name)

    def with_files(self, rootfs: RootFilesystem, state: Path) -> Self:
        """The agent with what it brings, installed.

        Args:
            rootfs: that it will run over.
            state: the state folder.

        Raises:
            RunError: it can't be installed here.
            SandboxError: the state folder can't be written.
        """
        if self.definition is None:
            return self
        try:
            return replace(self, installed=install_agent(self.definition, rootfs, state))
        except AgentError as error:
            raise RunError(str(error)) from error

    def scanned(self, task: Task, state: Path) -> Self:
        """The agent with what a look at its command, its variables and its files came to.

        Args:
            task: whose hidden parts are looked for.
            state: the state folder.

        Raises:
            RunError: something can't be read.
        """
        if self.sees_solution:
            return self
        texts = {"command": self.command, **{f"environment {name}": one for name, one in self.environment.items()}}
        spelled = {name: text.encode("utf-8", "surrogateescape") for name, text in texts.items()}
        layer, digest = (self.installed.layer, self.installed.digest) if self.installed is not None else (None, "")
        try:
            scan = scan_brought(spelled, task, layer, digest, state / "brought")
        except OSError as error:
            raise RunError(f"--agent {self.name}: what it brings can't be looked through: {error}") from error
        return replace(self, scan=scan)

    @property
    def scan_facts(self) -> BroughtScan | None:
        """The scan as it stands in a bundle; None where none was made."""
        found = self.scan
        if found is None:
            return None
        planted = [PlantedPart(hidden=one.hidden, place=one.place) for one in found.planted]
        return BroughtScan(
            planted=planted,
            opaque=[*found.opaque],
            unread=found.unread,
            complete=found.complete,
            failed=found.failed,
        )
