#!/bin/bash
set -euo pipefail

cat > /workspace/src/nearest.py <<'PY'
"""The nearest of many values."""

from bisect import bisect_left


def nearest(values, queries):
    """For each query the value that is nearest to it; of two that are equally near, the smaller."""
    ordered = sorted(values)
    found = []
    for query in queries:
        at = bisect_left(ordered, query)
        near = ordered[max(0, at - 1) : at + 1]
        found.append(min(near, key=lambda value: (abs(value - query), value)))
    return found
PY
