"""The nearest of many values."""


def nearest(values, queries):
    """For each query the value that is nearest to it; of two that are equally near, the smaller."""
    found = []
    for query in queries:
        best = values[0]
        for value in values:
            if (abs(value - query), value) < (abs(best - query), best):
                best = value
        found.append(best)
    return found
