"""The human grader: a queue that several people work at once, blind, and how far they agree."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from affidavit.grading import make_graders
from affidavit.grading.combination import Graded
from affidavit.grading.grader import Evidence, Grade
from affidavit.grading.human import (
    Queue,
    QueueError,
    Score,
    cohen_kappa,
    items_of,
    krippendorff_alpha,
    rater_agreement,
    with_humans,
)
from affidavit.tasks import GraderSpec
from material import material

RUBRIC = {"0": "nothing", "0.3": "names the cause", "0.5": "explains it", "0.8": "with a remedy", "1": "and its price"}
SETTINGS = {"dimension": "How clear is it?", "answers": ["/w/a.md"], "rubric": RUBRIC, "raters": 2}
TASK = ("tidy", "Tidy up.")


def graded(folder, text="It is tidy.", **facts):
    named = make_graders([GraderSpec("test_run", "tests"), GraderSpec("human", "clarity", settings=SETTINGS)])[1]
    grade = named.grade(material(folder, files={"/w/a.md": text}, **facts))
    return Graded("clarity", "human", 1.0, None, False, grade)


def written(folder, text="It is tidy."):
    tests = Graded("tests", "test_run", 3.0, None, True, Grade(1.0))
    return [Graded.from_json(json.loads(json.dumps(one.to_json()))) for one in (tests, graded(folder, text))]


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "queue")


@pytest.fixture
def item(tmp_path, queue):
    (made,) = items_of(*TASK, written(tmp_path / "made"), "d" * 64)
    assert queue.add(made)
    return made


def test_a_trial_waits_for_people_and_keeps_what_they_are_to_see(tmp_path):
    grade = graded(tmp_path / "1").grade
    assert (grade.score, grade.evidence.details["answers"][0]["text"]) == (None, "It is tidy.")
    assert "waits" in grade.abstained
    assert graded(tmp_path / "2", " \n").grade.score == 0


def test_an_item_is_put_there_once_and_tells_nothing_of_the_agent(queue, item, tmp_path):
    assert not queue.add(item)
    assert queue.items() == [item]
    assert queue.item(item.id[:4]) == item
    text = (tmp_path / "queue/items" / f"{item.id}.json").read_text()
    assert str(tmp_path) not in text
    assert "agent" not in text


def test_scores_are_of_the_rubric_and_of_a_rater(queue, item):
    queue.score(item.id, "ann", 0.8, "fine")
    assert queue.scores(item.id) == [Score("ann", 0.8, "fine")]
    with pytest.raises(QueueError, match="before"):
        queue.score(item.id, "ann", 1)
    queue.score(item.id, "ann", 1, replace=True)
    assert queue.scores(item.id)[0].score == 1
    for rater, value in (("ann", 0.7), ("../x", 1), ("", 1), ("bob", float("nan")), ("bob", 2), ("bob", True)):
        with pytest.raises(QueueError):
            queue.score(item.id, rater, value, replace=True)
    for name in ("../../etc", "*", "", "ffff", item.id + "0"):
        with pytest.raises(QueueError, match="item"):
            queue.score(name, "bob", 1)


def test_each_rater_is_given_what_still_wants_a_score(queue, item):
    assert queue.next_for("ann") == item
    queue.score(item.id, "ann", 1)
    assert queue.next_for("ann") is None
    assert queue.next_for("bob") == item
    queue.score(item.id, "bob", 1)
    assert queue.next_for("cy") is None


def test_many_at_once_lose_nothing(queue, item):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: queue.score(item.id, f"r{number}", 0.5), range(40)))
        said = [pool.submit(queue.score, item.id, "same", 1.0) for _ in range(8)]
    assert len(queue.scores(item.id)) == 41
    assert sum(one.exception() is None for one in said) == 1
    assert not list(queue.folder.rglob("*.tmp"))


def test_a_damaged_queue_is_told_by_name(queue, item):
    (queue.folder / "items" / f"{item.id}.json").write_text("{}")
    with pytest.raises(QueueError, match=item.id):
        queue.items()
    (queue.folder / "items" / f"{item.id}.json").write_text("[" * 100_000)
    with pytest.raises(QueueError, match=item.id):
        queue.items()


def test_the_score_with_people(tmp_path):
    grade = written(tmp_path / "made")
    assert with_humans(grade, {}).score == 1.0
    told = with_humans(grade, {"clarity": [Score("ann", 0.3, ""), Score("bob", 0.5, "")]})
    assert told.score == pytest.approx((3 * 1 + 0.4) / 4)
    # Nobody's word takes the place of a deterministic grader's.
    assert with_humans(grade, {"tests": [Score("ann", 0, "")]}).score == 1.0


@pytest.mark.parametrize("details", [{}, {"dimension": "x", "rubric": [[0]], "raters": 1, "answers": []}])
def test_a_grade_without_answers_to_judge(details):
    grade = Grade(None, abstained="it waits", evidence=Evidence(details=details))
    with pytest.raises(QueueError, match="no answers to judge"):
        items_of(*TASK, [Graded("clarity", "human", 1.0, None, False, grade)], "d" * 64)


def test_cohens_kappa():
    # Fifty proposals, two readers, yes and no: 20 and 15 together, 5 and 10 apart (kappa 0.4).
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    # With two categories, distance is as good as difference.
    assert cohen_kappa(first, second, "quadratic") == pytest.approx(0.4)
    assert cohen_kappa([0, 0.5, 1], [0, 0.5, 1], "linear") == 1
    assert cohen_kappa([1, 1], [1, 1]) is None
    assert cohen_kappa([], []) is None
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa([1], [])


# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), C: four observers, twelve units, values missing.
OBSERVED = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_alpha(level, alpha):
    rows = [row.split() for row in OBSERVED]
    units = [{str(who): float(row[unit]) for who, row in enumerate(rows) if row[unit] != "."} for unit in range(12)]
    assert krippendorff_alpha(units, level) == pytest.approx(alpha, abs=0.0006)


def test_agreement_of_a_queue():
    told = rater_agreement([{"a": 1, "b": 1}, {"a": 0, "b": 0.3}, {"a": 0.5}, {}])
    assert (told.items, told.raters, told.kappas[0][2]) == (2, ("a", "b"), 2)
    assert 0 < told.alpha < 1
    assert rater_agreement([]).alpha is None


def test_a_bundle_that_is_too_large_for_the_queue_stays_out(queue, item, tmp_path):
    grade = written(tmp_path / "large")
    grade[1].grade.evidence.details["answers"][0]["text"] = "x" * (17 << 20)
    (large,) = items_of(*TASK, grade, "e" * 64)
    with pytest.raises(QueueError, match="larger than 16 MiB"):
        queue.add(large)
    assert queue.items() == [item]


def test_a_bundle_with_numbers_out_of_bounds(tmp_path):
    grade = written(tmp_path / "made")
    grade[1].grade.evidence.details["rubric"][0][0] = 10**400
    with pytest.raises(QueueError, match="no answers to judge"):
        items_of(*TASK, grade, "d" * 64)


def test_a_file_that_holds_another_item_is_told_by_name(queue, item):
    place = queue.folder / "items"
    (place / f"{item.id}.json").rename(place / f"{'0' * 16}.json")
    with pytest.raises(QueueError, match="holds another one"):
        queue.items()
