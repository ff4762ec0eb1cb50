"""Hidden tests whose result is one number, the reward that tests/test.sh writes."""

from collections.abc import Mapping

from affidavit.grading.authorship import Authorship
from affidavit.grading.grader import Assurance, Evidence, Grade
from affidavit.grading.reward import REWARD_FILES, Reward, parse_reward
from affidavit.grading.test_run.blame import blame_author, blame_peek, blame_tampering
from affidavit.grading.test_run.control_outcome import ControlOutcome, RewardRound, judge_rewards, whose_reference
from affidavit.grading.test_run.plan import VERIFIER_LOGS
from affidavit.grading.verifier_record import Control, Left, VerifierRecord

REWARD_PATHS = tuple(f"{VERIFIER_LOGS}/{name}" for name in REWARD_FILES)
_MOST_SHOWN = 8
LATE = "tests/test.sh was still running when its time was up; raise [verifier].timeout_sec if it needs more"


def grade_reward(record: VerifierRecord, told: Authorship) -> tuple[Grade, ControlOutcome]:
    """The reward, who wrote it, and what the controls say; see :func:`grade_run`.

    Args:
        record: as there.
        told: who wrote REWARD_PATHS, from the grader's record.
    """
    writes = told.writes
    foreign = [write for write in writes if write.agents_code and write.done]
    rounds = record.rounds
    left = [_given(one.left) for one in rounds]
    values = [None if reward is None else reward.value for reward in left]
    given = [value for value in values if value is not None]
    score = min(given) if len(given) == len(values) else None
    separation = record.separation
    words = sum(one.left.words for one in rounds) if separation.separate else 0
    if score and words and not separation.words:
        said = f"tests/test.sh took something on the word of the solution alone, {words} times, "
        return Grade(0.0, f"{said}which the task's own solution does without", assurance="separate"), ControlOutcome()
    word = judge_rewards([_control(one.control) for one in rounds], score) if score else ControlOutcome()
    findings = (
        *blame_author(writes, record.first.left.exit),
        *blame_peek(told),
        *blame_tampering(told),
        *word.findings,
    )
    if any(one.left.exit.timed_out for one in rounds):
        # A reward that it wrote before may not be its last word.
        return Grade(score, "too late", error=LATE, findings=findings, assurance="outcome"), word
    if score is None:
        error = next(one.left.error for one, value in zip(rounds, values, strict=True) if value is None)
        return Grade(None, error=error or "no reward", findings=findings), word
    first = left[0].named if left[0] is not None else {}
    others = f" ({_figures(first)})" if len(first) > 1 else ""
    said = f"tests/test.sh gave {', then '.join(f'{value:g}' for value in given)}{others}{word.note}"
    details = {"rewards": dict(first)} if first else {}
    evidence = Evidence(tuple(write.seq for write in writes[:20]), stage="grader", details=details)
    unguarded = record.services or bool(told.loaded and record.computed)
    assurance: Assurance = "control" if record.first.control and not word.note and not unguarded else "outcome"
    if separation.separate and not words:
        assurance = "separate"
    if foreign and not findings:
        return Grade(
            score,
            said,
            error=f"the process that wrote the reward had itself loaded {foreign[0].entered}, which the agent wrote; "
            "let tests/test.sh run the agent's code in a process of its own and write the reward from outside of it",
            evidence=evidence,
            assurance=assurance,
        ), word
    if not any(write.done for write in writes):
        unproven = "the grader's record does not show who wrote the reward"
        return Grade(score, said, evidence=evidence, unproven=unproven, findings=findings, assurance=assurance), word
    return Grade(score, said, error=word.error, evidence=evidence, findings=findings, assurance=assurance), word


def _given(left: Left | None) -> Reward | None:
    reward = None if left is None else left.reward
    return None if reward is None else parse_reward(reward.file, reward.raw, reward.name)


def reward_of(left: Left | None) -> float | None:
    """The reward that a run left; None where it left none."""
    reward = _given(left)
    return None if reward is None else reward.value


def _figures(named: Mapping[str, float]) -> str:
    shown = ", ".join(f"{name[:40]} {value:g}" for name, value in list(named.items())[:_MOST_SHOWN])
    return f"{shown}, …" if len(named) > _MOST_SHOWN else shown


def _control(control: Control | None) -> RewardRound:
    if control is None:
        return RewardRound(None)
    references = control.references
    right = next((reward_of(one.right) for one in references if one.right), None)
    wrong = next((reward_of(one.wrong) for one in references if one.wrong), None)
    return RewardRound(reward_of(control.left), bool(references), right, wrong, whose_reference(references))
