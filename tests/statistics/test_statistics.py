"""Intervals against scipy, and against published and independently computed figures."""

import math
import random

import pytest
from scipy import stats

from affidavit import statistics


@pytest.mark.parametrize(("successes", "count"), [(0, 1), (0, 10), (1, 1), (3, 10), (9, 10), (10, 10), (57, 981)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_that_of_scipy(successes: int, count: int, level: float) -> None:
    expected = stats.binomtest(successes, count).proportion_ci(level, "wilson")
    found = statistics.wilson(successes, count, level)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_is_that_of_newcombe_1998() -> None:
    # Newcombe, Statistics in Medicine 17:857, Table I, method 3: 81/263, 15/148, 0/20, 1/29.
    table = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (successes, count), expected in table.items():
        found = statistics.wilson(successes, count)
        assert (round(found.low, 4), round(found.high, 4)) == expected


@pytest.mark.parametrize(("successes", "count"), [(1, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_what_is_no_rate(successes: int, count: int) -> None:
    with pytest.raises(ValueError, match="are no rate"):
        statistics.wilson(successes, count)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 30, 199, 1000])
def test_student_is_that_of_scipy(degrees: int) -> None:
    for t in (-3.0, -0.5, 0.0, 0.1, 1.0, 2.5, 40.0):
        assert statistics.student_distribution(t, degrees) == pytest.approx(stats.t.cdf(t, degrees), abs=1e-12)
    for level in (0.5, 0.8, 0.975, 0.995):
        assert statistics.student_quantile(level, degrees) == pytest.approx(stats.t.ppf(level, degrees), rel=1e-9)


def test_clustered_standard_error_of_single_values_is_the_plain_one() -> None:
    values = [0.0, 1.0, 1.0, 0.25, 0.5, 1.0]
    assert statistics.clustered_standard_error([[v] for v in values]) == pytest.approx(stats.sem(values))


def test_clustered_standard_error_by_hand() -> None:
    # Mean 0.5; the sums of deviations are 1, -1, 0: sqrt((1 + 1 + 0) * 3/2) / 6.
    found = statistics.clustered_standard_error([[1, 1], [0, 0], [1, 0]])
    assert found == pytest.approx(math.sqrt(3) / 6)
    # The same values taken for independent would look more certain than they are.
    assert found > stats.sem([1, 1, 0, 0, 1, 0])
    assert statistics.clustered_standard_error([[1, 0, 1]]) is None


def test_clustered_intervals_cover_where_plain_ones_do_not() -> None:
    """The point of Miller's simulation: trials of one task resemble each other."""
    chance = random.Random(7)
    runs, covered, plain = 400, 0, 0
    for _ in range(runs):
        rates = [chance.choice((0.05, 0.95)) for _ in range(20)]
        clusters = [[float(chance.random() < rate) for _ in range(10)] for rate in rates]
        found = statistics.estimate(clusters)
        assert found.interval is not None
        covered += found.interval.low <= 0.5 <= found.interval.high
        naive = statistics.wilson(sum(map(sum, clusters)), 200)
        plain += naive.low <= 0.5 <= naive.high
    assert covered / runs >= 0.93
    assert plain / runs < 0.7


def test_estimate_of_one_trial_a_task_is_wilson() -> None:
    found = statistics.estimate([[1], [0], [1], [1]])
    assert found.interval == statistics.wilson(3, 4)
    assert (found.value, found.count, found.clusters, found.effective) == (0.75, 4, 4, 4)


def test_estimate_without_spread_counts_tasks() -> None:
    """Ten trials of each of two tasks, all passed, are no twenty independent successes."""
    found = statistics.estimate([[1.0] * 10, [1.0] * 10])
    assert found.interval == statistics.wilson(2, 2)
    assert statistics.estimate([[1.0] * 50]).interval == statistics.wilson(1, 1)


def test_estimate_of_nothing_has_no_value() -> None:
    assert statistics.estimate([]) == statistics.estimate([[]]) == statistics.Estimate(None, None, None, 0, 0, 0.0)
    with pytest.raises(ValueError, match="not from 0 to 1"):
        statistics.estimate([[1.5]])


def test_the_minimum_detectable_effect() -> None:
    # (1.96 + 0.8416) * sqrt(2 * 0.25 / n)
    found = statistics.detectable_effect(10, 5, 0.95, 0.8)
    assert (found.independent, found.alike) == (pytest.approx(0.2802, abs=1e-4), pytest.approx(0.6265, abs=1e-4))
    assert statistics.detectable_effect(2, 1, 0.95, 0.8).independent is None
