"""The steps of a task that its agent works through one after the other: ``[[steps]]`` and the folder ``steps/``."""

import atexit
import functools
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from affidavit.tasks.errors import TaskError
from affidavit.tasks.harbor import NETWORK_MODES, Artifact, is_separate, names_of, read_artifacts
from affidavit.tasks.health import HealthCheck
from affidavit.tasks.toml import TomlTable

RewardStrategy = Literal["mean", "final"]
"""How the score of a task comes from those of its steps: their mean, or the last one's."""

SETUP = "setup.sh"
"""The script in a step's ``workdir/`` that runs before its agent begins."""

# Each may add three layers to the sandboxes after it, and the kernel takes some two hundred.
_MOST_STEPS = 50
_MOST_NAME = 255
_NAME = re.compile(r'[^<>:"/\\|?*\x00-\x1f\x7f]*[^<>:"/\\|?*\x00-\x1f\x7f. ]')


@dataclass(frozen=True)
class Step:
    """One step of a task.

    Attributes:
        name: that of its folder in ``steps/``; unique in the task.
        instruction: content of its instruction.md.
        tests, solution: their folders: the step's own, else the task's. Where both have tests: a copy in which the
            step's lie over the task's, as long as this process lives.
        hidden: where in the task's folder they come from.
        workdir_files: what is put into the working directory before its agent begins; None: nothing.
        agent_timeout_s, verifier_timeout_s: seconds; None: the task's.
        verifier_env: what the verifier gets beside the task's.
        min_reward: a lower score ends the trial after this step; None: none does.
        artifacts: what a verifier with a root file system of its own gets beside the task's.
        health_check: must have succeeded, after the task's own, before its agent begins.
    """

    name: str
    instruction: str
    tests: Path
    solution: Path
    hidden: tuple[Path, ...]
    workdir_files: Path | None = None
    agent_timeout_s: float | None = None
    verifier_timeout_s: float | None = None
    verifier_env: dict[str, str] = field(default_factory=dict)
    min_reward: float | None = None
    artifacts: tuple[Artifact, ...] = ()
    health_check: HealthCheck | None = None

    @property
    def has_setup(self) -> bool:
        """Whether a script of its own runs before its agent begins."""
        return self.workdir_files is not None and (self.workdir_files / SETUP).exists()


@dataclass(frozen=True)
class StepTables:
    """The tables of a step in task.toml.

    Attributes:
        name: checked.
        folder: ``steps/NAME`` of the task.
        own, agent, verifier, health: ``[[steps]]``, ``[steps.agent]``, ``[steps.verifier]``, ``[steps.healthcheck]``.
    """

    name: str
    folder: Path
    own: TomlTable
    agent: TomlTable
    verifier: TomlTable
    health: TomlTable

    @property
    def all(self) -> tuple[TomlTable, ...]:
        """All of them."""
        return (self.own, self.agent, self.verifier, self.health)


def read_strategy(top: TomlTable) -> RewardStrategy:
    """``multi_step_reward_strategy``, ``mean`` where the task does not say. Raises TaskError."""
    value = top.text("multi_step_reward_strategy")
    # Of older files; Harbor drops it, too.
    top.take("multi_step_reward_mode")
    for known in get_args(RewardStrategy):
        if value == known:
            return known  # type: ignore[no-any-return]
    if value is not None:
        raise top.error("multi_step_reward_strategy", f'must be "mean" or "final", not {value!r}')
    return "mean"


def step_tables(top: TomlTable, task: Path) -> list[StepTables]:
    """The tables of a task's steps, in order; none where the task has no steps.

    Args:
        top: of task.toml.
        task: the task's folder.

    Raises:
        TaskError: a name is missing, is no folder's or stands there twice, or there are too many.
    """
    tables = top.tables("steps")
    if len(tables) > _MOST_STEPS:
        raise top.error("steps", f"may be {_MOST_STEPS} at most, not {len(tables)}")
    found: list[StepTables] = []
    known: set[str] = set()
    for table in tables:
        name = table.text("name")
        if name is None:
            raise table.error(None, "needs a name, which is that of its folder in steps/")
        if not _NAME.fullmatch(name) or len(name.encode("utf-8", "replace")) > _MOST_NAME:
            raise table.error("name", f"must be the name of a folder in steps/, not {name[:60]!r}")
        # Some file systems don't tell these apart.
        key = unicodedata.normalize("NFC", name).casefold()
        if key in known:
            raise table.error("name", f"must be another one than those of the steps before it: {name!r}")
        known.add(key)
        folder = task / "steps" / name
        if not folder.is_dir():
            raise table.error("name", f"names a step whose folder {folder} is missing")
        inner = (table.table(key) for key in ("agent", "verifier", "healthcheck"))
        found.append(StepTables(name, folder, table, *inner))
    return found


def unsupported_step_keys(step: StepTables, separate: bool) -> Iterator[str]:
    """Take the keys of a step that ask for what is not done here.

    Args:
        step: its tables.
        separate: the task's verifier has a root file system of its own.

    Yields:
        a warning for each that is ignored.

    Raises:
        TaskError: one would change the result.
    """
    own, agent, verifier = step.own, step.agent, step.verifier
    for table in (agent, verifier):
        if table.take("user") is not None:
            raise table.error("user", "of a step is not supported yet; set the task's own user, who does all steps")
    for key in ("network_mode", "allowed_hosts"):
        if agent.take(key) is not None:
            raise agent.error(key, f"of a step is not supported yet; set the task's own {key}, for all steps")
    if "environment_mode" in verifier and is_separate(verifier) != separate:
        raise verifier.error("environment_mode", "of a step can't differ from the task's yet; leave it out")
    if verifier.take("environment"):
        raise verifier.error("environment", "of a step is not supported yet; set the task's own, for all steps")
    if separate and (step.folder / "tests" / "Dockerfile").exists():
        raise own.error("name", f"names a step with {step.folder / 'tests' / 'Dockerfile'}, which is not supported yet")
    if verifier.tables("collect"):
        raise verifier.error("collect", "wants commands to run between agent and verifier, which is not supported yet")
    network = verifier.text("network_mode")
    if network is not None and network not in NETWORK_MODES:
        raise verifier.error("network_mode", f"must be one of {', '.join(NETWORK_MODES)}, not {network!r}")
    if network in ("public", "allowlist"):
        yield f"{verifier.place('network_mode')} asks for a network; gradings have none"
    if names_of(verifier, "allowed_hosts"):
        yield f"{verifier.place('allowed_hosts')} is ignored: gradings have no network"
    artifacts = read_artifacts(own, separate)
    if any(not one.of_agent for one in artifacts):
        raise own.error("artifacts", "names a service, and a task with steps can't have services yet; remove it")
    if not separate and artifacts:
        yield f"{own.place('artifacts')} is ignored: all changes that the contract permits come along to the grading"


@functools.cache
def merged_tests(shared: Path, own: Path, digest: str) -> Path:
    """A folder with the tests that steps share, and over them those of one step, as long as this process lives.

    Args:
        shared, own: the two folders; links in them lead out of neither.
        digest: of the task that they are of, so that what was copied before it changed is not taken for it.

    Raises:
        TaskError: one holds a folder where the other holds a file, or they can't be copied.
    """
    place = Path(tempfile.mkdtemp(prefix="affidavit-tests-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    folder = place / "tests"
    try:
        shutil.copytree(shared, folder, symlinks=True)
        for path in sorted(own.rglob("*")):
            target = folder / path.relative_to(own)
            if path.is_dir() and not path.is_symlink():
                target.mkdir(exist_ok=True)
                continue
            target.unlink(missing_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    except OSError as error:
        raise TaskError(f"{own}: can't be laid over {shared}: {error.strerror or error}") from error
    return folder


def read_min_reward(own: TomlTable, score: str) -> float | None:
    """``min_reward`` of a step: a number, or a table with the one reward that is the score.

    Args:
        own: the step's table.
        score: the name of that reward.

    Raises:
        TaskError: it is something else.
    """
    value = own.take("min_reward")
    if isinstance(value, dict):
        if others := sorted(set(value) - {score}):
            raise own.error(
                "min_reward",
                f"names the reward {others[0]!r}, and only the one that is the score, {score!r}, can end a trial; "
                "remove it",
            )
        value = value.get(score)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e9:
        raise own.error("min_reward", f"must be a number, not {value!r}")
    return float(value)
