"""Harbor's environment as a recorded session."""

import io
import json
import os
import shlex
import tarfile
import tempfile
import uuid
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from harbor.environments.base import BaseEnvironment, ExecResult, transfer_tar_filter
from harbor.environments.capabilities import EnvironmentCapabilities
from harbor.models.task.config import NetworkMode

from affidavit.client import AsyncClient, AsyncSession, Judgement
from affidavit.integrations.harbor.errors import AffidavitError, SecondTry
from affidavit.integrations.harbor.journal import Journal
from affidavit.integrations.harbor.watch import Watched, trials
from affidavit.integrations.verdict_facts import verdict_facts

EVIDENCE = "affidavit.json"
"""A trial's verdict, in its ``verifier`` folder."""

_WAIT_FOR_ROOM_S = 3600.0
_FILE_BYTES = 64 << 20
_FOLDER_BYTES = 16 << 20
# Of what a command said, in an error.
_MOST_LETTERS = 500


class Environment(BaseEnvironment):
    """An Affidavit sandbox. What Harbor does before the agent begins is setup. From then on, every command is the
    agent's and is judged. After the agent has ended, commands run in a separate sandbox over what it left.

    Args:
        socket: the server's; None: ``$AFFIDAVIT_SOCKET``, or the default of `affidavit serve`.
        contract: file of a contract that replaces the task's own.
        runtime, recorder: see `affidavit.open_session`.
        models: that the agent may ask through the session's gateway, of those that the server grants, with commas
            between them.
        args, kwargs: Harbor's.
    """

    def __init__(
        self,
        *args: Any,
        socket: str | None = None,
        contract: str | None = None,
        runtime: str = "auto",
        recorder: str = "auto",
        models: str = "",
        **kwargs: Any,
    ) -> None:
        self._socket = socket
        self._asked: dict[str, Any] = {
            "contract": contract,
            "runtime": runtime,
            "recorder": recorder,
            "models": [name for part in models.split(",") if (name := part.strip())],
        }
        self._client: AsyncClient | None = None
        self._session: AsyncSession | None = None
        self._watched: Watched | None = None
        self._stage: Literal["setup", "agent", "frozen", "concluded"] = "setup"
        self._facts: dict[str, Any] = {}
        self._judgement: Judgement | None = None
        self._problem: str | None = None
        super().__init__(*args, **kwargs)

    # --- what Harbor asks about ---

    @staticmethod
    def type() -> str:
        """Its name."""
        return "affidavit"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        """A sandbox has no network except for the hosts that its task lists."""
        return EnvironmentCapabilities(disable_internet=True)

    def _validate_definition(self) -> None:
        if not (self.environment_dir.parent / "task.toml").is_file():
            raise FileNotFoundError(
                f"{self.environment_dir.parent}: holds no task.toml; Affidavit takes a task's own environment, and "
                "grades apart from it by itself: leave environment_mode = separate out"
            )

    # --- stages ---

    async def start(self, force_build: bool) -> None:
        """Open a session.

        Raises:
            AffidavitError: the plug-in or the verifier is missing, or an option is not supported.
            SecondTry: the agent has begun this task as often as the job allows.
            ClientError: there is no server, or it can't hold the session.
        """
        watched = trials.get(self.context_id) if self.context_id is not None else None
        if watched is None:
            raise AffidavitError(
                "Affidavit's environment needs its plug-in: --plugin affidavit.integrations.harbor:Plugin"
            )
        if watched.problem is not None:
            raise AffidavitError(watched.problem)
        if watched.environment is not None:
            raise AffidavitError("Affidavit grades in sandboxes of its own: leave environment_mode = separate out")
        if self._network_policy.network_mode == NetworkMode.ALLOWLIST:
            raise AffidavitError("hosts are allowed by the task, not by Harbor's options: list them in task.toml")
        facts = {"trial": watched.name, "trial_id": str(self.context_id)}
        number = Journal(watched.job_dir).begin(watched.key, watched.most, facts)
        if number is None:
            raise SecondTry(
                f"the agent has begun this task {watched.most} times in this job, as its journal "
                f"({watched.job_dir}) says: start a new job for a new try"
            )
        self._facts = {**facts, "attempt": number}
        self._client = await AsyncClient.connect(self._socket)
        self._session = await self._client.open_session(
            self.environment_dir.parent.resolve(), agent=watched.agent, wait_s=_WAIT_FOR_ROOM_S, **self._asked
        )
        self._watched = watched
        watched.environment = self

    def begin_agent(self) -> None:
        """The agent begins.

        Raises:
            AffidavitError: it has begun before, as in tasks of several steps.
        """
        if self._stage != "setup" or self._watched is None:
            self._problem = "the agent began twice; tasks of several steps can't be judged"
            raise AffidavitError(self._problem)
        Journal(self._watched.job_dir).note("agent", self._watched.key, self._facts)
        self._stage = "agent"

    async def end_agent(self) -> None:
        """The agent has ended: kill everything that it left running."""
        if self._stage != "agent":
            return
        try:
            await self._open_session().freeze()
        except BaseException as error:
            self._problem = f"the sandbox could not be frozen: {error}"
            raise
        self._stage = "frozen"

    async def conclude(self) -> Judgement:
        """Grade, seal, and write the verdict. A second call returns the same judgement.

        Raises:
            AffidavitError: the sandbox is not frozen.
            ClientError: the server can't grade or seal.
        """
        if self._judgement is not None:
            return self._judgement
        if self._problem is not None or self._stage != "frozen" or self._watched is None:
            raise AffidavitError(self._problem or "the agent's sandbox is not frozen: nothing can be credited")
        session = self._open_session()
        judgement = await session.grade()
        bundle = await session.seal()
        facts = {**self._facts, **verdict_facts(judgement, bundle)}
        Journal(self._watched.job_dir).note("end", self._watched.key, facts)
        _replace(self.trial_paths.verifier_dir / EVIDENCE, json.dumps(facts, indent=2, sort_keys=True) + "\n")
        self._stage, self._judgement = "concluded", judgement
        return judgement

    async def stop(self, delete: bool) -> None:
        """End the session. If the agent has begun, the trial is judged and sealed even if Harbor does not verify it."""
        try:
            if self._stage == "agent":
                await self.end_agent()
            if self._stage == "frozen" and self._problem is None:
                await self.conclude()
        finally:
            try:
                if self._session is not None:
                    await self._session.close()
            finally:
                self._session = None
                if self._client is not None:
                    await self._client.close()
                    self._client = None

    def _open_session(self) -> AsyncSession:
        if self._session is None:
            raise AffidavitError("there is no session")
        return self._session

    # --- Harbor's calls ---

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run a command with bash; see `BaseEnvironment.exec`.

        Raises:
            RuntimeError: it timed out; Harbor's own environments raise the same.
            ClientError: it can't be run.
        """
        return await self._run(["bash", "-c", command], cwd=cwd, env=env, timeout_sec=timeout_sec, user=user)

    async def _run(
        self,
        argv: list[str],
        *,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
        data: bytes = b"",
    ) -> ExecResult:
        session = self._open_session()
        wanted = self._resolve_user(user)
        asked: dict[str, Any] = {
            "user": None if wanted is None else str(wanted),
            "cwd": cwd or self.task_env_config.workdir,
            "env": self._merge_env(env),
            "input": data,
        }
        if timeout_sec is not None:
            asked["timeout_s"] = float(timeout_sec)
        if self._stage == "setup":
            result = await session.setup(argv, **asked)
        else:
            result = await session.exec(argv, origin=self._origin(), **asked)
        if result.timed_out:
            raise RuntimeError(f"Command timed out after {timeout_sec} seconds, or the agent's time is up")
        out, err = (one.decode(errors="replace") for one in (result.stdout, result.stderr))
        emit = self._output_callback()
        if emit is not None:
            for text, stream in ((out, "stdout"), (err, "stderr")):
                if text:
                    await emit(text, "stdout" if stream == "stdout" else "stderr")
        return ExecResult(stdout=out, stderr=err, return_code=result.exit_code)

    def _origin(self) -> str:
        return "agent" if self._stage == "agent" else "harness"

    async def _do(self, argv: list[str], data: bytes = b"") -> None:
        """Run a command that must succeed.

        Raises:
            OSError: it did not.
        """
        result = await self._run(argv, data=data)
        if result.return_code != 0:
            raise OSError(f"{shlex.join(argv)[:200]}: {(result.stderr or result.stdout or '').strip()[:_MOST_LETTERS]}")

    def _takes_files(self, target: str) -> bool:
        """Whether files may still be put into the sandbox. Harbor puts logs back for verifiers that grade in the
        agent's own sandbox; Affidavit's does not, and the frozen sandbox stays as it is."""
        if self._stage in ("setup", "agent"):
            return True
        self.logger.debug("%s: not put into a sandbox that is frozen", target)
        return False

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        """Copy a file into the sandbox, with its mode; 64 MiB at most."""
        if not self._takes_files(target_path):
            return
        source, target = Path(source_path), PurePosixPath(target_path)
        await self._do(["/bin/mkdir", "-p", "--", str(target.parent)])
        user = self._resolve_user(None)
        await self._open_session().write_file(
            str(target), source.read_bytes(), user=None if user is None else str(user), origin="agent"
        )
        if source.stat().st_mode & 0o111:
            await self._do(["/bin/chmod", "+x", "--", str(target)])

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        """Copy a folder's content into the sandbox; 16 MiB at most.

        Raises:
            ValueError: it is larger.
        """
        if not self._takes_files(target_dir):
            return
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(Path(source_dir), arcname=".")
        content = archive.getvalue()
        if len(content) > _FOLDER_BYTES:
            raise ValueError(f"{source_dir}: {len(content)} bytes are more than 16 MiB: upload it in parts")
        await self._do(["/bin/mkdir", "-p", "--", target_dir])
        await self._do(["/bin/tar", "-x", "--no-same-owner", "-f", "-", "-C", target_dir], content)

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        """Copy a file out of the sandbox; 64 MiB at most."""
        content = await self._open_session().read_file(source_path, most=_FILE_BYTES, origin=self._origin())
        Path(target_path).parent.mkdir(parents=True, exist_ok=True)
        Path(target_path).write_bytes(content)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        """Copy a folder's content out of the sandbox; 64 MiB at most. A folder that is not there has none.

        Raises:
            ValueError: it holds more, or names a place outside of `target_dir`.
        """
        Path(target_dir).mkdir(parents=True, exist_ok=True)
        if self._session is None:
            # It could not be opened, or has ended: Harbor collects logs all the same.
            return
        if (await self._run(["/bin/sh", "-c", '[ -d "$1" ]', "download", source_dir])).return_code != 0:
            return
        place = f"/tmp/.affidavit-{uuid.uuid4().hex}.tar"
        await self._do(["/bin/tar", "-c", "-f", place, "-C", source_dir, "."])
        try:
            content = await self._open_session().read_file(place, most=_FILE_BYTES, origin=self._origin())
        finally:
            await self._do(["/bin/rm", "-f", "--", place])
        _extract(content, Path(target_dir))


def _extract(content: bytes, target: Path) -> None:
    """Unpack an archive that a sandbox made: nothing but files and folders below `target`, 64 MiB at most."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            # A sparse member is as long as it says, however short the archive.
            if sum(one.size for one in tar.getmembers()) > _FILE_BYTES:
                raise ValueError("the folder holds more than 64 MiB")
            tar.extractall(target, filter=_plain)
    except tarfile.TarError as error:
        raise ValueError(f"the sandbox's archive is not usable: {error}") from error


def _plain(member: tarfile.TarInfo, target: str) -> tarfile.TarInfo | None:
    # A link could lead readers on the host to files of the host.
    return None if member.issym() or member.islnk() else transfer_tar_filter(member, target)


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
