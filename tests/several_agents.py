"""Two agents on several tasks, for tests and as a process of its own that can be killed.

python tests/several_agents.py OUT TRIALS TASK...
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from affidavit.evaluation import Agent, Job, RunOptions, run_jobs
from affidavit.tasks import load_task
from harness import EBPF, Silent

_COMMAND = "test $((AFFIDAVIT_SEED % 2)) = 0 && echo 42 >answer || echo 41 >answer"
AGENTS = (Agent("cmd", _COMMAND), Agent("other", f"sleep 0; {_COMMAND}"))


def options(out: Path, trials: int) -> RunOptions:
    """Of a run of theirs."""
    return RunOptions(EBPF.runtime, EBPF.recorder, trials, 2, out)


def all_jobs(tasks: Sequence[Path]) -> list[Job]:
    """Each agent put to each task."""
    return [Job(load_task(task), agent) for task in tasks for agent in AGENTS]


if __name__ == "__main__":
    run_jobs(all_jobs([*map(Path, sys.argv[3:])]), options(Path(sys.argv[1]), int(sys.argv[2])), Silent())
