"""A session's verdict as a peer's log holds it."""

from typing import Any

from affidavit.client import Bundle, Judgement

# In a log; the bundle has them all.
_MOST = 20
_MOST_LETTERS = 500


def verdict_facts(judgement: Judgement, bundle: Bundle) -> dict[str, Any]:
    """Verdict, scores, reasons and violations, bounded, and where the evidence is: values that JSON can hold.

    Args:
        judgement: Affidavit's.
        bundle: with the evidence.
    """
    return {
        "verdict": judgement.verdict,
        "score": judgement.score,
        "raw_score": judgement.raw_score,
        "assurance": judgement.assurance,
        "reasons": [reason[:_MOST_LETTERS] for reason in judgement.reasons[:_MOST]],
        "violations": [
            {"rule": one["rule"], "severity": one["severity"], "message": one["message"][:_MOST_LETTERS]}
            for one in judgement.violations[:_MOST]
        ],
        "attempts": len(judgement.attempts),
        "bundle": {"digest": bundle.digest, "path": bundle.path},
    }
