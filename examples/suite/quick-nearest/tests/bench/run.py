"""Reads values and queries, and writes what the module finds."""

import sys

sys.path.insert(0, "/workspace/src")

from nearest import nearest

values, queries = ([int(word) for word in line.split()] for line in sys.stdin)
print(*nearest(values, queries))
