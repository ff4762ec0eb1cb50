"""Rates, means and what a number of trials can show, against published values."""

import pytest

from affidavit.runs import clustered_mean, detectable_effect, wilson


def test_wilson_against_published_values() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    found = wilson(81, 263, 0.95)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    found = wilson(0, 20, 0.95)
    assert (found.value, found.low, found.high) == (0, 0, pytest.approx(0.1611, abs=1e-4))
    assert wilson(0, 0, 0.95).value is None


def test_trials_that_come_out_alike_count_once() -> None:
    alike = clustered_mean({"a": [1, 1, 1, 1], "b": [0, 0, 0, 0], "c": [1, 1, 1, 1], "d": [0, 0, 0, 0]}, 0.95)
    single = clustered_mean({"a": [1], "b": [0], "c": [1], "d": [0]}, 0.95)
    assert (alike.value, alike.low, alike.high) == (single.value, single.low, single.high)
    mixed = clustered_mean({name: [1, 0, 1, 0] for name in "abcd"}, 0.95)
    assert (mixed.value, mixed.low, mixed.high) == (0.5, 0.5, 0.5)


def test_one_task_has_no_interval() -> None:
    assert clustered_mean({"a": [1, 0]}, 0.95).low is None
    assert clustered_mean({}, 0.95).value is None


def test_the_minimum_detectable_effect() -> None:
    # (1.96 + 0.8416) * sqrt(2 * 0.25 / n)
    found = detectable_effect(10, 5, 0.95, 0.8)
    assert (found.independent, found.alike) == (pytest.approx(0.2802, abs=1e-4), pytest.approx(0.6265, abs=1e-4))
    assert detectable_effect(2, 1, 0.95, 0.8).independent is None
