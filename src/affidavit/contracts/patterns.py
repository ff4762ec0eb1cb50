r"""Path patterns, compiled to one RE2 expression and matched over arrays of paths in linear time.

A pattern is the text of an absolute file name, in which

- ``*`` is any run of characters but ``/``, ``?`` any one character but ``/``, ``[a-z]`` and ``[!a-z]`` one of, or none
  of, a set of characters (never ``/``); none of them treats a leading dot differently;
- ``**`` crosses ``/``; as a whole component it stands for any number of folders, so ``/a/**/b`` is ``/a/b`` too;
- ``/a/**`` is ``/a`` itself and everything below it;
- ``{a,b}`` is one of the alternatives, which may be patterns;
- ``\`` takes the next character as it is.

A pattern begins with ``/`` or ``**``. In a list, ``!pattern`` takes away from the rest of the list, wherever it stands,
and ``affidavit:NAME`` stands for a built-in list.

Paths come as :func:`affidavit.events.encode_name` spells them; a pattern is compared with the *name*, so that a byte
that is not UTF-8 is one character (matched by ``?``, ``*`` and ``[!…]`` only).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MAX_EXPANSIONS = 1000
_MAX_EXPANDED = 1 << 16
_MAX_NESTING = 8
# RE2 walks a name once for every '*' that may have begun in it, when it comes to the worst.
_MAX_STARS = 100
_MAX_PATTERN = 4096
_MAX_REMEMBERED = 200
# Bounded so that RE2's program (8 MiB with its caches) always fits, whatever the patterns are.
_CHUNK_CHARACTERS = 16_000

# One character of a name in the spelling of encode_name, but "/".
_ANY = r"(?:[^/\\]|\\\\|\\x[0-9a-f]{2})"


class PatternError(ValueError):
    """A pattern is malformed; the text says how, without the pattern."""


def expand_braces(pattern: str) -> list[str]:
    """The patterns without ``{…}`` that a pattern stands for: 1000, of 65,536 characters together, at most.

    Raises:
        PatternError: braces don't match, or there are more.
    """
    expanded = []
    pending = [pattern]
    size = len(pattern)
    while pending:
        current = pending.pop()
        group = _first_group(current)
        if group is None:
            expanded.append(current)
            continue
        start, end, alternatives = group
        around = len(current) - (end - start)
        size += sum(around + len(alternative) for alternative in alternatives) - len(current)
        if len(pending) + len(alternatives) + len(expanded) > _MAX_EXPANSIONS or size > _MAX_EXPANDED:
            raise PatternError(
                f"its braces stand for more than {_MAX_EXPANSIONS} patterns, or {_MAX_EXPANDED} characters"
            )
        pending.extend(current[:start] + alternative + current[end:] for alternative in reversed(alternatives))
    return expanded


def _first_group(pattern: str) -> tuple[int, int, list[str]] | None:
    """Start, end and alternatives of the first outermost ``{…}``."""
    depth = start = last = 0
    alternatives: list[str] = []
    position = 0
    while position < len(pattern):
        match pattern[position]:
            case "\\":
                position += 1
            case "[" if (end := class_end(pattern, position)) is not None:
                position = end - 1
            case "{":
                depth += 1
                if depth > _MAX_NESTING:
                    raise PatternError(f"has braces in braces, more than {_MAX_NESTING} deep")
                if depth == 1:
                    start, last = position, position + 1
            case "," if depth == 1:
                alternatives.append(pattern[last:position])
                last = position + 1
            case "}":
                if depth == 0:
                    raise PatternError("has a '}' without its '{' (a literal one is '\\}')")
                depth -= 1
                if depth == 0:
                    return start, position + 1, [*alternatives, pattern[last:position]]
        position += 1
    if depth:
        raise PatternError("has a '{' without its '}' (a literal one is '\\{')")
    return None


def class_end(pattern: str, start: int) -> int | None:
    """Where the set that begins at ``pattern[start] == "["`` ends; None where that is no set but a bracket."""
    position = start + 1
    if pattern[position : position + 1] in ("!", "^"):
        position += 1
    first = position
    while position < len(pattern) and pattern[position] != "/":
        if pattern[position] == "]" and position > first:
            return position + 1
        position += 2 if pattern[position] == "\\" else 1
    return None


def to_regex(pattern: str) -> str:
    """The RE2 expression of a pattern, to be matched against the whole of an encoded name.

    Raises:
        PatternError: the pattern is malformed.
    """
    if len(pattern) > _MAX_PATTERN:
        raise PatternError(f"is longer than {_MAX_PATTERN} characters")
    if "\0" in pattern:
        raise PatternError("holds a NUL character, which no file name can")
    # Bounded by what a pattern of that size can come to: others are rare, and may be made to be large.
    if len(pattern) <= _MAX_REMEMBERED and pattern.count("{") <= 2:
        return _remembered(pattern)
    return _regex_of(pattern)


@lru_cache(1024)
def _remembered(pattern: str) -> str:
    """The built-in lists are compiled for each bundle of a run again."""
    return _regex_of(pattern)


def _regex_of(pattern: str) -> str:
    alternatives = [_regex_of_plain(plain) for plain in expand_braces(pattern)]
    return "|".join(dict.fromkeys(alternatives))


def _regex_of_plain(pattern: str) -> str:
    if not pattern.startswith(("/", "**")):
        raise PatternError("must begin with '/' or '**'")
    if pattern == "/":
        return "/"
    if len(re.findall(r"\*+", pattern)) > _MAX_STARS:
        raise PatternError(f"has more than {_MAX_STARS} wildcards '*' or '**'")
    components = pattern.split("/")
    if any(re.sub(r"\\(.)", r"\1", component) in (".", "..") for component in components):
        raise PatternError("has a component '.' or '..', which resolved paths never have")
    if "" in components[1:]:
        raise PatternError("has an empty component ('//' or '/' at its end); for all below a folder write FOLDER/**")
    # A leading "**" may stand for the root: "**/x" is "/x" too.
    parts = components[1:] if components[0] == "" else components
    out = ""
    for index, part in enumerate(parts):
        final = index == len(parts) - 1
        if part == "**" and final:
            out += "(?:/.*)?" if out else "/.*"
        elif part == "**":
            if not out.endswith("(?:/.*)?"):
                out += "(?:/.*)?"
        else:
            out += "/" + _regex_of_component(part)
    return out


def _regex_of_component(part: str) -> str:
    out = ""
    position = 0
    while position < len(part):
        character = part[position]
        match character:
            case "*":
                end = position
                while part[end : end + 1] == "*":
                    end += 1
                out += _ANY + "*" if end - position == 1 else f"(?:/|{_ANY})*"
                position = end
                continue
            case "?":
                out += _ANY
            case "[":
                end_of_class = class_end(part, position)
                if end_of_class is None:
                    raise PatternError("has a '[' without its ']' (a literal one is '\\[')")
                out += _regex_of_class(part[position + 1 : end_of_class - 1])
                position = end_of_class
                continue
            case "\\":
                position += 1
                if position == len(part):
                    raise PatternError("ends a component in a backslash, which escapes nothing")
                out += _literal(part[position])
            case _:
                out += _literal(character)
        position += 1
    return out


def _literal(character: str) -> str:
    return r"\\\\" if character == "\\" else re.escape(character)


def _regex_of_class(body: str) -> str:
    negated = body[:1] in ("!", "^")
    ranges = class_ranges(body[1:] if negated else body)
    inside = "".join(
        _class_character(low) if low == high else f"{_class_character(low)}-{_class_character(high)}"
        for low, high in ranges
    )
    backslash = any(low <= "\\" <= high for low, high in ranges)
    if negated:
        # One of the characters that are not in the set; "\" is spelled with two.
        alternatives = [f"[^/\\\\{inside}]", r"\\x[0-9a-f]{2}"] + ([] if backslash else [r"\\\\"])
        return f"(?:{'|'.join(alternatives)})"
    # A range that spans "/" or "\" must not match them as they stand: intersect by hand.
    kept = "".join(
        _class_character(low) if low == high else f"{_class_character(low)}-{_class_character(high)}"
        for low, high in _without(ranges, "/\\")
    )
    alternatives = ([f"[{kept}]"] if kept else []) + ([r"\\\\"] if backslash else [])
    if not alternatives:
        raise PatternError("has a set '[…]' that no character of a file name is in")
    return f"(?:{'|'.join(alternatives)})"


def class_ranges(body: str) -> list[tuple[str, str]]:
    """First and last characters of the ranges of a set, without its brackets and its ``!``.

    Raises:
        PatternError: one runs backwards.
    """
    characters: list[tuple[str, bool]] = []
    position = 0
    while position < len(body):
        escaped = body[position] == "\\" and position + 1 < len(body)
        position += escaped
        characters.append((body[position], escaped))
        position += 1
    ranges = []
    index = 0
    while index < len(characters):
        low = characters[index][0]
        if index + 2 < len(characters) and characters[index + 1] == ("-", False):
            high = characters[index + 2][0]
            if high < low:
                raise PatternError(f"has a range '{low}-{high}' that runs backwards")
            index += 3
        else:
            high = low
            index += 1
        ranges.append((low, high))
    return ranges


def _without(ranges: Iterable[tuple[str, str]], removed: str) -> list[tuple[str, str]]:
    kept = list(ranges)
    for character in removed:
        split = []
        for low, high in kept:
            if not low <= character <= high:
                split.append((low, high))
                continue
            if low < character:
                split.append((low, chr(ord(character) - 1)))
            if character < high:
                split.append((chr(ord(character) + 1), high))
        kept = split
    return kept


def _class_character(character: str) -> str:
    return f"\\x{{{ord(character):x}}}"


class PathMatcher:
    """A list of patterns, compiled.

    Args:
        patterns: patterns and, with a leading ``!``, exceptions.
        named: the built-in lists that ``affidavit:NAME`` and ``!affidavit:NAME`` stand for.

    Raises:
        PatternError: a pattern is malformed.
        KeyError: there is no such built-in list.
    """

    def __init__(self, patterns: Iterable[str], named: Mapping[str, Sequence[str]] | None = None) -> None:
        include: list[str] = []
        exclude: list[str] = []
        self._included: list[PathMatcher] = []
        self._excluded: list[PathMatcher] = []
        for pattern in patterns:
            exception = pattern.startswith("!")
            text = pattern[1:] if exception else pattern
            if text.startswith("affidavit:"):
                matchers = self._excluded if exception else self._included
                matchers.append(PathMatcher((named or {})[text]))
            else:
                (exclude if exception else include).append(with_merged_usr(text))
        self._include = _union(include)
        self._exclude = _union(exclude)

    def matches(self, path: str) -> bool:
        """Whether an encoded name is matched. For many names `mask` is the way: this costs a compilation."""
        return bool(self.mask([path])[0])

    def mask(self, paths: "pa.Array | Sequence[str]") -> npt.NDArray[np.bool_]:
        """Which of many encoded names are matched.

        Args:
            paths: names, best each once (a column's dictionary); none of them null.
        """
        array = paths if isinstance(paths, pa.Array) else pa.array(paths, pa.utf8())
        mask = self._any(array, self._include, self._included)
        if (self._exclude or self._excluded) and mask.any():
            mask &= ~self.excepted(array)
        return mask

    def excepted(self, paths: "pa.Array | Sequence[str]") -> npt.NDArray[np.bool_]:
        """Which of many encoded names an exception (``!``) of the list names."""
        array = paths if isinstance(paths, pa.Array) else pa.array(paths, pa.utf8())
        return self._any(array, self._exclude, self._excluded)

    @staticmethod
    def _any(array: pa.Array, regexes: Sequence[str], matchers: Sequence["PathMatcher"]) -> npt.NDArray[np.bool_]:
        mask = np.zeros(len(array), np.bool_)
        if not len(array):
            return mask
        for regex in regexes:
            mask |= pc.match_substring_regex(array, pattern=regex).to_numpy(zero_copy_only=False)
        for matcher in matchers:
            mask |= matcher.mask(array)
        return mask


def with_merged_usr(pattern: str) -> str:
    """/bin, /sbin and /lib… are the same as those in /usr on most systems: a pattern for one is a pattern for both."""
    if match := re.match(r"(?:/usr)?(/(?:bin|sbin|lib[0-9a-z]*\*?)(?:/.*)?)\Z", pattern, re.DOTALL):
        return f"{{,/usr}}{match[1]}"
    return pattern


def _union(patterns: Iterable[str]) -> list[str]:
    chunks: list[list[str]] = []
    size = 0
    for pattern in patterns:
        regex = to_regex(pattern)
        if not chunks or size + len(regex) > _CHUNK_CHARACTERS:
            chunks.append([])
            size = 0
        chunks[-1].append(regex)
        size += len(regex)
    return [rf"(?s)\A(?:{'|'.join(chunk)})\z" for chunk in chunks]


def escape(name: str) -> str:
    """The pattern that matches one name and nothing else."""
    return re.sub(r"([*?\[\]{},\\!])", r"\\\1", name)


def literal_folder(pattern: str) -> str:
    """The deepest folder that everything a pattern without braces matches lies in or is; ``/`` where there is none.

    >>> literal_folder("/workspace/src/**"), literal_folder("/workspace/a.txt"), literal_folder("/tmp/x*/y")
    ('/workspace/src', '/workspace', '/tmp')
    """
    folder = []
    components = pattern.split("/")[1:] if pattern.startswith("/") else []
    for component in components[:-1]:
        if re.search(r"(?<!\\)[*?\[]", component):
            break
        folder.append(re.sub(r"\\(.)", r"\1", component))
    return "/" + "/".join(folder)
