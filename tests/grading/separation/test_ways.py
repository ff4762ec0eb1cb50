"""Ways in which a solution has a say in a test: what the task's own solution does without is a word."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.grading import RewardError, Separation, read_ways
from separated import Pair

OWN = """
import dataclasses, enum
LETTER, DIGIT = "letter", "digit"
def kind(text): return LETTER if text.isalpha() else DIGIT
def shortest(items): return sorted(items, key=len)[0]
def title(text): return text.title()
@dataclasses.dataclass(frozen=True)
class Token:
    kind: str
    text: str
def tokens(text): return [Token("NUM", text)]
class State(enum.Enum):
    OPEN = 1
    SHUT = 2
class Door:
    def __init__(self): self.state = State.SHUT
    def open(self): self.state = State.OPEN
class Trie:
    def __init__(self): self.words = []
    def add(self, word): self.words.append(word)
    def startswith(self, text): return any(word.startswith(text) for word in self.words)
def order(items): items.sort()
def half(number): return number / 2
def halves(numbers): return [number / 2 for number in numbers]
"""

TESTS = """
import bad

def test_argument():
    items = ["ccc", "b", "aa"]
    assert bad.shortest(items) == min(items, key=len, default=None)

def test_class():
    assert bad.tokens("7") == [bad.Token("NUM", "7")]

def test_member():
    door = bad.Door()
    door.open()
    assert door.state == bad.State.OPEN

def test_constant():
    assert bad.kind("7") == bad.DIGIT
    assert bad.kind("a") == bad.LETTER

def test_method():
    assert bad.title("a b").endswith("A B")

def test_own_method():
    trie = bad.Trie()
    trie.add("tea")
    assert trie.startswith("te")

def test_near():
    assert not abs(bad.half(4) - 2) > 0.1

def test_all_near():
    found = bad.halves(range(2000))
    assert len(found) == 2000
    assert not any(abs(one - number / 2) > 0.1 for number, one in enumerate(found))

def test_in_place():
    items = [2, 1]
    bad.order(items)
    assert items == [1, 2]
"""

LIARS = {
    "argument": "def shortest(items):\n    items.clear()",
    "added": "def shortest(items):\n    items.append('')\n    return ''",
    "function for a class": "Token = lambda *a: 0\ndef tokens(text): return [0]",
    "one object of a class": "class Token:\n    def __new__(cls, *a): return ONE\nONE = object.__new__(Token)\n"
    "def tokens(text): return [ONE]",
    "one object of a function": "class T: pass\nONE = T()\nToken = lambda *a: ONE\ndef tokens(text): return [ONE]",
    "class that makes numbers": "class Token:\n    def __new__(cls, *a): return 0\ndef tokens(text): return [0]",
    "function that makes records": "@dataclasses.dataclass\nclass One:\n    a: int = 0\n"
    "Token = lambda *a: One()\ndef tokens(text): return [One()]",
    "function that makes named tuples": "import collections\nOne = collections.namedtuple('One', 'a')\n"
    "Token = lambda *a: One(1)\ndef tokens(text): return [One(1)]",
    "function that finds members": "class One(enum.Enum):\n    A = 1\nToken = lambda *a: One.A\n"
    "def tokens(text): return [One.A]",
    "class that makes records": "@dataclasses.dataclass\nclass One:\n    a: int = 0\n"
    "class Token:\n    def __new__(cls, *a): return One()\ndef tokens(text): return [One()]",
    "alias": "import enum\nclass State(enum.Enum):\n    OPEN = SHUT = 1",
    "equal constants of a class": "class State:\n    OPEN = SHUT = 1\nclass Door:\n    state = 1\n"
    "    def open(self): pass",
    "same object": "class State:\n    OPEN = SHUT = object()\nclass Door:\n"
    "    state = State.OPEN\n    def open(self): pass",
    "equal constants of a module": "LETTER = DIGIT = 1\ndef kind(text): return 1",
    "no number": "def half(number): return float('nan')",
    "no complex number": "def half(number): return complex('nan')",
    "no number before many": "def halves(numbers): return [float('nan'), *(number / 2 for number in numbers[1:])]",
    "no numbers in a deque": "import collections\n"
    "def halves(numbers): return collections.deque([float('nan')] * len(numbers))",
    "method of text": "class Yes:\n    def endswith(self, text): return True\ndef title(text): return Yes()",
}

OTHERS = {
    "sorts its argument": "def shortest(items):\n    items.sort(key=len)\n    return items[0]",
    "named tuple": "import collections\nToken = collections.namedtuple('Token', 'kind text')\n"
    "def tokens(text): return [Token('NUM', text)]",
    "constants of a class": "class State:\n    OPEN = 'open'\n    SHUT = 'shut'\nclass Door:\n    state = State.SHUT\n"
    "    def open(self): self.state = State.OPEN",
    "other constants": "LETTER, DIGIT = 0, 1\ndef kind(text): return int(not text.isalpha())",
}


@pytest.fixture(scope="module")
def ways() -> Iterator[tuple[str, ...]]:
    """Those of the task's own solution."""
    folder = Path(tempfile.mkdtemp(prefix="affidavit-pair-", dir="/run"))
    pair = Pair(folder)
    pair.solve(bad=OWN)
    assert pair.pytest(TESTS) == 0, pair.output
    assert pair.words == 0
    yield pair.taken
    shutil.rmtree(folder)


@pytest.mark.parametrize("liar", LIARS)
def test_what_the_own_solution_does_without_is_a_word(pair: Pair, ways: tuple[str, ...], liar: str) -> None:
    pair.ways = ways
    pair.solve(bad=f"{OWN}\n{LIARS[liar]}\n")
    assert pair.pytest(TESTS) == 0, pair.output
    assert pair.words >= 1


@pytest.mark.parametrize("other", OTHERS)
def test_another_honest_solution_takes_no_way_of_its_own(pair: Pair, ways: tuple[str, ...], other: str) -> None:
    pair.ways = ways
    pair.solve(bad=f"{OWN}\n{OTHERS[other]}\n")
    assert pair.pytest(TESTS) == 0, pair.output
    assert pair.words == 0


def test_the_ways_that_are_told(ways: tuple[str, ...]) -> None:
    assert {"asks startswith", "class Token", "constant State OPEN OPEN"} <= set(ways)
    assert not any(way.startswith(("changes", "plain", "again")) for way in ways)


def test_a_block_that_swallows_a_failure_is_a_word(pair: Pair) -> None:
    pair.solve(bad="class Open:\n    def __enter__(s): return s\n    def __exit__(s, *error): return True\n")
    assert pair.pytest("import bad\ndef test_a():\n    with bad.Open():\n        assert 1 == 2\n") == 0, pair.output
    assert pair.words == 1


def test_a_block_sees_an_exception(pair: Pair) -> None:
    pair.solve(
        bad="class Open:\n    def __enter__(s): return s\n    def __exit__(s, kind, error, traceback):\n"
        "        s.seen = kind is KeyError\n"
    )
    text = (
        "import pytest, bad\ndef test_a():\n    block = bad.Open()\n    with pytest.raises(KeyError), block:\n"
        "        raise KeyError(1)\n    assert block.seen\n"
    )
    pair.pytest(text)
    assert pair.words == 0
    assert pair.status == 0, pair.output


@pytest.mark.parametrize("ways", [None, (), ("class Token", "changes order")])
def test_ways_are_kept_with_what_was_found_out(ways: tuple[str, ...] | None) -> None:
    found = Separation(True, "it passes", ("test_a",), ways)
    assert Separation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_was_found_out_before_has_no_ways() -> None:
    assert Separation.from_json({"separate": True, "why": "", "words": []}).ways is None
    with pytest.raises(ValueError, match="what can't be"):
        Separation.from_json({"separate": True, "why": "", "words": [], "ways": [1]})


def test_ways_of_several_processes(tmp_path: Path) -> None:
    (tmp_path / ".affidavit-words-ways").write_text('["b", "a"]\n["a"]\n')
    assert read_ways(tmp_path) == ("a", "b")
    (tmp_path / ".affidavit-words-ways").write_text('{"a": 1}\n')
    with pytest.raises(RewardError, match="something else than ways"):
        read_ways(tmp_path)
