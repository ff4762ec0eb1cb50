"""Harbor's verifier, which returns Affidavit's verdict."""

from harbor.models.verifier.result import VerifierResult
from harbor.verifier.base import BaseVerifier

from affidavit.integrations.harbor.environment import Environment
from affidavit.integrations.harbor.errors import AffidavitError, NotCredited

REWARD = "reward"
"""The key that Harbor's own verifier uses for ``reward.txt``."""


class Verifier(BaseVerifier):
    """Grades the agent's work in clean sandboxes, never in the agent's own. The reward is the score that counts: 0
    after a violation."""

    async def verify(self) -> VerifierResult:
        """The reward of the trial.

        Raises:
            AffidavitError: the trial did not run in Affidavit's environment.
            NotCredited: the verdict is ``inconclusive`` or ``error``.
        """
        if not isinstance(self.environment, Environment):
            raise AffidavitError(
                "Affidavit's verifier needs its environment: --env affidavit.integrations.harbor:Environment"
            )
        judgement = await self.environment.conclude()
        if judgement.verdict == "violation":
            return VerifierResult(rewards={REWARD: 0.0})
        if judgement.verdict not in ("pass", "fail") or judgement.score is None:
            raise NotCredited(f"{judgement.verdict}: {'; '.join(judgement.reasons[:3])}"[:500])
        return VerifierResult(rewards={REWARD: judgement.score})
