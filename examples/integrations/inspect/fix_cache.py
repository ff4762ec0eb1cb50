"""An Inspect task whose samples run in sandboxes by Affidavit: mend a cache, in `examples/suite/fix-ttl-cache`.

The first scorer is of the usual kind: it runs the code that the agent left, through `sandbox()`. The second one is
Affidavit's own: hidden tests with a control. Both are bound by the verdict.
"""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.agent import react
from inspect_ai.dataset import Sample
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState
from inspect_ai.tool import bash
from inspect_ai.util import sandbox

from affidavit.integrations.inspect import affidavit_scorer

FOLDER = Path(__file__).resolve().parents[2] / "suite" / "fix-ttl-cache"
CHECK = """
import sys
sys.path.insert(0, "/workspace/src")
from ttlcache import TTLCache
now = [0]
cache = TTLCache(2, 10, clock=lambda: now[0])
cache.put("a", 1)
now[0] = 10
sys.exit("a" in cache or len(cache) != 0)
"""


@scorer(metrics=[accuracy()])
def expires() -> Scorer:
    """Whether an entry is gone when its time is up."""

    async def score(state: TaskState, target: Target) -> Score:
        result = await sandbox().exec(["python3", "-c", CHECK], timeout=60)
        return Score(value=CORRECT if result.success else INCORRECT, explanation=result.stderr[-2000:])

    return score


@task
def fix_cache() -> Task:
    """Mend the cache."""
    return Task(
        dataset=[Sample(input=(FOLDER / "instruction.md").read_text(), id="fix-ttl-cache")],
        solver=react(tools=[bash(timeout=30)]),
        scorer=[expires(), affidavit_scorer()],
        sandbox=("affidavit", str(FOLDER)),
        message_limit=50,
    )
