"""How well a classifier that is shown an expected value and a wrong one tells which is which.

It is what an agent could bring into a grading: a logistic regression over letters, pairs and triples of letters, last
and first figures, length, roundness and kind, trained on the pairs of other test files. Chance is one half.

    python benchmarks/controls.py [FOLDER…]

FOLDER: test files in Python; by default the example suite's and those of the packages that are installed here.
"""

import ast
import math
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zlib import crc32

import numpy as np
import numpy.typing as npt

from affidavit.grading.mutation import expected_values

_FEATURES = 1 << 13
_FOLDS = 5
_PASSES = 12
_STEP = 0.05


@dataclass(frozen=True)
class Pair:
    """An expected value and a wrong one, as they are spelled, and the test file."""

    right: str
    wrong: str
    file: str


@dataclass(frozen=True)
class Told:
    """How many pairs of so many were told apart, and the 95 % interval of that share (Wilson, two-sided)."""

    pairs: int
    correct: int

    @property
    def share(self) -> float:
        return self.correct / self.pairs

    @property
    def interval(self) -> tuple[float, float]:
        z, n, p = 1.959964, self.pairs, self.share
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - half, middle + half


def pairs_of(files: Iterable[Path], seed: str = "") -> list[Pair]:
    """A pair for each assertion that writes its expected value down."""
    found = []
    for path in files:
        try:
            text = path.read_text("utf-8")
            ast.parse(text)
        except (OSError, ValueError, SyntaxError, RecursionError):
            continue
        for right, wrong in expected_values(text, lambda name, path=path: Random(f"{seed}{path}{name}")):
            found.append(Pair(right, wrong, str(path)))
    return found


def features(text: str) -> npt.NDArray[np.float64]:
    """A vector of what there is to see of a literal."""
    said = [f"kind {text[:1]!r}", f"length {min(len(text), 12)}", f"last {text[-1:]!r}", f"before {text[-2:]!r}"]
    said += [f"round {text.rstrip('0') != text}", f"first {text[:1]!r}", f"figures {sum(map(str.isdigit, text))}"]
    said += [f"{size} {text[at : at + size]}" for size in (1, 2, 3) for at in range(len(text) - size + 1)]
    said += [f"word {word}" for word in text.strip("'\"bru").split()]
    vector = np.zeros(_FEATURES)
    for one in said:
        vector[crc32(one.encode("utf-8", "replace")) % _FEATURES] += 1
    return vector


def tell(pairs: Sequence[Pair]) -> Told:
    """Train on four fifths of the files and tell the pairs of the others, in turn."""
    files = sorted({pair.file for pair in pairs})
    Random(1).shuffle(files)
    fold_of = {file: index % _FOLDS for index, file in enumerate(files)}
    folds = np.array([fold_of[pair.file] for pair in pairs])
    difference = np.array([features(pair.right) - features(pair.wrong) for pair in pairs])
    norms = np.linalg.norm(difference, axis=1, keepdims=True)
    difference = difference / np.where(norms == 0, 1, norms)
    correct = 0
    coins = Random(2)
    for fold in range(_FOLDS):
        weights = np.zeros(_FEATURES)
        train = np.flatnonzero(folds != fold)
        order = np.random.default_rng(fold)
        for _ in range(_PASSES):
            for index in order.permutation(train):
                x = difference[index]
                weights += _STEP * x / (1 + math.exp(min(30.0, float(weights @ x))))
        for score in difference[folds == fold] @ weights:
            correct += coins.random() < 0.5 if score == 0 else score > 0
    return Told(len(pairs), int(correct))


def main() -> None:
    folders = [Path(word) for word in sys.argv[1:]]
    sources = {str(folder): sorted(folder.rglob("*.py")) for folder in folders} or {
        "the example suite": sorted((Path(__file__).parents[1] / "examples/suite").rglob("tests/*.py")),
        "installed packages": sorted(Path(sysconfig.get_path("purelib")).rglob("test*.py")),
    }
    for name, files in sources.items():
        told = tell(pairs_of(files))
        low, high = told.interval
        print(f"{name}: {told.pairs} pairs, {told.share:.1%} told apart, 95 % interval {low:.1%} to {high:.1%}")


if __name__ == "__main__":
    main()
