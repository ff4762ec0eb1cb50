"""WordPiece, as BERT's uncased models take text (Devlin et al. 2018; Wu et al. 2016).

``vocabulary.txt`` is that of BERT base, uncased (Apache-2.0), which the embedding model was trained with.
"""

import unicodedata
from functools import cache
from pathlib import Path

_LONGEST_WORD = 100
_LONGEST = 256
_UNKNOWN, _START, _END = "[UNK]", "[CLS]", "[SEP]"


@cache
def _vocabulary() -> dict[str, int]:
    lines = (Path(__file__).parent / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    return {word: number for number, word in enumerate(lines) if word}


def token_ids(text: str) -> list[int]:
    """The tokens of a text, with those that mark its start and end; 256 at most, the rest is cut."""
    known = _vocabulary()
    ids = [known[_START]]
    for word in words(text):
        ids += _pieces(word, known)
        if len(ids) >= _LONGEST:
            break
    return [*ids[: _LONGEST - 1], known[_END]]


def words(text: str) -> list[str]:
    """Words and punctuation marks, in lower case and without accents."""
    plain = []
    for letter in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(letter)
        if category == "Mn" or letter in "\0\ufffd" or (category in ("Cc", "Cf") and letter not in "\t\n\r"):
            continue
        alone = category[0] == "P" or letter in "$+<=>^`|~" or _is_ideograph(letter)
        plain.append(f" {letter} " if alone else " " if letter.isspace() else letter)
    return "".join(plain).split()


def _pieces(word: str, known: dict[str, int]) -> list[int]:
    """The longest pieces that the vocabulary has, from the left."""
    if len(word) > _LONGEST_WORD:
        return [known[_UNKNOWN]]
    ids, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        end = next((end for end in range(len(word), start, -1) if prefix + word[start:end] in known), None)
        if end is None:
            return [known[_UNKNOWN]]
        ids.append(known[prefix + word[start:end]])
        start = end
    return ids


def _is_ideograph(letter: str) -> bool:
    code = ord(letter)
    return (
        0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2FA1F or 0xF900 <= code <= 0xFAFF
    )
