"""Which list of patterns matches more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.contracts import matcher
from affidavit.contracts.languages import EVERYTHING, PathList, Undecided, excess

_PIECES = ("a", "b", "*", "**", "?", "[ab]", "[!a]", "ab", "a*", "*b", "a**b", "{a,b}", "\\*", "{,a/}b", "x")
PATTERNS = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
ANY_PATTERN = PATTERNS | PATTERNS.map(lambda text: "**" + text) | st.just("/")
LISTS = st.lists(
    ANY_PATTERN | ANY_PATTERN.map(lambda text: "!" + text) | st.just("!affidavit:test-infrastructure"), max_size=4
)
NAMES = st.lists(st.sampled_from(["a", "b", "ab", "x", "*", "conftest.py", "\\xff"]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def listed(*patterns: str) -> list[PathList]:
    return [PathList.of(patterns)]


@given(LISTS, LISTS, st.lists(NAMES, min_size=1, max_size=10))
@settings(max_examples=100)
def test_a_witness_is_one_and_without_one_no_name_is_in_excess(
    new: list[str], old: list[str], names: list[str]
) -> None:
    try:
        witness = excess(listed(*new), listed(*old))
    except Undecided:
        return
    one, other = matcher(tuple(new)), matcher(tuple(old))
    if witness is not None:
        assert one.matches(witness)
        assert not other.matches(witness)
    else:
        assert not (one.mask(names) & ~other.mask(names)).any()


@given(LISTS, LISTS, LISTS, LISTS, st.lists(NAMES, min_size=1, max_size=10))
@settings(max_examples=50)
def test_lists_together(a: list[str], b: list[str], c: list[str], d: list[str], names: list[str]) -> None:
    try:
        witness = excess([*listed(*a), *listed(*b)], [*listed(*c), *listed(*d)])
    except Undecided:
        return
    ma, mb, mc, md = (matcher(tuple(patterns)) for patterns in (a, b, c, d))
    tried = names if witness is None else [witness]
    beyond = (ma.mask(tried) | mb.mask(tried)) & ~mc.mask(tried) & ~md.mask(tried)
    assert beyond.all() if witness is not None else not beyond.any()


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        (["/w/src/**"], ["/w/**"]),
        (["/w"], ["/w/**"]),
        (["/w/{a,b}.py"], ["/w/[ab].py"]),
        (["/w/[ab].py"], ["/w/a.py", "/w/b.py"]),
        (["/w/**", "!/w/x"], ["/w/**"]),
        (["/w/**", "!**/x/**"], ["/w/**", "!/w/y/x"]),
        (["/bin/sh"], ["/usr/bin/sh"]),
        (["/w/?"], ["/w/*"]),
        (["/w/**", "!affidavit:test-infrastructure"], ["/w/**"]),
        (["/w/a*", "!/w/a*b"], ["/w/a*[!b]", "/w/a"]),
        (["**/x"], ["/**"]),
    ],
)
def test_narrow_in_wide(narrow: list[str], wide: list[str]) -> None:
    assert excess(listed(*narrow), listed(*wide)) is None
    same = (["/w/{a,b}.py"], ["/w/[ab].py"], ["/bin/sh"], ["/w/a*", "!/w/a*b"])
    assert (excess(listed(*wide), listed(*narrow)) is None) == (narrow in same)


def test_the_witness_is_short_and_readable() -> None:
    assert excess(listed("/workspace/**"), listed("/workspace/src/**")) in ("/workspace", "/workspace/a")
    assert excess(listed("/w/*.py"), listed("/w/*.py", "!/w/conftest.py")) == "/w/conftest.py"
    assert excess([EVERYTHING], listed("/w/**")) == "/"
    assert excess(listed("/w/?"), listed("/w/[\\x00-\U0010ffff]")) is not None


def test_the_lists_of_the_default_contract_are_decided() -> None:
    before = ("/workspace/**", "/tmp/**", "!affidavit:test-infrastructure", "!/workspace/*.dist-info/**")
    after = ("/workspace/src/**", "/tmp/**", "!affidavit:test-infrastructure", "!/workspace/*.dist-info/**")
    assert excess(listed(*after), listed(*before)) is None
    assert excess(listed(*before), listed(*after)) == "/workspace"
    opened = tuple(pattern for pattern in before if pattern != "!affidavit:test-infrastructure")
    assert excess(listed(*opened), listed(*before)) is not None
    assert excess(listed(*before), listed(*opened)) is None


def test_what_takes_too_long_is_undecided() -> None:
    seen = [(f"/**/{name}/**/{name}{name}/**", f"/**/{name}/**/{name}[{name}]/**") for name in "abcdefghijklmnop"]
    with pytest.raises(Undecided):
        excess(listed(*[one for one, _ in seen]), listed(*[other for _, other in seen]))
