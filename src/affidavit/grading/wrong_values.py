"""Plausible wrong values in place of expected ones.

It has the same type, length, base, decimals and kind of letters, and is smaller as often as larger, so that nothing but
the right answer tells which of the two is wrong. ``benchmarks/controls.py`` measures how well that is met.
"""

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

_BENFORD = [301, 176, 125, 97, 79, 67, 58, 51, 46]
_NUMBER = re.compile(
    r"(?P<base>0[xXoObB])(?P<digits>[0-9a-fA-F_]+)|(?P<whole>[0-9][0-9_]*)(?P<fraction>\.[0-9_]*)?(?P<rest>[eE][+-]?[0-9_]+)?"
)
_BASES = {"x": "0123456789abcdef", "o": "01234567", "b": "01"}
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_PREFIX = re.compile(r"[A-Za-z]*")
# What comes from another place of the same tests, where there is one that fits.
_EXCHANGED = 0.9
# An empty container stands in the place of another as often as another in its place, about.
_EMPTIED = 0.12
# How often people write small numbers into tests, in thousands; any other with as many figures weighs 1 / itself.
_SMALL = {
    1: dict(zip(range(10), (210, 270, 195, 120, 90, 45, 30, 18, 12, 10), strict=True)),
    2: {10: 250, 20: 60, 12: 50, 42: 50, 15: 40, 16: 40, 11: 35, 30: 35, 18: 30, 13: 25, 24: 25, 25: 25, 32: 25, 50: 25,
        40: 25, 21: 20, 14: 18, 99: 15, 64: 15, 60: 15},
    3: {100: 250, 123: 120, 200: 80, 128: 40, 256: 40, 255: 35, 500: 35, 300: 30, 120: 25, 150: 25, 110: 20, 999: 20,
        101: 20, 512: 20, 250: 20, 400: 20},
}  # fmt: skip
_TRIES = 40


@dataclass(frozen=True)
class Values:
    """The literals of a test module: what its author wrote down, as it stands there.

    Attributes:
        numbers, texts, containers: source of each.
        words: words in the texts.
    """

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    containers: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, nodes: Iterable[ast.expr], source_of: Callable[[ast.expr], str]) -> "Values":
        """Those of expected values: every literal in them."""
        numbers, texts, containers = [], [], []
        for node in (inner for outer in nodes for inner in ast.walk(outer)):
            match node:
                case ast.Constant(value=bool()):
                    continue
                case ast.Constant(value=int() | float()):
                    numbers.append(source_of(node))
                case ast.Constant(value=str() | bytes()):
                    texts.append(source_of(node))
                case ast.List() | ast.Tuple() | ast.Dict() | ast.Set():
                    containers.append(source_of(node))
        words = [word for text in texts for word in _WORD.findall(_body(text))]
        return cls(tuple(numbers), tuple(texts), tuple(containers), tuple(words))


def another_number(text: str, values: Values, chance: Random) -> str | None:
    """Another number, spelled like this one; None where there is none.

    Args:
        text: a literal's source, without a sign.
        values: of the same tests.
        chance: decides.
    """
    fitting = [other for other in values.numbers if fit(other, text)]
    if fitting and chance.random() < _EXCHANGED:
        return chance.choice(fitting)
    if text.isascii() and text.isdecimal() and len(text) in _SMALL and str(int(text)) == text:
        return _another_small(int(text), len(text), chance)
    for _ in range(_TRIES):
        made = _with_other_digits(text, chance)
        if made is not None and _differ(made, text):
            return made
    return None


def _another_small(number: int, figures: int, chance: Random) -> str:
    known = _SMALL[figures]
    others = [one for one in range(10 ** (figures - 1) if figures > 1 else 0, 10**figures) if one != number]
    weights = [known.get(one, 20 / max(one, 1) * 10 ** (figures - 2)) for one in others]
    return str(chance.choices(others, weights)[0])


def another_text(text: str, values: Values, chance: Random) -> str | None:
    """Another string or bytes, spelled like this one; None where there is none.

    Args:
        text: a literal's source, with its quotes.
        values: of the same tests.
        chance: decides.
    """
    prefix, length = _prefix(text), len(_body(text))
    fitting = [other for other in values.texts if fit(other, text)]
    if fitting and chance.random() < _EXCHANGED:
        return chance.choice(fitting)
    # Letters last: what comes of them is seldom a word.
    for ways in ((_with_another_word, _with_other_figures, _with_another_order), (_with_other_letters,)):
        for _ in range(_TRIES):
            made = chance.choice(ways)(text, values, chance)
            if made is not None and _differ(made, text):
                return made
    if not length:
        quote = text[len(prefix)]
        words = [word for word in values.words if word.isascii()]
        return f"{prefix}{quote}{chance.choice(words or ['a', 'x', 'ok'])}{quote}"
    return chance.choice(fitting) if fitting else None


def another_container(text: str, values: Values, chance: Random) -> str | None:
    """A container of the same kind in place of an empty one; None where these tests have none.

    Args:
        text: the source of the empty one.
        values: of the same tests.
        chance: decides.
    """
    fitting = [other for other in values.containers if other[0] == text[0] and _differ(other, text)]
    return chance.choice(fitting) if fitting else None


def emptied(chance: Random) -> bool:
    """Whether a container that holds something is to be an empty one."""
    return chance.random() < _EMPTIED


def new_value(text: str, values: Values, chance: Random) -> str | None:
    """Another number or text, spelled like this one, that these tests do not hold; None where there is none.

    Args:
        text: a literal's source.
        values: of the same tests.
        chance: decides.
    """
    number = _NUMBER.fullmatch(text) is not None
    ways = (another_number,) if number else (another_text, _with_other_letters)
    known = values.numbers if number else values.texts
    for way in ways:
        for _ in range(_TRIES):
            made = way(text, replace(values, numbers=(), texts=()), chance)
            if made is not None and made not in known:
                return made
    return None


def fit(one: str, other: str) -> bool:
    """Whether two literals, numbers or texts, are spelled alike and differ: either may stand in the other's place.

    Args:
        one, other: their sources.
    """
    if not _differ(one, other):
        return False
    if _NUMBER.fullmatch(one):
        return _shape(one) == _shape(other)
    return _prefix(one) == _prefix(other) and _similar(len(_body(one)), len(_body(other)))


def _differ(one: str, other: str) -> bool:
    """Whether two literals are of the same type and not equal."""
    try:
        a, b = ast.literal_eval(one), ast.literal_eval(other)
    except (SyntaxError, ValueError, MemoryError):
        return False
    return type(a) is type(b) and bool(a != b)


def _shape(text: str) -> tuple[object, ...]:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return (text,)
    if match["base"]:
        return match["base"].lower(), len(match["digits"])
    return len(match["whole"]), match["fraction"] and len(match["fraction"]), bool(match["rest"])


def _zeros(text: str) -> bool:
    """Whether a whole number is round."""
    return len(text) > 1 and text.endswith("0")


def _with_other_digits(text: str, chance: Random) -> str | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    if match["base"]:
        digits = _BASES[match["base"][1].lower()]
        digits = digits.upper() if match["digits"].upper() == match["digits"] else digits
        return match["base"] + _changed(match["digits"], digits, chance)
    whole, fraction, rest = match["whole"], match["fraction"] or "", match["rest"] or ""
    if fraction.strip(".0_"):
        kept = len(whole) + 1 + len(fraction[1:].rstrip("0"))
        head, tail = (whole + fraction)[:kept], (whole + fraction)[kept:]
        point = len(whole)
        made = _changed(head.replace(".", ""), "0123456789", chance, last=True)
        return _leading(whole, made[:point]) + "." + made[point:] + tail + rest
    significant = whole.rstrip("0_") if _zeros(whole) else whole
    if not significant:
        return None
    made = _changed(significant, "0123456789", chance, last=significant != whole)
    return _leading(whole, made) + whole[len(significant) :] + fraction + rest


def _leading(was: str, made: str) -> str:
    """No zero in front of a number that has none."""
    return made if len(was) == 1 or not made.startswith("0") else was[0] + made[1:]


def _changed(text: str, digits: str, chance: Random, *, last: bool = False) -> str:
    """A few of the digits drawn at random; `last`: the last one stays other than 0."""
    places = [place for place, letter in enumerate(text) if letter != "_"]
    letters = [*text]
    for place in chance.sample(places, chance.randint(1, len(places))):
        allowed = [digit for digit in digits if digit != text[place]]
        if (place == 0 and len(places) > 1) or (last and place == places[-1]):
            allowed = [digit for digit in allowed if digit != "0"] or [text[place]]
        if place == 0 and len(digits) == 10:
            weights = [_BENFORD[int(digit) - 1] if digit != "0" else 120 for digit in allowed]
            letters[place] = chance.choices(allowed, weights)[0]
        else:
            letters[place] = chance.choice(allowed)
    return "".join(letters)


def _prefix(text: str) -> str:
    match = _PREFIX.match(text)
    return match[0] if match else ""


def _body(text: str) -> str:
    """What stands between a literal's quotes."""
    start = len(_prefix(text))
    quotes = 3 if text[start : start + 3] in ('"""', "'''") else 1
    return text[start + quotes : len(text) - quotes]


def _similar(one: int, other: int) -> bool:
    return one <= 2 * other + 2 and other <= 2 * one + 2


def _outside(text: str) -> int:
    """Where a literal's body begins."""
    return len(text) - len(_body(text)) - (3 if text.endswith(('"""', "'''")) and len(text) >= 6 else 1)


def _spelled(text: str, body: str) -> str:
    start = _outside(text)
    return text[:start] + body + text[start + len(_body(text)) :]


def _with_another_word(text: str, values: Values, chance: Random) -> str | None:
    body = _body(text)
    found = list(_WORD.finditer(body))
    if not found:
        return None
    old = chance.choice(found)
    others = [word for word in values.words if word != old[0] and _case(word) == _case(old[0])]
    if not others:
        return None
    return _spelled(text, body[: old.start()] + chance.choice(others) + body[old.end() :])


def _case(word: str) -> tuple[bool, bool]:
    return word[0].isupper(), word.isupper()


def _with_other_figures(text: str, values: Values, chance: Random) -> str | None:
    body = _body(text)
    found = list(re.finditer(r"(?<![\\0-9A-Za-z])[0-9]+(?![A-Za-z])", body))
    if not found:
        return None
    old = chance.choice(found)
    made = (
        _with_other_digits(old[0], chance)
        if old[0] == "0" or old[0][0] != "0"
        else _changed(old[0], "0123456789", chance)
    )
    return None if made is None else _spelled(text, body[: old.start()] + made + body[old.end() :])


def _with_other_letters(text: str, values: Values, chance: Random) -> str | None:
    body = _body(text)
    places = [
        place
        for place, letter in enumerate(body)
        if letter.isascii() and letter.isalpha() and not _escaped(body, place)
    ]
    if not places:
        return None
    place = chance.choice(places)
    upper = body[place].isupper()
    # As often as they stand in these tests.
    pool = [letter for word in values.words for letter in word]
    fitting = [letter for letter in pool if letter.isupper() == upper and letter != body[place]]
    if not fitting:
        fitting = [letter for letter in ("ABCDEFIMNORST" if upper else "abcdefimnorst") if letter != body[place]]
    return _spelled(text, body[:place] + chance.choice(fitting) + body[place + 1 :])


def _with_another_order(text: str, values: Values, chance: Random) -> str | None:
    """Two neighbours of a list of words or figures exchanged."""
    body = _body(text)
    found = list(re.finditer(r"(?<!\\)\b[A-Za-z0-9]+\b", body))
    if len(found) < 2:
        return None
    at = chance.randrange(len(found) - 1)
    one, two = found[at], found[at + 1]
    between = body[one.end() : two.start()]
    return _spelled(text, body[: one.start()] + two[0] + between + one[0] + body[two.end() :])


def _escaped(body: str, place: int) -> bool:
    """Whether a letter may belong to an escape sequence."""
    return re.search(r"\\[A-Za-z0-9{]{0,9}$", body[:place]) is not None or body[max(0, place - 1) : place] == "\\"
