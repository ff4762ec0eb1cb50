"""The report's own statistics against scipy, and against published and independently computed figures."""

import itertools

import pytest
from scipy import stats

from affidavit.report import statistics


def test_paired_difference_is_the_t_interval_of_scipy() -> None:
    differences = [0.5, 0.0, 0.0, 0.25, -0.25, 0.5, 1.0]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    found = statistics.paired_difference(differences)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert statistics.paired_difference([]).value is None
    assert statistics.paired_difference([0.5]).interval is None
    # Without spread an interval would have no width.
    assert statistics.paired_difference([1.0, 1.0, 1.0]).interval is None


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 0), (0, 5), (6, 2), (10, 10), (37, 12), (1200, 1100)])
def test_mcnemar_is_the_binomial_test_of_scipy(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert statistics.exact_mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_by_hand() -> None:
    # Six pairs, all for the first: 2 / 2**6.
    assert statistics.exact_mcnemar(6, 0) == 0.03125
    with pytest.raises(ValueError, match="negative"):
        statistics.exact_mcnemar(-1, 2)


def test_holm_as_r_has_it() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.005), "holm") in R gives 0.03 0.04 0.04 0.02.
    assert statistics.holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert statistics.holm([]) == []
    assert statistics.holm([0.6, 0.9]) == [1.0, 1.0]


@pytest.mark.parametrize(("count", "passed", "k"), [(5, 0, 1), (5, 2, 3), (5, 5, 5), (8, 3, 2), (6, 4, 6)])
def test_pass_at_k_and_pass_hat_k_are_counts_over_all_choices(count: int, passed: int, k: int) -> None:
    choices = list(itertools.combinations([True] * passed + [False] * (count - passed), k))
    assert statistics.pass_at_k(count, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices))
    assert statistics.pass_hat_k(count, passed, k) == pytest.approx(sum(map(all, choices)) / len(choices))


@pytest.mark.parametrize(("count", "passed", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 0), (5, 2, 6)])
def test_pass_at_k_refuses_counts_that_cannot_be(count: int, passed: int, k: int) -> None:
    for function in (statistics.pass_at_k, statistics.pass_hat_k):
        with pytest.raises(ValueError, match="trials"):
            function(count, passed, k)
