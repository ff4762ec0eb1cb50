"""Which evals the hooks see."""

from inspect_ai._util.error import PrerequisiteError


class RunningTasks:
    """The tasks that run in this process and that Affidavit's hooks know."""

    def __init__(self) -> None:
        self._cleaned: dict[str, bool] = {}

    def begin(self, run_id: str, *, cleaned: bool) -> None:
        """A task of a run begins; `cleaned`: its sandboxes are cleaned up."""
        self._cleaned[run_id] = cleaned and self._cleaned.get(run_id, True)

    def end(self, run_id: str) -> None:
        """A run has ended."""
        self._cleaned.pop(run_id, None)

    def check(self) -> None:
        """Raise PrerequisiteError where a sample's verdict could not be entered."""
        if not self._cleaned:
            raise PrerequisiteError(
                "the affidavit sandbox needs Affidavit's hooks, and Inspect has not called them: they freeze the "
                "sandbox before scoring"
            )
        if not all(self._cleaned.values()):
            raise PrerequisiteError(
                "the affidavit sandbox enters its verdict when it is cleaned up: leave --no-sandbox-cleanup out"
            )


running_tasks = RunningTasks()
"""Of this process."""
