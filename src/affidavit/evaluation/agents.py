"""Who is put to the task."""

from dataclasses import dataclass

from affidavit.evaluation.errors import RunError


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
                raise RunError(f"--agent {name}: no such agent; use oracle or nop, or give a command with --agent-cmd")

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
