"""The job plug-in, which notifies environments when the agent begins and ends."""

from typing import Any

from harbor.job import Job
from harbor.models.job.plugin import BaseJobPlugin
from harbor.models.job.result import JobResult
from harbor.trial.hooks import TrialHookEvent

from affidavit.integrations.harbor.errors import NOT_RETRIED, AffidavitError
from affidavit.integrations.harbor.watch import Watched, trials

VERIFIER = "affidavit.integrations.harbor:Verifier"
"""The import path that a job must give its verifier."""


class Plugin(BaseJobPlugin):
    """``harbor run --plugin affidavit.integrations.harbor:Plugin``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._job: Job | None = None

    async def on_job_start(self, job: Job) -> None:
        """Listen to the job's trials."""
        self._job = job
        retry = job.config.retry
        retry.exclude_exceptions = {*(retry.exclude_exceptions or ()), *NOT_RETRIED}
        job.on_environment_started(self._environment)
        job.on_agent_started(self._agent_begins)
        job.on_agent_ended(self._agent_ends)
        job.on_trial_ended(self._trial_ends)

    async def on_job_end(self, job_result: JobResult) -> None:
        """Does nothing: each trial has ended already."""

    async def _environment(self, event: TrialHookEvent) -> None:
        assert self._job is not None
        agent, verifier = event.config.agent, event.config.verifier
        name = agent.name or agent.import_path or "agent"
        identity = agent.model_dump_json(include={"name", "import_path", "model_name", "kwargs"})
        problem = None
        if not verifier.disable and verifier.import_path != VERIFIER:
            problem = f"Affidavit's environment needs its verifier: --verifier {VERIFIER}"
        trials[event.trial_id] = Watched(
            job_dir=self._job.job_dir,
            name=event.trial_name,
            key=f"{event.task_name} {identity}",
            # Alone, ``oracle`` is Affidavit's name for a task's own solution, which no session accepts.
            agent=f"harbor:{name}",
            most=self._job.config.n_attempts,
            problem=problem,
        )

    async def _agent_begins(self, event: TrialHookEvent) -> None:
        watched = trials.get(event.trial_id)
        if watched is not None and watched.environment is not None:
            watched.environment.begin_agent()

    async def _agent_ends(self, event: TrialHookEvent) -> None:
        watched = trials.get(event.trial_id)
        if watched is None or watched.environment is None:
            raise AffidavitError("the agent has ended in a sandbox that Affidavit does not know")
        await watched.environment.end_agent()

    async def _trial_ends(self, event: TrialHookEvent) -> None:
        trials.pop(event.trial_id, None)
