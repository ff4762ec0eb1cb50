from ttlcache import TTLCache


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_keeps_what_was_put():
    cache = TTLCache(2, 10)
    cache.put("a", 1)
    assert cache.get("a") == 1


def test_forgets_after_its_time():
    clock = Clock()
    cache = TTLCache(2, 10, clock)
    cache.put("a", 1)
    clock.now = 11
    assert cache.get("a") is None


def test_an_update_evicts_nobody():
    cache = TTLCache(2, 10)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("b", 3)
    assert cache.get("a") == 1
