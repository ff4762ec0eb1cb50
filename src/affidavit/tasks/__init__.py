"""Task folders in Harbor's layout, read and checked.

The folder holds ``task.toml``, ``instruction.md``, ``environment/``, ``tests/test.sh`` and ``solution/``; Affidavit
adds ``contract.yaml`` and the table ``[affidavit]``:

- ``rootfs``: ``"host"``, ``"oci:PATH"`` or ``"tarball:PATH"``, the path relative to the task's folder;
- ``workdir``: absolute path in the sandbox, ``/workspace`` where nothing says otherwise;
- ``control``: whether the grading is repeated with tests that must fail (true);
- ``tests_writable``: whether the verifier may write in ``/tests``, to a copy that is thrown away (false);
- ``graders``: what makes the score (``tests/test.sh`` and its reward), see :class:`GraderSpec`;
- ``contract`` and ``registry``: a published contract, ``ID@VERSION``, in place of ``contract.yaml``, and the folder or
  ``git+URL`` that it is published in;
- ``decoys``: files that no work needs, laid into the agent's sandbox, see :class:`DecoySettings`;
- ``passing_score``: the least score that counts as solved (1).
"""

from affidavit.tasks.decoys import DecoySettings
from affidavit.tasks.digest import task_digest
from affidavit.tasks.errors import TaskError
from affidavit.tasks.git import run_git
from affidavit.tasks.graders import DEFAULT_GRADERS, MOST_WEIGHT, GraderSpec
from affidavit.tasks.harbor import Artifact
from affidavit.tasks.health import HealthCheck, image_health_check
from affidavit.tasks.importing import ImportedTask, import_harbor
from affidavit.tasks.json_records import read_json_records
from affidavit.tasks.labels import Labels, read_labels
from affidavit.tasks.line_ends import CRLF, has_crlf
from affidavit.tasks.mcp import McpServer
from affidavit.tasks.parts import (
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
from affidavit.tasks.rootfs import Rootfs, TaskUser
from affidavit.tasks.steps import SETUP, RewardStrategy, Step
from affidavit.tasks.swebench import import_swebench
from affidavit.tasks.task import Task, distinct, find_tasks, load_task

__all__ = [
    "CRLF",
    "DEFAULT_GRADERS",
    "MOST_WEIGHT",
    "SETUP",
    "Artifact",
    "DeclaredContract",
    "DecoySettings",
    "GraderSpec",
    "HealthCheck",
    "ImportedTask",
    "Labels",
    "McpServer",
    "Profile",
    "PublishedContract",
    "RewardStrategy",
    "Rootfs",
    "Scoring",
    "Step",
    "Task",
    "TaskEnvironment",
    "TaskError",
    "TaskLimits",
    "TaskNetwork",
    "TaskSolution",
    "TaskTests",
    "TaskUser",
    "distinct",
    "find_tasks",
    "has_crlf",
    "image_health_check",
    "import_harbor",
    "import_swebench",
    "load_task",
    "read_json_records",
    "read_labels",
    "run_git",
    "task_digest",
]
