"""Numbers about trials: rates with intervals, and what a number of trials can show.

Rates have the interval of E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
J. Am. Stat. Assoc. 22 (1927). Means over several trials of each task have standard errors clustered by task, as in
E. Miller, "Adding Error Bars to Evals", arXiv:2411.00640, section 2.2.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

# Whatever a machine's C library makes of the last digits, these are the same everywhere.
_DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds of its interval; None where there is nothing to estimate from."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class DetectableEffect:
    """The smallest true difference of two pass rates that two runs of a size would show.

    Attributes:
        independent: where the trials of a task are independent of each other; None: no difference would show.
        alike: where all trials of a task come out alike, so that only the number of tasks counts; None as above.
        trials: in one run.
        tasks: in one run.
    """

    independent: float | None
    alike: float | None
    trials: int
    tasks: int


def wilson(successes: int, trials: int, confidence: float) -> Interval:
    """A rate with its Wilson interval."""
    if trials == 0:
        return Interval(None, None, None)
    z = _z(0.5 + confidence / 2)
    rate, square = successes / trials, z * z
    middle = (rate + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials))
    return Interval(_rounded(rate), _rounded(max(0.0, middle - half)), _rounded(min(1.0, middle + half)))


def clustered_mean(by_task: Mapping[str, Sequence[float]], confidence: float) -> Interval:
    """The mean of scores from 0 to 1 over all trials, its standard error clustered by task; without bounds where there
    are fewer than two tasks."""
    scores = [score for task in by_task.values() for score in task]
    if not scores:
        return Interval(None, None, None)
    mean = math.fsum(scores) / len(scores)
    clusters = [task for task in by_task.values() if task]
    if len(clusters) < 2:
        return Interval(_rounded(mean), None, None)
    squares = math.fsum(math.fsum(score - mean for score in task) ** 2 for task in clusters)
    half = _z(0.5 + confidence / 2) * math.sqrt(squares) / len(scores)
    return Interval(_rounded(mean), _rounded(max(0.0, mean - half)), _rounded(min(1.0, mean + half)))


def detectable_effect(tasks: int, trials: int, confidence: float, power: float) -> DetectableEffect:
    """What two runs of `tasks` tasks with `trials` trials each can show of each other.

    The difference of two independent rates about one half, where they vary most, by the normal approximation.

    Args:
        confidence: 1 minus the level of the two-sided test.
        power: the chance to find a difference of that size.
    """

    def smallest(independent: int) -> float | None:
        found = (_z(0.5 + confidence / 2) + _z(power)) * math.sqrt(0.5 / independent)
        return None if found >= 1 else _rounded(found)

    return DetectableEffect(smallest(tasks * trials), smallest(tasks), tasks * trials, tasks)


def _z(quantile: float) -> float:
    return NormalDist().inv_cdf(quantile)


def _rounded(value: float) -> float:
    return round(value, _DIGITS) + 0.0
