"""The semantic grader: what the model tells apart, and what is needed beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading import make_graders
from affidavit.grading.semantic import embedding
from affidavit.grading.semantic.meaning import THRESHOLD, compare, sentences
from affidavit.grading.semantic.wordpiece import token_ids
from affidavit.tasks import GraderSpec, TaskError
from material import material

PAIRS = json.loads((Path(__file__).parent / "semantic_pairs.json").read_text())
ANSWER = "/w/why.md"
EXPECTED = (
    "The cache is never emptied, so memory grows until the process is killed. The remedy is to evict old entries."
)


@pytest.fixture(scope="module")
def told():
    """For each labelled pair, how its answer stands to its reference."""
    pytest.importorskip("onnxruntime")
    return [compare(sentences(pair["reference"]), sentences(pair["answer"]))[0] for pair in PAIRS]


def of(kind, told):
    return [one for pair, one in zip(PAIRS, told, strict=True) if pair["kind"] == kind]


def test_the_threshold_is_the_one_that_the_pairs_ask_for(told):
    same = np.array([one.similarity for one in of("same", told)])
    other = np.array([one.similarity for one in of("other", told)])
    candidates = np.round(np.arange(0.30, 0.95, 0.01), 2)
    for half in (0, 1):
        # Chosen on one half, tried on the other.
        right = [((same[half::2] >= t).mean() + (other[half::2] < t).mean()) / 2 for t in candidates]
        best = candidates[np.isclose(right, max(right))].mean()
        assert abs(best - THRESHOLD) <= 0.08
        assert (same[1 - half :: 2] >= best).mean() >= 0.9
        assert (other[1 - half :: 2] < best).mean() >= 0.85
    assert (same >= THRESHOLD).mean() >= 0.95
    assert (other < THRESHOLD).mean() == 1


def test_words_that_are_denied_are_near_and_do_not_count(told):
    denied = of("denied", told)
    assert min(one.similarity for one in denied) > THRESHOLD  # the model alone would be fooled
    assert not any(one.says(THRESHOLD) for one in denied)
    # What this costs: a paraphrase that says by denying what the other says without.
    assert sum(one.denies for one in of("same", told)) <= 2


def test_heaps_of_keywords_are_no_sentences(told):
    raw = [compare([pair["reference"]], [pair["answer"]])[0] for pair in PAIRS if pair["kind"] == "keywords"]
    assert min(one.similarity for one in raw) > THRESHOLD  # the model alone would be fooled
    assert not any(one.says(THRESHOLD) for one in of("keywords", told))


@pytest.fixture
def grade(tmp_path):
    pytest.importorskip("onnxruntime")

    def asked(answer, **settings):
        settings = {"answer": ANSWER, **({"expected": EXPECTED} | settings)}
        named = make_graders([GraderSpec("test_run", "tests"), GraderSpec("semantic", "why", settings=settings)])[1]
        files = {} if answer is None else {ANSWER: answer}
        return named.grade(material(tmp_path / "made", files=files, tests={"why.md": EXPECTED}))

    return asked


GOOD = (
    "The cache is never cleared, which is why memory grows until the process gets killed. "
    "Evicting old entries would be the remedy."
)


def test_a_paraphrase_scores(grade):
    told = grade(GOOD)
    assert (told.score, len(told.components)) == (1.0, 2)
    assert told.evidence.details["model_sha256"] == embedding.MODEL_SHA256


def test_half_of_it_is_half(grade):
    assert grade("Since the cache is never cleared, memory grows until the process is killed.").score == 0.5


def test_all_or_nothing(grade):
    half = "Since the cache is never cleared, memory grows until the process is killed."
    assert grade(half, expected_file="why.md", expected=None, partial=False).score == 0


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "{}",
        "I do not know.",
        "The cache is emptied, so memory grows until the process is killed. The remedy is not to evict old entries.",
        "cache never emptied memory grows process killed remedy evict old entries cache memory leak eviction",
        "The weather is fine today, and the trains run on time.",
        GOOD + " It-may-also-be-the-disk/the-network/the-clock/or-the-weather." * 60,
        GOOD + " It may also be the disk, the network, the clock or the weather." * 60,
        b"\xff\xfe" * 100,
        "x" * 100_000,
        "\u200b" * 500,
    ],
    ids=range(12),
)
def test_what_does_not_say_it_scores_nothing(grade, answer):
    assert grade(answer).score == 0


def test_it_needs_its_packages_and_says_so(monkeypatch):
    monkeypatch.setattr(embedding, "_PACKAGES", ("onnxruntime", "no_such_package"))
    with pytest.raises(TaskError, match=r"no_such_package: install affidavit\[semantic\]"):
        make_graders([GraderSpec("semantic", "why", settings={"answer": ANSWER, "expected": "It is so."})])


def test_it_never_decides_alone():
    pytest.importorskip("onnxruntime")
    with pytest.raises(TaskError, match="not deterministic"):
        make_graders([GraderSpec("semantic", "why", settings={"answer": ANSWER, "expected": "It is so."})])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"expected": "x", "expected_file": "y"}, "either"),
        ({"expected": " . "}, "no sentence"),
        ({"expected": "It is.", "threshold": 0.1}, "threshold"),
    ],
)
def test_wrong_settings_are_refused(settings, said):
    pytest.importorskip("onnxruntime")
    with pytest.raises(TaskError, match=said):
        make_graders([GraderSpec("semantic", "why", settings={"answer": ANSWER, **settings})])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        # As the model's own tokenizer gives them.
        ("The cache isn't emptied.", [101, 1996, 17053, 3475, 1005, 1056, 21764, 1012, 102]),
        ("naïve café", [101, 15743, 7668, 102]),
        ("x" * 150, [101, 100, 102]),
    ],
)
def test_tokens(text, ids):
    assert token_ids(text) == ids


@given(st.text(max_size=300))
def test_no_text_is_an_error(text):
    assert 2 <= len(token_ids(text)) <= 256
    sentences(text)
