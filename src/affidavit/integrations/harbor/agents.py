"""Scripted agents, to try the integration and to compare how cheats score here and in Harbor's own environments."""

import uuid
from pathlib import Path
from typing import Any

from harbor.agents.base import BaseAgent
from harbor.environments.base import BaseEnvironment
from harbor.models.agent.context import AgentContext


class Script(BaseAgent):
    """Runs a shell script as one command: ``--agent affidavit.integrations.harbor:Script --ak file=PATH``.

    Args:
        file: the script, on this machine.
        args, kwargs: Harbor's.
    """

    def __init__(self, *args: Any, file: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._text = Path(file).read_text()

    @staticmethod
    def name() -> str:
        """Its name in results."""
        return "affidavit-script"

    def version(self) -> str:
        """Of the agent."""
        return "1"

    async def setup(self, environment: BaseEnvironment) -> None:
        """It needs nothing."""

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Run the script. Its exit status is recorded but does not matter."""
        await _run(self._text, environment, context)


class Oracle(BaseAgent):
    """Runs the task's own solution from a folder in ``/tmp``. Harbor's ``oracle`` puts it into ``/solution`` and writes
    to ``/logs``, which contracts deny to agents."""

    @staticmethod
    def name() -> str:
        """Its name in results."""
        return "affidavit-oracle"

    def version(self) -> str:
        """Of the agent."""
        return "1"

    async def setup(self, environment: BaseEnvironment) -> None:
        """It needs nothing."""

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        """Run ``solution/solve.sh``."""
        solution = environment.environment_dir.parent / "solution"
        if [one.name for one in solution.iterdir()] == ["solve.sh"]:
            await _run((solution / "solve.sh").read_text(), environment, context)
            return
        place = f"/tmp/solution-{uuid.uuid4().hex[:8]}"
        await environment.upload_dir(solution, place)
        await _run(f"bash {place}/solve.sh", environment, context)


async def _run(text: str, environment: BaseEnvironment, context: AgentContext) -> None:
    result = await environment.exec(text)
    context.metadata = {"exit_code": result.return_code}
