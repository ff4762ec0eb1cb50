"""Bookings that overlap."""


def busiest(bookings):
    """The largest number of bookings that hold at once, and the first moment of it."""
    most, first = 0, 0
    for start, _ in sorted(bookings):
        number = sum(begin <= start < end for begin, end in bookings)
        if number > most:
            most, first = number, start
    return most, first


def clashes(bookings):
    """How many pairs of bookings share a moment."""
    count = 0
    for index, (start, end) in enumerate(bookings):
        for begin, finish in bookings[index + 1 :]:
            count += start < finish and begin < end
    return count
