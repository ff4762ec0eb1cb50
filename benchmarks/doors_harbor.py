"""What `doors.py` has Harbor load: an environment that is nothing but this machine, since Harbor's own need Docker or a
provider; and an agent that takes the time."""

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from harbor.agents.base import BaseAgent
from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.models.agent.context import AgentContext
from harbor.models.verifier.result import VerifierResult
from harbor.verifier.base import BaseVerifier


class Bare(BaseEnvironment):
    """Runs commands in a folder of this machine, with no sandbox at all."""

    @staticmethod
    def type() -> str:
        return "bare"

    def _validate_definition(self) -> None:
        pass

    async def start(self, force_build: bool) -> None:
        self._folder = Path(tempfile.mkdtemp())

    async def stop(self, delete: bool) -> None:
        shutil.rmtree(self._folder)

    def _in(self, path: str) -> Path:
        return self._folder / path.lstrip("/")

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        target = self._in(target_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source_path, target)

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        shutil.copytree(source_dir, self._in(target_dir), dirs_exist_ok=True)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        shutil.copyfile(self._in(source_path), target_path)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        if self._in(source_dir).is_dir():
            shutil.copytree(self._in(source_dir), target_dir, dirs_exist_ok=True)

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        # What Harbor itself asks for names folders of a container; only the agent's own command is run.
        if command != "true":
            return ExecResult(stdout="", stderr="", return_code=0)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, cwd=self._folder, stdout=pipe, stderr=pipe
        )
        out, err = await process.communicate()
        return ExecResult(stdout=out.decode(), stderr=err.decode(), return_code=process.returncode or 0)


class Credits(BaseVerifier):
    """Gives 1 without a look."""

    async def verify(self) -> VerifierResult:
        return VerifierResult(rewards={"reward": 1.0})


class Repeated(BaseAgent):
    """Runs ``true`` so many times, and keeps how long each took."""

    def __init__(self, *args: Any, execs: int, number: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._execs = execs

    @staticmethod
    def name() -> str:
        return "repeated"

    def version(self) -> str:
        return "1"

    async def setup(self, environment: BaseEnvironment) -> None:
        pass

    async def run(self, instruction: str, environment: BaseEnvironment, context: AgentContext) -> None:
        taken = []
        for _ in range(self._execs):
            began = time.perf_counter()
            await environment.exec("true")
            taken.append(time.perf_counter() - began)
        context.metadata = {"taken": taken}
