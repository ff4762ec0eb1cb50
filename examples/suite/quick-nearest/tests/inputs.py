#!/usr/bin/env python3
"""An input: a line with the values, a line with the queries."""

import random
import sys

draw = random.Random(int(sys.argv[1]))
for size in (draw.randint(2200, 2400), draw.randint(2200, 2400)):
    print(*(draw.randint(-1_000_000, 1_000_000) for _ in range(size)))
