"""Agreement of raters beyond chance."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Weights = Literal["none", "linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True)
class Agreement:
    """Of the scores in a queue.

    Attributes:
        items: how many have two scores or more.
        raters: who gave them.
        alpha: Krippendorff's, of interval data; None where it is not known.
        kappas: Cohen's, with quadratic weights, of each two raters who share items: (one, other, items, kappa).
    """

    items: int
    raters: tuple[str, ...]
    alpha: float | None
    kappas: tuple[tuple[str, str, int, float | None], ...]


def cohen_kappa(first: Sequence[float], second: Sequence[float], weights: Weights = "none") -> float | None:
    """Cohen's kappa (1960) of two raters, or the weighted one (1968).

    Args:
        first, second: their scores of the same items, in order.
        weights: of a disagreement: the same for all, by the distance of the scores, or by its square.

    Returns:
        1 for full agreement, 0 for that of chance; None where chance alone agrees fully, or there are no items.

    Raises:
        ValueError: they scored different numbers of items.
    """
    if len(first) != len(second):
        raise ValueError("two raters must have scored the same items")
    if not first:
        return None
    seen = sum(_distance(a, b, weights) for a, b in zip(first, second, strict=True)) / len(first)
    ones, others = Counter(first), Counter(second)
    chance = sum(m * n * _distance(a, b, weights) for a, m in ones.items() for b, n in others.items())
    return 1 - seen / (chance / len(first) ** 2) if chance else None


def _distance(a: float, b: float, weights: Weights) -> float:
    if weights == "none":
        return float(a != b)
    return abs(a - b) if weights == "linear" else (a - b) ** 2


def krippendorff_alpha(scores: Sequence[Mapping[str, float]], level: Level = "interval") -> float | None:
    """Krippendorff's alpha of any number of raters, some of whom may have left items out.

    Args:
        scores: for each item, the score of each rater who gave one.
        level: what distances between scores mean.

    Returns:
        1 for full agreement, 0 for that of chance; None where no item has two scores, or all scores are the same.
    """
    import krippendorff
    import numpy as np

    raters = sorted({rater for item in scores for rater in item})
    if not any(len(item) > 1 for item in scores) or len({score for item in scores for score in item.values()}) < 2:
        return None
    table = np.array([[item.get(rater, np.nan) for item in scores] for rater in raters], float)
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement=level))


def rater_agreement(scores: Sequence[Mapping[str, float]]) -> Agreement:
    """All of it, of the scores of each item by rater."""
    shared = [item for item in scores if len(item) > 1]
    raters = sorted({rater for item in shared for rater in item})
    kappas = []
    for one, other in combinations(raters, 2):
        both = [(item[one], item[other]) for item in shared if one in item and other in item]
        if both:
            kappa = cohen_kappa([a for a, _ in both], [b for _, b in both], "quadratic")
            kappas.append((one, other, len(both), kappa))
    return Agreement(len(shared), tuple(raters), krippendorff_alpha(shared) if shared else None, tuple(kappas))
