"""A median with an interval that supposes no distribution of the values."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Median:
    """A median and its interval of 95 % confidence, both ends included."""

    value: float
    low: float
    high: float


def end_of_interval(count: int) -> int:
    """Which of so many values is the lower end of their median's interval: 1 is the smallest.

    It is the sign test's: the largest k for which a binomial variable of `count` tosses is below k with a probability
    of at most 2.5 % (Thompson, On confidence ranges for the median, Annals of Mathematical Statistics 7, 1936). The
    upper end is the k-th largest.

    Args:
        count: at least six.

    Raises:
        ValueError: there are fewer.
    """
    below, k = 0.0, 0
    while (below := below + math.comb(count, k) / 2**count) <= (1 - CONFIDENCE) / 2:
        k += 1
    if k == 0:
        raise ValueError(f"{count} values are too few for an interval")
    return k


def median_of(values: Sequence[float]) -> Median:
    """The median of values that are independent of each other.

    Args:
        values: at least six.

    Raises:
        ValueError: there are fewer.
    """
    k, ordered = end_of_interval(len(values)), sorted(values)
    return Median(statistics.median(ordered), ordered[k - 1], ordered[-k])
