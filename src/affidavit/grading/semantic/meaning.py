"""Whether two texts say the same.

Each sentence of the reference must be said by a sentence of the answer. An embedding alone takes "is" and "is not" for
nearly the same, and a heap of keywords for a sentence; so a sentence that denies what the reference says, or the other
way round, does not say it, and what is no sentence says nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from affidavit.grading.semantic.embedding import Vectors, embed
from affidavit.grading.semantic.wordpiece import words

THRESHOLD = 0.70
"""Calibrated on the labelled pairs in tests/grading/semantic_pairs.json; see docs/graders.md."""

MOST_SENTENCES = 200
# The second half of "isn't" is a word of its own to the tokenizer.
_DENIALS = frozenset(
    {"cannot", "false", "neither", "never", "no", "nobody", "none", "nor", "not", "nothing", "t", "untrue", "without"}
)
# Words that sentences are held together by, and lists of keywords are not.
# fmt: off
_GLUE = frozenset({
    "a", "after", "all", "an", "and", "are", "as", "at", "be", "because", "been", "before", "but", "by", "can", "did",
    "do", "does", "each", "every", "for", "from", "had", "has", "have", "he", "i", "if", "in", "into", "is", "it",
    "its", "not", "of", "on", "one", "or", "over", "she", "should", "so", "than", "that", "the", "their", "them",
    "then", "there", "they", "this", "to", "was", "we", "were", "when", "where", "which", "while", "who", "whose",
    "will", "with", "would", "you",
})
# fmt: on
_LEAST_GLUE = 0.1
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|;\s+")


@dataclass(frozen=True)
class Likeness:
    """How an answer stands to one sentence of the reference.

    Attributes:
        similarity: cosine with the nearest sentence of the answer.
        nearest: that sentence; empty where the answer has none.
        denies: one of the two denies, and the other does not.
    """

    similarity: float
    nearest: str
    denies: bool

    def says(self, threshold: float) -> bool:
        """Whether the answer says it."""
        return self.similarity >= threshold and not self.denies


def sentences(text: str) -> list[str]:
    """The sentences of a text; what is no sentence, for want of the words that hold one together, is left out."""
    found = [part.strip() for part in _SENTENCE.split(text) if part.strip()]
    return [part for part in found if _is_sentence(part)]


def _is_sentence(part: str) -> bool:
    said = [word for word in words(part) if word[0].isalnum()]
    if len(said) < 6:
        return bool(said)
    return sum(word in _GLUE for word in said) / len(said) >= _LEAST_GLUE and len(set(said)) / len(said) >= 0.4


def compare(
    reference: Sequence[str], answer: Sequence[str], embedded: Callable[[Sequence[str]], Vectors] = embed
) -> list[Likeness]:
    """How an answer stands to each sentence of a reference.

    Args:
        reference, answer: sentences.
        embedded: makes vectors of length 1 of them.
    """
    if not answer:
        return [Likeness(0.0, "", False)] * len(reference)
    # What is said in two sentences may be one in the reference.
    units = [*answer, *(f"{a} {b}" for a, b in pairwise(answer))]
    cosines = embedded(list(reference)) @ embedded(units).T
    told = []
    for sentence, row in zip(reference, cosines, strict=True):
        best = int(np.argmax(row))
        denies = denials(sentence) % 2 != denials(units[best]) % 2
        told.append(Likeness(round(float(row[best]), 4), units[best], denies))
    return told


def denials(sentence: str) -> int:
    """How many words of a sentence deny."""
    return sum(word in _DENIALS for word in words(sentence))
