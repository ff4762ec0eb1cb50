"""Path patterns against a naive matcher that works on the decoded name, character by character."""

import re
import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import PathMatcher, PatternError, escape
from affidavit.contracts.patterns import expand_braces, literal_folder
from affidavit.events import encode_name


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("/a/*", ["/a/b", "/a/.b", "/a/b c"], ["/a", "/a/b/c", "/b/a"]),
        ("/a/**", ["/a", "/a/b", "/a/b/c"], ["/ab", "/b/a"]),
        ("/**", ["/", "/a", "/a/b"], []),
        ("**/c.py", ["/c.py", "/a/c.py", "/a/b/c.py"], ["/ac.py", "/a/c.pyc", "/c.py/x"]),
        ("/a/**/b", ["/a/b", "/a/x/b", "/a/x/y/b"], ["/ab", "/a/xb", "/b"]),
        ("/a/**/**/b", ["/a/b", "/a/x/b"], ["/ab"]),
        ("/a**", ["/a", "/ab", "/a/b", "/ab/c"], ["/b/a"]),
        ("/a/b**c", ["/a/bc", "/a/b/x/c"], ["/a/b/x/cd"]),
        ("/a?", ["/ab", "/a\n", "/aé"], ["/a", "/a/", "/abc"]),
        ("/[a-c]x", ["/ax", "/cx"], ["/dx", "/x", "//x"]),
        ("/[!a-c]x", ["/dx", "/éx"], ["/ax", "//x", "/x"]),
        ("/[]a]x", ["/]x", "/ax"], ["/[x"]),
        ("/[.-9]x", ["/.x", "/0x"], ["//x"]),
        ("/{a,b/c}/d", ["/a/d", "/b/c/d"], ["/b/d", "/{a,b/c}/d"]),
        ("/{a,b{c,d}}", ["/a", "/bc", "/bd"], ["/b", "/bcd"]),
        ("/a{,.bak}", ["/a", "/a.bak"], ["/a."]),
        (r"/\*", ["/*"], ["/a"]),
        (r"/\{a,b\}", ["/{a,b}"], ["/a"]),
        (r"/a\\b", ["/a\\\\b"], ["/a\\b", "/ab"]),
        ("/a b#c&d~e", ["/a b#c&d~e"], []),
        ("/a+(b|c)$", ["/a+(b|c)$"], ["/aab"]),
        ("/a/x", ["/a/x"], ["/a/X", "/a/x\n"]),
        ("/bin/sh", ["/bin/sh", "/usr/bin/sh"], ["/usr/local/bin/sh"]),
        ("/usr/bin/sh", ["/bin/sh", "/usr/bin/sh"], []),
    ],
)
def test_what_patterns_mean(pattern: str, matched: list[str], others: list[str]) -> None:
    assert PathMatcher([pattern]).mask([*matched, *others]).tolist() == [True] * len(matched) + [False] * len(others)


def test_bytes_that_are_no_text_are_one_character() -> None:
    names = [encode_name(b"/a\xff"), encode_name(b"/axff"), encode_name(b"/a\\xff")]
    assert PathMatcher(["/a?"]).mask(names).tolist() == [True, False, False]
    assert PathMatcher(["/axff"]).mask(names).tolist() == [False, True, False]
    assert PathMatcher(["/a*xff"]).mask(names).tolist() == [False, True, True]
    assert PathMatcher(["/a[!b]"]).mask(names).tolist() == [True, False, False]


def test_exceptions_take_away_from_the_list_wherever_they_stand() -> None:
    matcher = PathMatcher(["!/a/b/**", "/a/**", "!**/*.key"])
    assert matcher.mask(["/a", "/a/c", "/a/b", "/a/b/c", "/a/x.key"]).tolist() == [True, True, False, False, False]
    assert matcher.excepted(["/a", "/z/b.key"]).tolist() == [False, True]


def test_named_lists_have_exceptions_of_their_own() -> None:
    named = {"affidavit:x": ["**/x", "!/tmp/**"]}
    allowed = PathMatcher(["/**", "!affidavit:x"], named)
    assert allowed.mask(["/a/x", "/tmp/x", "/a"]).tolist() == [False, True, True]
    denied = PathMatcher(["affidavit:x"], named)
    assert denied.mask(["/a/x", "/tmp/x", "/a"]).tolist() == [True, False, False]


@pytest.mark.parametrize(
    "pattern",
    ["a/b", "", "/a/../b", "/./a", "/a//b", "/a/", "/{a", "/a}", "/[a", "/a\\", "/[/]", "/\0", "/" + "{a,b}" * 20],
)
def test_malformed_patterns(pattern: str) -> None:
    with pytest.raises(PatternError):
        PathMatcher([pattern])


@pytest.mark.parametrize(
    "pattern",
    [
        "/" + "**/" * 60 + "*x",
        "/" + "*a" * 100 + "b",
        "/**/a" * 40 + "/b",
        "/{a*,*a,a*a}/**/*a*a*a*a*a*a*b",
        "/" + "?*" * 80,
    ],
)
def test_no_pattern_takes_long(pattern: str) -> None:
    paths = ["/" + "a/" * 2000 + "a", "/" + "a" * 4000]
    matcher = PathMatcher([pattern])
    begin = time.process_time()
    matcher.mask(paths * 10)
    assert time.process_time() - begin < 2


def test_very_many_patterns_at_once() -> None:
    matcher = PathMatcher([f"/**/folder{n}/**/*.{'x' * 50}{n}" for n in range(2000)])
    assert matcher.mask(["/a/folder7/b." + "x" * 50 + "7", "/a/folder7/b." + "x" * 50 + "8"]).tolist() == [True, False]


def test_literal_folders() -> None:
    patterns = ["/workspace/src/**", "/workspace/a.txt", "/a/b*/c", "/**", "**/x", r"/a/\*/b", "/"]
    assert [literal_folder(p) for p in patterns] == ["/workspace/src", "/workspace", "/a", "/", "/", "/a/*", "/"]


_NAME = st.text(st.sampled_from("ab.*[]{},!\\?-é\n"), min_size=1, max_size=5).filter(
    lambda name: name not in (".", "..")
)


@given(st.lists(_NAME, min_size=1, max_size=3))
def test_an_escaped_name_matches_itself_only(parts: list[str]) -> None:
    name = "/" + "/".join(parts)
    encoded = encode_name(name.encode())
    matcher = PathMatcher([escape(name)])
    assert matcher.matches(encoded)
    assert not matcher.matches(encoded + "a")
    assert not matcher.matches(encoded[:-1])


def _naive(pattern: str, path: tuple[str, ...]) -> bool:
    """Whether one of the expansions matches; `path` is the characters of the decoded name."""
    return any(_matches(plain, path) for plain in expand_braces(pattern))


def _matches(pattern: str, path: tuple[str, ...]) -> bool:
    # Any number of folders, and any number of them, are any number.
    pattern = re.sub(r"(?:/\*\*)+(?=/\*\*(?:/|\Z))", "", pattern)

    @cache
    def go(at: int, position: int) -> bool:
        rest = pattern[at:]
        if not rest:
            return position == len(path)
        if rest == "/**":
            return position == len(path) or path[position] == "/"
        # A whole component "**": "/**/" is "/" or "/…/".
        if rest.startswith("/**/"):
            return any(
                path[end] == "/" and go(at + 3, end) for end in range(position, len(path)) if path[position] == "/"
            )
        if rest.startswith("**"):
            return any(go(at + 2, end) for end in range(position, len(path) + 1))
        if position == len(path) and rest[0] != "*":
            return False
        if rest[0] == "*":
            if go(at + 1, position):
                return True
            return position < len(path) and path[position] != "/" and go(at, position + 1)
        if rest[0] == "?":
            return path[position] != "/" and go(at + 1, position + 1)
        if rest[0] == "[":
            end = rest.index("]", 3 if rest[1] == "!" else 2)
            negated = rest[1] == "!"
            members = rest[2:end] if negated else rest[1:end]
            return path[position] != "/" and (path[position] in members) != negated and go(at + end + 1, position + 1)
        literal = rest[1] if rest[0] == "\\" else rest[0]
        return path[position] == literal and go(at + 1 + (rest[0] == "\\"), position + 1)

    return go(0, 0)


_PIECE = st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "{a,b}", "{,ab}", r"\*", r"\\", ".c", "**"])
_COMPONENT = st.one_of(st.just("**"), st.lists(_PIECE, min_size=1, max_size=4).map("".join))


@given(
    st.lists(_COMPONENT, min_size=1, max_size=5),
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", ".", "*", "\\", "\udcff", "\n"]), min_size=1, max_size=4), max_size=5
    ),
)
def test_against_the_naive_matcher(components: list[str], names: list[list[str]]) -> None:
    pattern = "/" + "/".join(components)
    characters = tuple("/") if not names else tuple(c for name in names for c in ("/", *name))
    path = encode_name("".join(characters).encode("utf-8", "surrogateescape"))
    try:
        matcher = PathMatcher([pattern])
    except PatternError:
        # An empty alternative can leave an empty component, or "." and "..".
        return
    assert matcher.matches(path) == _naive(pattern, characters)
