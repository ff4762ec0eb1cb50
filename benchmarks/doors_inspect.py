"""What `doors.py` runs in Inspect AI's own Python; each prints a line of JSON.

python doors_inspect.py verdicts SAMPLES     samples as a list in JSON: id, sandbox and script of each
python doors_inspect.py costs PROVIDER [TASK] --sessions N --execs N
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai import eval as run_eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSample, read_eval_log
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox


@solver
def scripted() -> Solver:
    """An agent that runs the script of its sample."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        await sandbox().exec(["bash", "-c", state.metadata["script"]])
        return state

    return solve


@solver
def repeated(execs: int) -> Solver:
    """An agent that runs ``true`` so many times, and keeps how long each took."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        taken = []
        for _ in range(execs):
            began = time.perf_counter()
            await sandbox().exec(["true"])
            taken.append(time.perf_counter() - began)
        state.metadata["taken"] = taken
        return state

    return solve


@scorer(metrics=[mean()])
def one() -> Scorer:
    """1: what the sandbox says of the sample is what counts here."""

    async def scored(state: TaskState, target: Target) -> Score:
        return Score(value=1)

    return scored


def samples_of(task: Task, at_once: int) -> list[EvalSample]:
    """What came of an eval that asks no model."""
    (log,) = run_eval(task, model="mockllm/model", display="none", log_dir="logs", max_samples=at_once)
    log = read_eval_log(log.location)
    if log.status != "success" or not log.samples:
        raise SystemExit(f"the eval ended as {log.status}: {log.error and log.error.message}")
    return log.samples


def verdicts(file: Path) -> dict[str, Any]:
    """The verdict of each sample."""
    dataset = [
        Sample(input="-", id=wanted["id"], sandbox=tuple(wanted["sandbox"]), metadata={"script": wanted["script"]})
        for wanted in json.loads(file.read_text())
    ]
    found = {}
    for sample in samples_of(Task(dataset=dataset, solver=scripted(), scorer=one()), 2):
        (score,) = (sample.scores or {}).values()
        found[str(sample.id)] = (score.metadata or {})["affidavit"]
    return found


def costs(provider: list[str], sessions: int, execs: int) -> dict[str, list[float]]:
    """Seconds that each command took, and each sample without them."""
    name, *config = provider
    wanted = (name, config[0]) if config else name
    task = Task(
        dataset=[Sample(input="-", id=n) for n in range(sessions)], solver=repeated(execs), scorer=one(), sandbox=wanted
    )
    samples = samples_of(task, 1)
    taken = [sample.metadata["taken"] for sample in samples]
    whole = [sample.total_time or 0.0 for sample in samples]
    return {
        "exec": [second for seconds in taken for second in seconds],
        "session": [total - sum(seconds) for total, seconds in zip(whole, taken, strict=True)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("verdicts", "costs"))
    parser.add_argument("of", nargs="+")
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--execs", type=int, default=1)
    options = parser.parse_args()
    if options.what == "verdicts":
        print(json.dumps(verdicts(Path(options.of[0]))))
    else:
        print(json.dumps(costs(options.of, options.sessions, options.execs)))


if __name__ == "__main__":
    main()
