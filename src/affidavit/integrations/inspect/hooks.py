"""What must happen at moments that only hooks know."""

from inspect_ai.hooks import Hooks, RunEnd, SampleAttemptStart, SampleScoring, TaskStart, hooks
from inspect_ai.solver._task_state import sample_state
from inspect_ai.util import sandbox

from affidavit.integrations.inspect.sandbox import AffidavitSandbox
from affidavit.integrations.inspect.watch import running_tasks


@hooks(name="affidavit", description="Freezes sandboxes by Affidavit before their samples are scored")
class AffidavitHooks(Hooks):
    """Inspect swallows what hooks raise: so each of them leaves the sandbox in a state in which nothing is credited."""

    async def on_task_start(self, data: TaskStart) -> None:
        """Know of the task."""
        running_tasks.begin(data.run_id, cleaned=data.spec.config.sandbox_cleanup is not False)

    async def on_run_end(self, data: RunEnd) -> None:
        """Forget it. A task that fails has no end of its own."""
        running_tasks.end(data.run_id)

    async def on_sample_attempt_start(self, data: SampleAttemptStart) -> None:
        """From here on the agent acts."""
        own = _own_sandbox()
        if own is not None:
            own.begin_agent()

    async def on_sample_scoring(self, data: SampleScoring) -> None:
        """And from here on it does not."""
        own = _own_sandbox()
        if own is not None:
            state = sample_state()
            await own.begin_scoring((state.scores if state else None) or ())


def _own_sandbox() -> AffidavitSandbox | None:
    """The sample's sandbox, where it is one of ours."""
    try:
        own: AffidavitSandbox = sandbox().as_type(AffidavitSandbox)
    except (ProcessLookupError, TypeError):
        return None
    return own
