"""The statistics of reports alone: repeated trials, and tests between two agents. `affidavit.statistics` has the rest.

Every function is pure and small, so that a reader can check it against its source:

* Miller, Adding Error Bars to Evals, arXiv:2411.00640: paired differences.
* McNemar, Psychometrika 12 (1947), in its exact (binomial) form.
* Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6 (1979).
* Chen et al., arXiv:2107.03374: pass@k. Yao et al., arXiv:2406.12045: pass^k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from affidavit.statistics import LEVEL, NO_SPREAD, Interval, clustered_standard_error, student_quantile


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
    if error is None or error < NO_SPREAD:
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
