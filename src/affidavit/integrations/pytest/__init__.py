"""pytest plug-in: tests run agents on tasks.

pytest loads it by the entry point ``pytest11``. The rest of Affidavit is imported when a test first uses a fixture.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from affidavit import RunOptions, TrialResult

_MARKER = (
    "affidavit(task, agent=None, command=None, options=None): the trial of the fixture affidavit_trial: a task's "
    "folder, relative to the test's file, and an agent by name or as a shell command"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--affidavit-out``."""
    group = parser.getgroup("affidavit")
    group.addoption("--affidavit-out", metavar="DIR", help="folder that keeps the runs' evidence (temporary otherwise)")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def affidavit_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Callable[..., TrialResult]":
    """Runs an agent on a task, once: ``affidavit_run(task, agent="oracle")`` or ``affidavit_run(task, command="…")``.

    The task's folder may be relative to the test's file. ``options`` takes `affidavit.RunOptions`; its ``out`` is
    replaced, and ``trials`` is 1. The result is an `affidavit.TrialResult`. Task, verdict, score and bundle become
    properties of the test, which JUnit reports include.

    The function raises `affidavit.AffidavitError` if the run can't be made as asked.
    """

    def run(
        task: Path | str, agent: str | None = None, command: str | None = None, options: "RunOptions | None" = None
    ) -> "TrialResult":
        from dataclasses import replace

        import affidavit

        if (agent is None) == (command is None):
            raise pytest.UsageError("affidavit: give an agent or a command, not both or neither")
        chosen = affidavit.Agent.shell(command) if command is not None else agent
        assert chosen is not None
        kept = request.config.getoption("--affidavit-out")
        out = request.config.invocation_params.dir / kept if kept else tmp_path_factory.mktemp("affidavit")
        wanted = replace(options or affidavit.RunOptions(), out=out, trials=1)
        # A folder of several tasks is refused here, before anything is run.
        folder = affidavit.open_task(request.path.parent / task).path
        (trial,) = affidavit.run(folder, chosen, wanted).trials
        request.node.user_properties += [
            ("affidavit_task", trial.task_id),
            ("affidavit_verdict", trial.judgement.verdict.value),
            ("affidavit_score", trial.judgement.score),
            ("affidavit_bundle", str(trial.bundle)),
        ]
        return trial

    return run


@pytest.fixture
def affidavit_trial(request: pytest.FixtureRequest, affidavit_run: "Callable[..., TrialResult]") -> "TrialResult":
    """The trial of the marker ``affidavit``. If it is inconclusive or an error, the test is an error."""
    marker = request.node.get_closest_marker("affidavit")
    if marker is None:
        raise pytest.UsageError("affidavit_trial: mark the test with @pytest.mark.affidavit(task=…, agent=…)")
    trial = affidavit_run(*marker.args, **marker.kwargs)
    verdict = trial.judgement.verdict.value
    if verdict in ("inconclusive", "error"):
        pytest.fail(f"{trial.task_id}: {verdict}: {'; '.join(trial.judgement.reasons)}", pytrace=False)
    return trial
