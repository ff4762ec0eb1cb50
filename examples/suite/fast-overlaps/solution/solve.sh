#!/bin/bash
set -euo pipefail

cat > /workspace/src/overlaps.py <<'PY'
"""Bookings that overlap."""

from bisect import bisect_right


def busiest(bookings):
    """The largest number of bookings that hold at once, and the first moment of it."""
    starts, ends = sorted(start for start, _ in bookings), sorted(end for _, end in bookings)
    most, first, ended = 0, 0, 0
    for begun, start in enumerate(starts, 1):
        while ends[ended] <= start:
            ended += 1
        if begun - ended > most:
            most, first = begun - ended, start
    return most, first


def clashes(bookings):
    """How many pairs of bookings share a moment."""
    ends = sorted(end for _, end in bookings)
    apart = sum(bisect_right(ends, start) for start, _ in bookings)
    return len(bookings) * (len(bookings) - 1) // 2 - apart
PY
