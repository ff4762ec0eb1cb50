"""Intervals of rates and means, and what a number of trials can show; for run statements and reports.

Every function is pure and small, so that a reader can check it against its source:

* Wilson, Probable inference, JASA 22 (1927): the interval for a rate.
* Miller, Adding Error Bars to Evals, arXiv:2411.00640: standard errors clustered by task.
* Korn and Graubard, Confidence intervals for proportions with small expected counts, Survey Methodology 24 (1998): the
  effective sample size where observations come in clusters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95
"""Confidence of every interval of a report."""

NO_SPREAD = 1e-9
"""What rounding leaves of a standard error of zero."""

_BISECTIONS = 200
# Of a detectable effect.
_DIGITS = 6


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A mean of values from 0 to 1 with its interval.

    Attributes:
        value: the mean over all values; None where there is none.
        interval: None where there is no value.
        standard_error: clustered; None with fewer than two clusters.
        count: of values.
        clusters: of tasks that they come from.
        effective: how many independent values would be as informative.
    """

    value: float | None
    interval: Interval | None
    standard_error: float | None
    count: int
    clusters: int
    effective: float


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


def wilson(successes: float, count: float, level: float = LEVEL) -> Interval:
    """Wilson's score interval for a rate.

    Args:
        successes: from 0 to `count`; fractional for a mean of scores.
        count: more than 0; may be an effective sample size.
        level: from 0 to 1, exclusive.

    Raises:
        ValueError: there are no observations, or more successes than observations.
    """
    if count <= 0 or not 0 <= successes <= count:
        raise ValueError(f"{successes} successes of {count} are no rate")
    z = normal_quantile(0.5 + level / 2)
    rate, square = successes / count, z * z
    middle = (rate + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count))
    # At the ends the formula gives exactly 0 and 1; rounding may not.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == count else min(1.0, middle + half)
    return Interval(low, high)


def clustered_standard_error(clusters: Sequence[Sequence[float]]) -> float | None:
    """Standard error of the mean over all values, where those of one cluster may resemble each other.

    Miller's formula, with the factor G/(G-1) for few clusters (CR1 of an intercept without the term for regressors).

    Args:
        clusters: the values of each cluster; an empty one counts for nothing.

    Returns:
        None with fewer than two clusters: then nothing is known of how they differ.
    """
    filled = [cluster for cluster in clusters if cluster]
    if len(filled) < 2:
        return None
    count = sum(map(len, filled))
    mean = sum(map(sum, filled)) / count
    total = sum(sum(value - mean for value in cluster) ** 2 for cluster in filled)
    return math.sqrt(total * len(filled) / (len(filled) - 1)) / count


def estimate(clusters: Sequence[Sequence[float]], level: float = LEVEL) -> Estimate:
    """The mean of scores from 0 to 1, one cluster a task, with an interval that holds for few tasks.

    With one value a task this is Wilson's interval. With more it is Wilson's with the effective sample size of Korn and
    Graubard, made smaller where there are few tasks; where the values show no spread, each task counts as one value. A
    fractional score spreads less than a yes or no with the same mean, so the interval is then wider than it need be,
    never narrower.

    Raises:
        ValueError: a value is not from 0 to 1.
    """
    filled = [cluster for cluster in clusters if cluster]
    values = [value for cluster in filled for value in cluster]
    if any(not 0 <= value <= 1 for value in values):
        raise ValueError("a score is not from 0 to 1")
    if not values:
        return Estimate(None, None, None, 0, 0, 0.0)
    count, mean = len(values), min(1.0, math.fsum(values) / len(values))
    error = clustered_standard_error(filled)
    effective = float(count)
    if len(filled) < count:
        effective = float(len(filled))
        if error is not None and error > NO_SPREAD and 0 < mean < 1:
            shrink = normal_quantile(0.5 + level / 2) / student_quantile(0.5 + level / 2, len(filled) - 1)
            effective = min(float(count), max(1.0, mean * (1 - mean) / error**2 * shrink**2))
    return Estimate(mean, wilson(mean * effective, effective, level), error, count, len(filled), effective)


def student_distribution(t: float, degrees: int) -> float:
    """The distribution function of Student's t: Abramowitz and Stegun, 26.7.3 and 26.7.4.

    Raises:
        ValueError: `degrees` is not at least 1.
    """
    if degrees < 1:
        raise ValueError(f"{degrees} degrees of freedom")
    angle = math.atan(abs(t) / math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, cosine) if odd else (1.0, 1.0)
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    if odd:
        inside = 2 / math.pi * (angle + (math.sin(angle) * total if degrees > 1 else 0.0))
    else:
        inside = math.sin(angle) * total
    return 0.5 + math.copysign(inside / 2, t)


def student_quantile(level: float, degrees: int) -> float:
    """The quantile of Student's t.

    Args:
        level: from 0.5, inclusive, to 1, exclusive.
        degrees: of freedom, at least 1.

    Raises:
        ValueError: one of them is out of its range.
    """
    if not 0.5 <= level < 1:
        raise ValueError(f"{level} is not a level from 0.5 to 1")
    low, high = 0.0, 1.0
    while student_distribution(high, degrees) < level:
        low, high = high, high * 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if student_distribution(middle, degrees) < level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def detectable_effect(tasks: int, trials: int, confidence: float, power: float) -> DetectableEffect:
    """What two runs of `tasks` tasks with `trials` trials each can show of each other.

    The difference of two independent rates about one half, where they vary most, by the normal approximation.

    Args:
        confidence: 1 minus the level of the two-sided test.
        power: the chance to find a difference of that size.
    """

    def smallest(independent: int) -> float | None:
        found = (normal_quantile(0.5 + confidence / 2) + normal_quantile(power)) * math.sqrt(0.5 / independent)
        return None if found >= 1 else round(found, _DIGITS)

    return DetectableEffect(smallest(tasks * trials), smallest(tasks), tasks * trials, tasks)


def normal_quantile(level: float) -> float:
    """The quantile of the standard normal distribution; `level` is from 0 to 1, exclusive."""
    return NormalDist().inv_cdf(level)
