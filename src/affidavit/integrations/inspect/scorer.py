"""A scorer that takes Affidavit's own verdict."""

from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState
from inspect_ai.util import sandbox

from affidavit.integrations.inspect.sandbox import AffidavitSandbox


@scorer(metrics=[mean(), stderr()])
def affidavit_scorer() -> Scorer:
    """The score of the task's graders, hidden tests and control, in sandboxes of their own; 0 after a violation, and
    none where nobody can know."""

    async def score(state: TaskState, target: Target) -> Score | None:
        judgement = await sandbox().as_type(AffidavitSandbox).grade()
        explanation = "\n".join([judgement.verdict, *judgement.reasons])
        if judgement.score is None:
            return Score.unscored(reason=f"affidavit: {judgement.verdict}", explanation=explanation)
        return Score(value=judgement.score, explanation=explanation)

    return score
