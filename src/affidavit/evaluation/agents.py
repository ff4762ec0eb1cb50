"""Who is put to the task."""

from dataclasses import dataclass

from affidavit.evaluation.errors import RunError
from affidavit.plugins import Group, PluginError, load_plugin, origin, plugins


@dataclass(frozen=True)
class Agent:
    """An agent: a shell command in the sandbox.

    Attributes:
        name: as it stands in reports.
        command: run by ``/bin/sh -c`` in the working directory.
        sees_solution: the task's own solution lies at ``/solution`` for it.
        version: of its program; empty where nobody says.
    """

    name: str
    command: str
    sees_solution: bool = False
    version: str = ""

    @classmethod
    def named(cls, name: str) -> "Agent":
        """A built-in agent.

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
        """An agent of a plug-in. Raises RunError."""
        known = plugins(Group.AGENTS)
        if name not in known:
            *others, last = dict.fromkeys(("oracle", "nop", *known))
            names = f"{', '.join(others)} or {last}"
            raise RunError(f"--agent {name}: no such agent; use {names}, or give a command with --agent-cmd")
        try:
            agent = load_plugin(known[name])
        except PluginError as error:
            raise RunError(f"--agent {name}: {error}") from error
        if not isinstance(agent, cls):
            raise RunError(f"--agent {name}: {origin(known[name])}: {known[name].value} is no affidavit.Agent")
        return agent

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
