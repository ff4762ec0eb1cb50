"""From a task's tables to graders, and their settings."""

import pytest

from affidavit.grading import make_graders
from affidavit.grading.settings import AbsolutePath, AnswerPath, GraderSettings, ReferencePath, read_settings
from affidavit.tasks import DEFAULT_GRADERS, GraderSpec, TaskError


class Settings(GraderSettings):
    answer: AnswerPath
    place: AbsolutePath = "/x"
    table: ReferencePath = "a/b.csv"
    tolerance: float = 0.0
    words: tuple[str, ...] = ()


def read(**settings: object) -> Settings:
    return read_settings(GraderSpec("value", "total", settings=settings), Settings)


def test_settings() -> None:
    settings = read(answer="stdout", place="/a//b/", tolerance=1, words=["x", "y"])
    assert settings == Settings(answer="stdout", place="/a/b", tolerance=1.0, words=("x", "y"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "answer is missing"),
        ({"answer": "out"}, "answer must be an absolute path"),
        ({"answer": "/a/../b"}, "must be an absolute path"),
        ({"answer": "stdout", "place": "stdout"}, "place must be an absolute path"),
        ({"answer": "stdout", "table": "/etc/passwd"}, "table must be a path below tests/"),
        ({"answer": "stdout", "table": "../solution/x"}, "table must be a path below tests/"),
        ({"answer": "stdout", "tolerance": "3"}, "tolerance is wrong"),
        ({"answer": "stdout", "words": ["a", 3]}, r"words \(1\) is wrong"),
        ({"answer": "stdout", "toleranse": 3}, "toleranse is unknown to a grader of kind value; it knows answer"),
    ],
)
def test_wrong_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(TaskError, match=f"grader total: .*{said}"):
        read(**settings)


def test_an_unknown_kind() -> None:
    with pytest.raises(TaskError, match=r"there is no grader 'testrun'; .* did you mean test_run"):
        make_graders([GraderSpec("testrun", "tests")])


def test_one_test_run() -> None:
    with pytest.raises(TaskError, match="second time"):
        make_graders([*DEFAULT_GRADERS, GraderSpec("test_run", "again")])


def test_something_deterministic_with_a_weight() -> None:
    with pytest.raises(TaskError, match="not deterministic"):
        make_graders([GraderSpec("test_run", "tests", weight=0, gate=1.0)])
