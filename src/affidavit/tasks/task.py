"""From a task folder to a :class:`Task`."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from affidavit.errors import read_input
from affidavit.tasks.decoys import DecoySettings, read_decoy_settings
from affidavit.tasks.digest import task_digest
from affidavit.tasks.errors import TaskError
from affidavit.tasks.graders import DEFAULT_KIND, GraderSpec, read_graders
from affidavit.tasks.harbor import (
    COMPOSE_NAMES,
    NETWORK_MODES,
    is_separate,
    names_of,
    read_artifacts,
    unsupported_keys,
)
from affidavit.tasks.health import read_health_check
from affidavit.tasks.labels import Labels, read_labels
from affidavit.tasks.mcp import McpServer, read_mcp_servers
from affidavit.tasks.parts import (
    AskedOfImage,
    DeclaredContract,
    Profile,
    PublishedContract,
    Scoring,
    TaskEnvironment,
    TaskLimits,
    TaskNetwork,
    TaskSolution,
    TaskTests,
)
from affidavit.tasks.rootfs import ImageSettings, Rootfs, TaskUser, image_settings
from affidavit.tasks.steps import (
    RewardStrategy,
    Step,
    StepTables,
    merged_tests,
    read_min_reward,
    read_strategy,
    step_tables,
    unsupported_step_keys,
)
from affidavit.tasks.toml import TomlTable, read_toml

_MAX_INSTRUCTION = 1 << 20
_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_TEMPLATE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")

# A task has one of them at most; the last two are JSON.
CONTRACT_NAMES = ("contract.yaml", "contract.json", "behavioral_contract.json")

# Keys of [task] that only describe it.
_DESCRIPTIVE = ("version", "description", "authors")


@dataclass(frozen=True)
class Task:
    """A task folder in Harbor's layout, read and checked.

    Attributes:
        id: ``[task].name``, else the folder's name.
        path: the folder, absolute.
        digest: see :func:`affidavit.tasks.task_digest`.
        instruction: content of instruction.md; with steps, of all of theirs.
        environment: the inside of the sandboxes.
        limits: time, memory and storage.
        network: what the agent can reach.
        contract: where the contract is.
        tests: the hidden tests.
        solution: the task's own solution.
        scoring: graders, and what counts as solved.
        warnings: what is in task.toml and has no effect here, a sentence each.
        labels: topics that its author names.
        decoys: laid into the agent's sandbox; None: there are none.
        grading: the task as its verifier sees it if the verifier has a root file system of its own: with another
            environment, and limits of its own; None: the verifier has the agent's.
        steps: what its agent does one after the other, each with an instruction and tests of its own; empty for most.
        reward_strategy: how its score comes from those of its steps.
        step: the name of the step that this is, see `at_step`; empty where it is a whole task.
        earlier_steps: how many steps come before that one.
        mcp_servers: what its agent gets of the Model Context Protocol.
    """

    id: str
    path: Path
    digest: str
    instruction: str
    environment: TaskEnvironment
    limits: TaskLimits
    network: TaskNetwork
    contract: DeclaredContract
    tests: TaskTests
    solution: TaskSolution
    scoring: Scoring
    warnings: tuple[str, ...] = ()
    labels: Labels = field(default_factory=Labels)
    decoys: DecoySettings | None = None
    grading: "Task | None" = None
    steps: tuple[Step, ...] = ()
    reward_strategy: RewardStrategy = "mean"
    step: str = ""
    earlier_steps: int = 0
    mcp_servers: tuple[McpServer, ...] = ()

    def at_step(self, step: Step) -> "Task":
        """The task as one of its steps has it, which is a task without steps."""
        limits, tests, environment = self.limits, self.tests, self.environment
        if step.health_check is not None:
            environment = replace(environment, health_checks=(*environment.health_checks, step.health_check))
        return replace(
            self,
            instruction=step.instruction,
            environment=environment,
            limits=replace(
                limits,
                agent_timeout_s=step.agent_timeout_s or limits.agent_timeout_s,
                verifier_timeout_s=step.verifier_timeout_s or limits.verifier_timeout_s,
            ),
            tests=replace(
                tests,
                folder=step.tests,
                env={**tests.env, **step.verifier_env},
                artifacts=(*tests.artifacts, *step.artifacts),
            ),
            grading=None if self.grading is None else self.grading.at_step(step),
            solution=replace(self.solution, folder=step.solution),
            steps=(),
            step=step.name,
            earlier_steps=next((number for number, one in enumerate(self.steps) if one == step), 0),
        )

    def in_profile(self, profile: Profile) -> "Task":
        """The task in sandboxes of another profile."""
        grading = None if self.grading is None else self.grading.in_profile(profile)
        return replace(self, environment=replace(self.environment, profile=profile), grading=grading)

    @property
    def played(self) -> "tuple[Task, ...]":
        """What its agents are put to: each step as a task, or itself where it has none."""
        return tuple(self.at_step(step) for step in self.steps) or (self,)

    @property
    def has_solution(self) -> bool:
        """Whether it has a solution of its own, for every step."""
        return all((one.solution.folder / "solve.sh").is_file() for one in self.played)

    @property
    def hidden_folders(self) -> tuple[Path, ...]:
        """The folders that no agent may see, of all steps."""
        of_steps = [folder for step in self.steps for folder in step.hidden]
        return tuple(dict.fromkeys(of_steps or (self.tests.folder, self.solution.folder)))

    @property
    def has_contract(self) -> bool:
        """Whether it has a contract of its own, in a file or published."""
        return self.contract.path is not None or self.contract.published is not None


def load_task(path: Path) -> Task:
    """Read a task folder.

    Raises:
        TaskError: something is missing or wrong in it; one line with file, place and fix.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100  (resolve would follow a symlinked folder's name away)
    if not (path / "task.toml").is_file():
        raise TaskError(f"{path}: is not a task folder: it holds no task.toml")
    return _Reader(path).task()


def find_tasks(path: Path) -> list[Task]:
    """The tasks of a task folder, or of a folder of task folders, by name.

    Raises:
        TaskError: there is none, or one of them is wrong.
    """
    if path.is_file():
        if path.name == "task.toml":
            return [load_task(path.parent)]
        raise TaskError(f"{path}: is not a task: give its folder, or a folder of task folders")
    if not path.is_dir():
        raise TaskError(f"{path}: does not exist; give a task folder or a folder of task folders")
    if (path / "task.toml").exists():
        return [load_task(path)]
    try:
        folders = sorted(entry for entry in path.iterdir() if (entry / "task.toml").exists())
    except OSError as error:
        raise TaskError(f"{path}: can't be read: {error.strerror}") from error
    if not folders:
        raise TaskError(f"{path}: holds no task: neither it nor a folder in it has a task.toml")
    return distinct(_load_all(folders))


def _load_all(folders: Sequence[Path]) -> list[Task]:
    """All tasks, or one error that names everything wrong: whoever fixes a suite wants the whole list."""
    tasks, wrong = [], []
    for folder in folders:
        try:
            tasks.append(load_task(folder))
        except TaskError as error:
            wrong.append(str(error))
    if not wrong:
        return tasks
    if len(wrong) == 1:
        raise TaskError(wrong[0])
    raise TaskError(f"{len(wrong)} of {len(folders)} tasks can't be used: {'; '.join(wrong)}")


def distinct(found: Iterable[Task]) -> list[Task]:
    """The tasks in their order.

    Raises:
        TaskError: two of them bear the same name.
    """
    tasks = list(found)
    names: dict[str, Path] = {}
    for task in tasks:
        if other := names.get(task.id):
            raise TaskError(
                f"{task.path}: bears the same name as {other}: {task.id}; change [task].name of one of them"
            )
        names[task.id] = task.path
    return tasks


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._top = read_toml(path / "task.toml")
        self._warnings: list[str] = []

    def task(self) -> Task:
        path, top = self._path, self._top
        self._version()
        about, agent, verifier, environment = (top.table(name) for name in ("task", "agent", "verifier", "environment"))
        solution, own = top.table("solution"), top.table("affidavit")
        task_id = self._task_name(about)
        for key in _DESCRIPTIVE:
            about.take(key)
        top.take("source")
        labels = read_labels(top.take("metadata"), about.take("keywords"))
        self._warnings += unsupported_keys(top, agent, verifier, environment, self._path / "tests")

        if (environment.text("os") or "linux").lower() != "linux":
            raise environment.error("os", 'must be "linux": there are no other sandboxes')
        rootfs = self._rootfs(own, environment)
        image = image_settings(rootfs.source) if rootfs.kind == "oci" and rootfs.source else ImageSettings("", None, {})
        asked = own.absolute_path("workdir") or environment.absolute_path("workdir")
        environment.take("workdir")
        user, asked_user = self._user(agent, rootfs, image)
        verifier_user, asked_verifier_user = self._user(verifier, rootfs, image)
        health = environment.table("healthcheck")
        graders, check = read_graders(own), read_health_check(health)
        strategy, in_steps, digest = read_strategy(top), step_tables(top, path), task_digest(path)
        separate = is_separate(verifier)
        steps = tuple(self._step(tables, graders, digest, separate) for tables in in_steps)
        network, profile, compose = self._network(agent, environment), self._profile(own), self._compose()
        if compose is not None and profile == "strict":
            raise own.error("profile", f"can't be strict: {compose} has services, which need the profile container")
        task = Task(
            id=task_id,
            path=path,
            digest=digest,
            instruction="\n".join(step.instruction for step in steps) if steps else self._instruction(path),
            environment=TaskEnvironment(
                rootfs=rootfs,
                workdir=asked or image.workdir or "/workspace",
                user=user,
                env={**image.env, **self._env(environment)},
                overlay=self._folder("environment/root"),
                profile=profile or ("container" if rootfs.is_image or compose else "strict"),
                asked=AskedOfImage(asked_user, asked_verifier_user, asked, "container" if compose else profile),
                compose=compose,
                health_checks=() if check is None else (check,),
            ),
            limits=TaskLimits(
                agent_timeout_s=agent.seconds("timeout_sec") or 600.0,
                verifier_timeout_s=verifier.seconds("timeout_sec") or 600.0,
                build_timeout_s=environment.seconds("build_timeout_sec") or 600.0,
                cpus=environment.number("cpus"),
                memory_mb=self._size(environment, "memory") or 2048,
                storage_mb=self._size(environment, "storage") or 2048,
            ),
            network=network,
            contract=DeclaredContract(self._contract(), self._published(own)),
            tests=TaskTests(
                folder=path / "tests",
                user=verifier_user,
                env=self._env(verifier),
                writable=own.boolean("tests_writable") is True,
            ),
            solution=TaskSolution(path / "solution", self._env(solution)),
            scoring=Scoring(graders, self._passing_score(own), own.boolean("control") is not False),
            labels=labels,
            decoys=read_decoy_settings(own, path),
            steps=steps,
            reward_strategy=strategy,
            mcp_servers=read_mcp_servers(environment),
        )
        if not steps and any(grader.kind == DEFAULT_KIND for grader in graders):
            self._tests([task.tests.folder])
        tables = [top, about, agent, verifier, environment, health, solution, own]
        tables += [table for step in in_steps for table in step.all]
        grading = None
        if separate:
            theirs = verifier.table("environment")
            grading = self._grading(verifier, theirs, task)
            tables.append(theirs)
        for table in tables:
            for key in table.unknown():
                self._warn(table, key, "is unknown and is ignored")
        artifacts = read_artifacts(top, separate)
        own_files = tuple(one for one in artifacts if one.of_agent and separate)
        tests = replace(
            task.tests, artifacts=own_files, service_files=tuple(one for one in artifacts if not one.of_agent)
        )
        return replace(task, warnings=tuple(self._warnings), grading=grading, tests=tests)

    def _step(self, tables: StepTables, graders: Sequence[GraderSpec], digest: str, separate: bool) -> Step:
        self._warnings += unsupported_step_keys(tables, separate)
        own, agent, verifier = tables.own, tables.agent, tables.verifier
        tests, solution, files = (tables.folder / name for name in ("tests", "solution", "workdir"))
        shared = self._path / "tests"
        if any(grader.kind == DEFAULT_KIND for grader in graders):
            self._tests([tests, shared])
        solution = solution if solution.is_dir() else self._path / "solution"
        both = tests.is_dir() and shared.is_dir()
        named = [spec.settings.get("reward") for spec in graders if spec.kind == DEFAULT_KIND]
        score = next((name for name in named if isinstance(name, str)), "reward")
        return Step(
            name=tables.name,
            instruction=self._instruction(tables.folder),
            tests=merged_tests(shared, tests, digest) if both else tests if tests.is_dir() else shared,
            solution=solution,
            hidden=(shared, tests, solution),
            workdir_files=files if files.is_dir() else None,
            agent_timeout_s=agent.seconds("timeout_sec"),
            verifier_timeout_s=verifier.seconds("timeout_sec"),
            verifier_env=self._env(verifier),
            min_reward=read_min_reward(own, score),
            artifacts=read_artifacts(own, separate=True) if separate else (),
            health_check=read_health_check(tables.health),
        )

    def _grading(self, verifier: TomlTable, own: TomlTable, task: Task) -> Task:
        """The task as a verifier with a root file system of its own sees it.

        Args:
            verifier, own: ``[verifier]`` and ``[verifier.environment]``.
            task: as its agent sees it.
        """
        unsupported = ("gpus", "gpu_types", "tpu", "mcp_servers", "healthcheck", "skills_dir", "os")
        for key in (*unsupported, "network_mode", "allow_internet", "allowed_hosts"):
            own.take(key)
        image, asked = own.text("docker_image"), own.absolute_path("workdir")
        tests = self._path / "tests"
        limits = replace(
            task.limits,
            build_timeout_s=own.seconds("build_timeout_sec") or task.limits.build_timeout_s,
            cpus=own.number("cpus") or task.limits.cpus,
            memory_mb=self._size(own, "memory") or task.limits.memory_mb,
            storage_mb=self._size(own, "storage") or task.limits.storage_mb,
        )
        agents, env = task.environment, self._env(own)
        if not image and not (tests / "Dockerfile").exists():
            # As Harbor has it: a second copy of the agent's.
            environment = replace(agents, workdir=asked or agents.workdir, env={**agents.env, **env}, health_checks=())
            return replace(task, environment=environment, limits=limits)
        rootfs = Rootfs("registry", None, image) if image else Rootfs("dockerfile", tests)
        user, asked_user = self._user(verifier, rootfs, ImageSettings("", None, {}))
        environment = TaskEnvironment(
            rootfs=rootfs,
            workdir=asked or "/",
            user=user,
            env=env,
            profile=agents.profile,
            asked=AskedOfImage(asked_user, asked_user, asked),
        )
        return replace(
            task, environment=environment, limits=limits, tests=replace(task.tests, user=user, in_image=True)
        )

    def _warn(self, table: TomlTable, key: str, message: str) -> None:
        self._warnings.append(f"{table.place(key)} {message}")

    def _version(self) -> None:
        for key in ("schema_version", "version"):
            version = self._top.take(key)
            if version is None:
                continue
            if isinstance(version, bool) or not isinstance(version, str | int | float):
                raise self._top.error(key, 'must be a version such as "1.0"')
            if str(version).split(".")[0] not in ("1", "2"):
                self._warn(self._top, key, f"{version!r} is not known here (1.x and 2.x are); the file is read as 2.x")

    def _task_name(self, table: TomlTable) -> str:
        name = table.text("name")
        if name is None:
            return self._path.name
        if not _TASK_NAME.fullmatch(name) or ".." in name:
            raise table.error(
                "name", f"must be NAME or ORGANISATION/NAME of letters, digits, '-', '_', '.', not {name!r}"
            )
        return name

    def _instruction(self, folder: Path) -> str:
        path = folder / "instruction.md"
        if not path.exists():
            raise TaskError(f"{path}: is missing; it holds the agent's instruction")
        data = read_input(path, _MAX_INSTRUCTION, TaskError)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise TaskError(f"{path}: is not UTF-8 (byte {error.start})") from error

    def _tests(self, folders: Sequence[Path]) -> None:
        """See that one of the folders has the script that runs the tests."""
        path = folders[0] / "test.sh"
        if not any((folder / path.name).is_file() for folder in folders):
            raise TaskError(f"{path}: is missing; it runs the hidden tests and writes /logs/verifier/reward.txt")

    def _passing_score(self, own: TomlTable) -> float:
        value = own.number("passing_score")
        if value is not None and value > 1:
            raise own.error("passing_score", f"must be above 0 and at most 1, not {value:g}")
        return 1.0 if value is None else value

    def _profile(self, own: TomlTable) -> Profile | None:
        value = own.text("profile")
        for known in get_args(Profile):
            if value == known:
                return known  # type: ignore[no-any-return]
        if value is not None:
            raise own.error("profile", f'must be "strict" or "container", not {value!r}')
        return None

    def _compose(self) -> Path | None:
        """The file with the task's services."""
        there = [path for name in COMPOSE_NAMES if (path := self._path / "environment" / name).exists()]
        if len(there) > 1:
            raise TaskError(f"{there[1]}: there is {there[0].name} too; keep the one that holds")
        return there[0] if there else None

    def _folder(self, name: str) -> Path | None:
        path = self._path / name
        return path if path.is_dir() else None

    def _contract(self) -> Path | None:
        there = [path for name in CONTRACT_NAMES if (path := self._path / name).exists()]
        if len(there) > 1:
            raise TaskError(f"{there[1]}: there is {there[0].name} too; keep the one that holds")
        return there[0] if there else None

    def _published(self, own: TomlTable) -> PublishedContract | None:
        reference, registry = own.text("contract"), own.text("registry")
        if reference is None and registry is None:
            return None
        if reference is None or not registry:
            missing, there = ("contract", "registry") if reference is None else ("registry", "contract")
            raise own.error(there, f'needs {missing} beside it, as in contract = "ID@1.2.0" and registry = "FOLDER"')
        if (there_too := self._contract()) is not None:
            raise own.error("contract", f"names a published contract, but there is {there_too.name} too; remove one")
        if "://" not in registry:
            registry = os.path.normpath(self._path / registry)
        return PublishedContract(reference, registry)

    def _rootfs(self, own: TomlTable, environment: TomlTable) -> Rootfs:
        wanted, image = own.text("rootfs"), environment.text("docker_image")
        if wanted is None:
            folder = self._path / "environment"
            # As Harbor has it: an image that is there already goes before one that would have to be built.
            if image:
                return Rootfs("registry", None, image)
            if (folder / "Dockerfile").exists() or self._compose() is not None:
                return Rootfs("dockerfile", folder)
            wanted = "host"
        if wanted == "host":
            return Rootfs("host")
        kind, _, name = wanted.partition(":")
        if kind not in ("oci", "tarball") or not name:
            raise own.error("rootfs", f'must be "host", "oci:PATH" or "tarball:PATH", not {wanted!r}')
        source = self._path / name
        if not source.exists():
            raise own.error("rootfs", f"names {source}, which is not there")
        return Rootfs("oci" if kind == "oci" else "tarball", source)

    def _user(self, table: TomlTable, rootfs: Rootfs, image: ImageSettings) -> tuple[TaskUser, str | None]:
        """``[agent].user`` or ``[verifier].user``, else the image's, else the sandbox's own; and what is to be looked
        up in the image."""
        value = table.take("user")
        if isinstance(value, bool) or not isinstance(value, str | int | None) or value == "":
            raise table.error("user", f"must be a name or a number, not {value!r}")
        asked = None if value is None else str(value)
        if rootfs.to_be_had:
            return TaskUser(0, 0, "root", "/root"), asked
        if asked is None:
            if rootfs.kind != "oci":
                return TaskUser(), None
            asked = image.user or "root"
        user, _, group = asked.partition(":")
        if user in ("root", "0") and (group.isdecimal() or not group):
            return TaskUser(0, int(group or 0), "root", "/root"), None
        if user == "agent" and rootfs.kind != "oci":
            return TaskUser(), None
        if not (user.isascii() and user.isdecimal()) or (group and not (group.isascii() and group.isdecimal())):
            if rootfs.kind == "oci":
                return TaskUser(), asked
            raise table.error("user", f"{value!r} can't be looked up here; give it as a number (uid)")
        if max(int(user), int(group or 0)) >= 2**31:
            raise table.error("user", f"{value!r} is too large for a user's number")
        uid = int(user)
        gid = int(group) if group else uid
        name = "agent" if uid == TaskUser.uid else f"user{uid}"
        return TaskUser(uid, gid, name, "/home/agent"), None

    def _size(self, table: TomlTable, key: str) -> int | None:
        """``memory_mb = 2048``, or ``memory = "2G"`` of older files."""
        now, old = table.mebibytes(f"{key}_mb"), table.size(key)
        if now is not None and old is not None and now != old:
            raise table.error(key, f"({old} MiB) and {key}_mb ({now}) contradict each other; remove {key}")
        return now if now is not None else old

    def _network(self, agent: TomlTable, environment: TomlTable) -> TaskNetwork:
        """The agent's table goes before the environment's."""
        mode = "public" if environment.boolean("allow_internet") else "none"
        key, table = "allow_internet", environment
        for candidate in (environment, agent):
            said = candidate.text("network_mode")
            if said is None:
                continue
            if said not in NETWORK_MODES:
                raise candidate.error("network_mode", f"must be one of {', '.join(NETWORK_MODES)}, not {said!r}")
            mode, key, table = said, "network_mode", candidate
        listed = {one: names_of(one, "allowed_hosts") for one in (environment, agent)}
        hosts = tuple(dict.fromkeys(name for names in listed.values() for name in names))
        if mode == "public":
            self._warn(table, key, "asks for every host, and an agent gets none: list them (allowlist) or use --allow")
        if mode == "allowlist":
            if not hosts:
                self._warn(table, key, "is allowlist, and allowed_hosts lists none")
            return TaskNetwork("allowlist", hosts)
        for one, names in listed.items():
            if names:
                self._warn(one, "allowed_hosts", 'is of no use without network_mode = "allowlist"')
        return TaskNetwork("none", ())

    def _env(self, table: TomlTable) -> dict[str, str]:
        """``env`` with its ``${NAME:-default}`` templates filled in: a sandbox gets nothing of this machine's."""
        values = {}
        for name, value in table.strings("env").items():
            missing = [match[1] for match in _TEMPLATE.finditer(value) if match[2] is None]
            if missing:
                self._warn(
                    table.table("env"), name, f"asks for this machine's {missing[0]}, which a sandbox never gets"
                )
                continue
            values[name] = _TEMPLATE.sub(lambda match: match[2], value)
        return values
