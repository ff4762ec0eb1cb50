"""Executors run the trials of a run; this one uses threads of its own process."""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol

from affidavit.evaluation.active_sandboxes import Interrupted
from affidavit.evaluation.result import TrialResult
from affidavit.evaluation.stages import Machinery
from affidavit.evaluation.steps import run_in_steps
from affidavit.evaluation.trial import run_trial
from affidavit.evaluation.trial_plan import TrialPlan
from affidavit.runs import Ledger

_logger = logging.getLogger(__name__)

_WAIT_S = 0.2


class Watcher(Protocol):
    """Is notified when trials begin and end; called by one thread at a time."""

    def began(self, plan: TrialPlan) -> None:
        """A trial begins."""

    def ended(self, plan: TrialPlan, result: TrialResult) -> None:
        """A trial has ended."""


class Executor(Protocol):
    """Runs trials."""

    def execute(self, plans: Sequence[TrialPlan], watcher: Watcher) -> None:
        """Run trials, and return when all are done.

        Args:
            plans: of the trials that have not ended yet.
            watcher: is notified of each.

        Raises:
            KeyboardInterrupt: the run was interrupted; no sandbox is left.
            EvidenceError: the ledger can't be written.
        """


@dataclass(frozen=True)
class ThreadExecutor:
    """Runs trials in threads of this process.

    Attributes:
        machinery: makes their sandboxes and signs their evidence.
        ledger: records them.
        workers: most trials at the same time, at least 1.
    """

    machinery: Machinery
    ledger: Ledger
    workers: int = 1

    def execute(self, plans: Sequence[TrialPlan], watcher: Watcher) -> None:
        """See `Executor.execute`."""
        telling = threading.Lock()

        def run(plan: TrialPlan) -> TrialResult:
            with telling:
                watcher.began(plan)
            play = run_in_steps if plan.task.steps else run_trial
            return play(plan, self.machinery, self.ledger.trial(plan.trial.name))

        workers = max(1, min(self.workers, len(plans)))
        with ThreadPoolExecutor(workers, thread_name_prefix="trial") as pool:
            futures = {pool.submit(run, plan): plan for plan in plans}
            try:
                left = set(futures)
                while left:
                    # A signal that arrives just before a wait does not interrupt it, so waits are short.
                    done, left = wait(left, _WAIT_S, FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        _logger.info(
                            "%s #%d: %s in %d ms",
                            result.task_id,
                            result.trial,
                            result.judgement.verdict,
                            result.duration_ms,
                        )
                        with telling:
                            watcher.ended(futures[future], result)
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                self.machinery.live.stop()
                if isinstance(error, Interrupted):
                    raise KeyboardInterrupt from None
                raise
