"""The statistics of reports: intervals for scores, repeated trials, and tests between two agents.

Every function is pure and small, so that a reader can check it against its source:

* Wilson, Probable inference, JASA 22 (1927): the interval for a rate.
* Miller, Adding Error Bars to Evals, arXiv:2411.00640: standard errors clustered by task, paired differences.
* Korn and Graubard, Confidence intervals for proportions with small expected counts, Survey Methodology 24 (1998): the
  effective sample size where observations come in clusters.
* McNemar, Psychometrika 12 (1947), in its exact (binomial) form.
* Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6 (1979).
* Chen et al., arXiv:2107.03374: pass@k. Yao et al., arXiv:2406.12045: pass^k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from affidavit.runs import wilson_bounds

LEVEL = 0.95
"""Confidence of every interval."""

_BISECTIONS = 200
# What rounding leaves of a standard error of zero.
_NO_SPREAD = 1e-9


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
    return Interval(*wilson_bounds(successes, count, level))


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
        if error is not None and error > _NO_SPREAD and 0 < mean < 1:
            shrink = NormalDist().inv_cdf(0.5 + level / 2) / student_quantile(0.5 + level / 2, len(filled) - 1)
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


@dataclass(frozen=True)
class Difference:
    """A mean paired difference.

    Attributes:
        value: the mean; None where there are no pairs.
        interval: Student's, over pairs; None with fewer than two, and where all differences are the same: then nothing
            is known of their spread, and an interval without width would claim certainty.
        standard_error: None with fewer than two pairs.
        pairs: how many there are.
    """

    value: float | None
    interval: Interval | None
    standard_error: float | None
    pairs: int


def paired_difference(differences: Sequence[float], level: float = LEVEL) -> Difference:
    """The mean of differences, one a task: the task is the cluster, and every task weighs the same.

    Args:
        differences: from -1 to 1.
        level: from 0 to 1, exclusive.
    """
    count = len(differences)
    if not count:
        return Difference(None, None, None, 0)
    mean = fmean(differences)
    error = clustered_standard_error([[value] for value in differences])
    if error is None or error < _NO_SPREAD:
        return Difference(mean, None, error, count)
    half = student_quantile(0.5 + level / 2, count - 1) * error
    return Difference(mean, Interval(max(-1.0, mean - half), min(1.0, mean + half)), error, count)


def exact_mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    Args:
        first_only: pairs in which only the first succeeded.
        second_only: pairs in which only the second did.

    Returns:
        1 where no pair differs.

    Raises:
        ValueError: a count is negative.
    """
    if first_only < 0 or second_only < 0:
        raise ValueError("a negative number of pairs")
    count = first_only + second_only
    tail = sum(math.comb(count, k) for k in range(min(first_only, second_only) + 1))
    # A quotient of whole numbers: 2**count has no float for many pairs.
    return min(1.0, 2 * tail / (1 << count))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for all of them being asked, in the same order (Holm's step-down procedure)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def pass_at_k(count: int, passed: int, k: int) -> float:
    """The chance that at least one of `k` trials passes: the unbiased estimator of Chen et al.

    Raises:
        ValueError: not 0 ≤ `passed` ≤ `count` and 1 ≤ `k` ≤ `count`.
    """
    _check_counts(count, passed, k)
    return 1 - math.comb(count - passed, k) / math.comb(count, k)


def pass_hat_k(count: int, passed: int, k: int) -> float:
    """The chance that all of `k` trials pass (pass^k): the unbiased estimator of Yao et al.

    Raises:
        ValueError: as `pass_at_k`.
    """
    _check_counts(count, passed, k)
    return math.comb(passed, k) / math.comb(count, k)


def _check_counts(count: int, passed: int, k: int) -> None:
    if not 0 <= passed <= count or not 1 <= k <= count:
        raise ValueError(f"k = {k} of {count} trials, {passed} passed")
