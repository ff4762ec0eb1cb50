"""As most benchmarks do it: the module and the baseline are timed in the tests' own process."""

import random
import time

from nearest import nearest


def baseline(values, queries):
    return [min(values, key=lambda value: (abs(value - query), value)) for query in queries]


def test_small_cases():
    assert nearest([3, 9, 6], [0, 10, 7, 8]) == [3, 9, 6, 9]
    assert nearest([4, 2], [3]) == [2]
    assert nearest([5], [1, 9]) == [5, 5]


def test_it_is_fast():
    draw = random.Random(7)
    values, queries = ([draw.randint(-1_000_000, 1_000_000) for _ in range(size)] for size in (1200, 600))
    began = time.perf_counter()
    expected = baseline(values, queries)
    took = time.perf_counter() - began
    began = time.perf_counter()
    found = nearest(values, queries)
    fast = time.perf_counter() - began
    assert found == expected
    assert fast <= took / 4
