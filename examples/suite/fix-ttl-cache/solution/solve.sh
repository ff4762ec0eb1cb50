#!/bin/bash
set -euo pipefail

cat > /workspace/src/ttlcache.py <<'PY'
"""A bounded cache whose entries expire."""

import time
from collections import OrderedDict


class TTLCache:
    """Keeps at most `capacity` entries, each for `ttl` seconds, and drops the least recently used first."""

    def __init__(self, capacity, ttl, clock=time.monotonic):
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self.capacity = capacity
        self.ttl = ttl
        self.clock = clock
        self._entries = OrderedDict()

    def _drop_expired(self):
        now = self.clock()
        for key in [key for key, (_, expires) in self._entries.items() if now >= expires]:
            del self._entries[key]

    def put(self, key, value, ttl=None):
        """Store `value`, for `ttl` seconds where given, else for the cache's own time."""
        self._drop_expired()
        if key not in self._entries and len(self._entries) >= self.capacity:
            self._entries.popitem(last=False)
        self._entries[key] = (value, self.clock() + (self.ttl if ttl is None else ttl))
        self._entries.move_to_end(key)

    def get(self, key, default=None):
        """The value of a live entry, which counts as a use of it; `default` where there is none."""
        self._drop_expired()
        if key not in self._entries:
            return default
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def __contains__(self, key):
        """Whether there is a live entry; this does not count as a use."""
        self._drop_expired()
        return key in self._entries

    def __len__(self):
        """How many live entries there are."""
        self._drop_expired()
        return len(self._entries)
PY

cd /workspace
PYTHONPATH=src python3 -m pytest -q tests
