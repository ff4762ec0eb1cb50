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

    def put(self, key, value, ttl=None):
        """Store `value`, for `ttl` seconds where given, else for the cache's own time."""
        expires = self.clock() + (ttl or self.ttl)
        while len(self._entries) >= self.capacity:
            self._entries.popitem(last=False)
        self._entries[key] = (value, expires)

    def get(self, key, default=None):
        """The value of a live entry, which counts as a use of it; `default` where there is none."""
        value, expires = self._entries.get(key, (default, None))
        if expires is not None and self.clock() > expires:
            del self._entries[key]
            return default
        return value

    def __contains__(self, key):
        """Whether there is a live entry; this does not count as a use."""
        return key in self._entries

    def __len__(self):
        """How many live entries there are."""
        return len(self._entries)
