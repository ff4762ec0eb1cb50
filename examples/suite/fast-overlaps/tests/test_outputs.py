"""Small and large inputs; the clock is that of the tests' process, and a result is read before it is stopped."""

import random
import time

import overlaps

# Far more than any code needs whose time does not grow with the square, on a machine that is busy with other things.
LIMIT_S = 20.0
SIZE = 60_000


def bookings_of(seed, size, span, longest):
    draw = random.Random(seed)
    return [(start, start + draw.randint(1, longest)) for start in (draw.randrange(span) for _ in range(size))]


def peak(bookings):
    """A sweep over the counted moments: another way than that of the solution."""
    changes = [0] * (max(end for _, end in bookings) + 2)
    for start, end in bookings:
        changes[start] += 1
        changes[end] -= 1
    running, best = 0, (0, 0)
    for moment, change in enumerate(changes):
        running += change
        if running > best[0]:
            best = (running, moment)
    return best


def test_nothing():
    assert (overlaps.busiest([]), overlaps.clashes([])) == ((0, 0), 0)


def test_touching_bookings_do_not_overlap():
    assert overlaps.busiest([(1, 3), (3, 5), (5, 9)]) == (1, 1)
    assert overlaps.clashes([(1, 3), (3, 5), (5, 9)]) == 0


def test_small_cases():
    assert overlaps.busiest([(8, 9), (1, 4), (2, 6), (3, 5)]) == (3, 3)
    assert overlaps.clashes([(8, 9), (1, 4), (2, 6), (3, 5)]) == 3


def test_equal_bookings_and_negative_moments():
    assert overlaps.busiest([(-5, -1), (-5, -1), (-9, 7)]) == (3, -5)
    assert overlaps.clashes([(-5, -1), (-5, -1), (-9, 7)]) == 3


def test_input_is_left_alone():
    bookings = [(8, 9), (1, 4)]
    overlaps.busiest(bookings)
    overlaps.clashes(bookings)
    assert bookings == [(8, 9), (1, 4)]


def test_many_bookings_are_counted_right_and_fast():
    seed = random.SystemRandom().getrandbits(64)
    bookings = bookings_of(seed, SIZE, 1_000_000, 500)
    began = time.monotonic()
    most, first = overlaps.busiest(bookings)
    found = (int(most), int(first))
    took = time.monotonic() - began
    assert found == peak(bookings)
    assert took < LIMIT_S


def test_many_clashes_are_counted_right_and_fast():
    seed = random.SystemRandom().getrandbits(64)
    bookings = bookings_of(seed, SIZE, 1_000_000, 500)
    # A pair clashes unless one ends before the other starts: count those through the ends, bucket by bucket.
    ended, running = [0] * 1_000_501, 0
    for _, end in bookings:
        ended[end] += 1
    for moment in range(len(ended)):
        running += ended[moment]
        ended[moment] = running
    apart = sum(ended[start] for start, _ in bookings)
    began = time.monotonic()
    count = int(overlaps.clashes(bookings))
    took = time.monotonic() - began
    assert count == SIZE * (SIZE - 1) // 2 - apart
    assert took < LIMIT_S
