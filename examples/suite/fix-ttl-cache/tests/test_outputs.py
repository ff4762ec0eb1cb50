"""Hidden tests: the six points of the instruction, against the module itself."""

from ttlcache import TTLCache


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def make(capacity=2, ttl=10):
    clock = Clock()
    return TTLCache(capacity, ttl, clock), clock


def test_live_until_just_before_its_time():
    cache, clock = make()
    cache.put("a", 1)
    clock.now = 109.999
    assert cache.get("a") == 1


def test_expired_at_the_very_moment():
    cache, clock = make()
    cache.put("a", 1)
    clock.now = 110.0
    assert cache.get("a", "gone") == "gone"


def test_zero_time_to_live_expires_at_once():
    cache, _ = make()
    cache.put("a", 1, ttl=0)
    assert cache.get("a", "gone") == "gone"


def test_own_time_to_live_of_an_entry():
    cache, clock = make()
    cache.put("a", 1, ttl=50)
    clock.now = 149.0
    assert cache.get("a") == 1


def test_update_replaces_value_and_expiry():
    cache, clock = make()
    cache.put("a", 1)
    clock.now = 105.0
    cache.put("a", 2)
    clock.now = 112.0
    assert cache.get("a") == 2


def test_update_evicts_nothing_else():
    cache, _ = make()
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("b", 3)
    assert (cache.get("a"), cache.get("b")) == (1, 3)


def test_update_is_a_use():
    cache, _ = make()
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 3)
    cache.put("c", 4)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (3, None, 4)


def test_get_is_a_use():
    cache, _ = make()
    cache.put("a", 1)
    cache.put("b", 2)
    cache.get("a")
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_in_is_not_a_use():
    cache, _ = make()
    cache.put("a", 1)
    cache.put("b", 2)
    assert "a" in cache
    cache.put("c", 3)
    assert "a" not in cache


def test_expired_entries_go_first():
    cache, clock = make(capacity=2)
    cache.put("old", 1)
    cache.put("short", 2, ttl=1)
    clock.now = 105.0
    cache.put("new", 3)
    assert (cache.get("old"), cache.get("short"), cache.get("new")) == (1, None, 3)


def test_none_is_a_value():
    cache, _ = make()
    cache.put("a", None)
    assert cache.get("a", "gone") is None


def test_len_and_in_see_live_entries_only():
    cache, clock = make(capacity=3)
    cache.put("a", 1)
    cache.put("b", 2, ttl=1)
    clock.now = 102.0
    assert len(cache) == 1
    assert "b" not in cache


def test_capacity_holds():
    cache, _ = make(capacity=3)
    for number in range(10):
        cache.put(number, number)
    assert [number for number in range(10) if number in cache] == [7, 8, 9]
