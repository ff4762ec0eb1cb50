"""Symlinks that give what an agent left another name, under which its contract does not let it be."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence

# As many as path_resolution(7) follows.
_MOST_LINKS = 40
_MOST_NAMES = 20_000


def renaming_links(
    places: Mapping[str, str | None], may_be: Callable[[Sequence[str]], Sequence[bool]]
) -> frozenset[str]:
    """Those symlinks by way of which something has a name that it may not have.

    ``/tmp/y/conftest.py`` may be scratch; with a symlink ``/workspace/x`` to ``/tmp/y`` it is
    ``/workspace/x/conftest.py`` as well.

    Args:
        places: paths of what an agent left; with a symlink's, where that leads by the names alone.
        may_be: which of some paths the agent may write.
    """
    links = {path: target for path, target in places.items() if target is not None}
    ordered = sorted(places)
    found = set()
    for link in links:
        names = [*_names(link, links, ordered)]
        if len(names) > _MOST_NAMES or not all(may_be(names)):
            found.add(link)
    return frozenset(found)


def _names(link: str, links: Mapping[str, str], ordered: Sequence[str]) -> Iterator[str]:
    """What things are called by way of a symlink and of those behind it; more than _MOST_NAMES where there are more."""
    waiting, seen, count = [(link, links[link])], set(), 0
    while waiting:
        name, place = waiting.pop()
        place = resolved(place, links)
        if place in seen:
            continue
        seen.add(place)
        for path in _from(place, ordered):
            alias = name + path[len(place) :]
            if path in links:
                waiting.append((alias, links[path]))
            yield alias
            count += 1
            if count > _MOST_NAMES:
                return


def _from(place: str, ordered: Sequence[str]) -> Iterator[str]:
    """A path and all below it, as far as they are among the sorted ones."""
    index = bisect_left(ordered, place)
    if index < len(ordered) and ordered[index] == place:
        yield place
    below = place.rstrip("/") + "/"
    for path in ordered[bisect_left(ordered, below) :]:
        if not path.startswith(below):
            return
        yield path


def resolved(path: str, links: Mapping[str, str]) -> str:
    """Where a path leads by way of these symlinks."""
    for _ in range(_MOST_LINKS):
        end = path.find("/", 1)
        while end != -1 and path[:end] not in links:
            end = path.find("/", end + 1)
        if end == -1:
            if path not in links:
                return path
            path = links[path]
        else:
            path = links[path[:end]] + path[end:]
    return path
