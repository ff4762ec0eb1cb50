"""The grader ``performance``: what times come to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from affidavit.grading import Grade, Timings, make_graders
from affidavit.grading.performance import end_of_interval, median_of
from affidavit.tasks import GraderSpec, TaskError
from material import material

SETTINGS = {"command": ["./it"], "inputs": "inputs.py", "speedup": 2.0, "source": "half", "repetitions": 6}


def runs(*seconds: tuple[float, float], fault: str | None = None) -> list[dict[str, Any]]:
    """What was measured, by the times of solution and baseline; the last result has this fault."""
    return [
        {
            "input": "",
            "first": "solution",
            "solution": {"ns": round(ours * 1e9), "output": "", "fault": fault if number == len(seconds) else None},
            "baseline": {"ns": round(theirs * 1e9), "output": "", "fault": None},
        }
        for number, (ours, theirs) in enumerate(seconds, 1)
    ]


def grade(folder: Path, timed: Sequence[Mapping[str, Any]], error: str | None = None) -> Grade:
    (named,) = make_graders([GraderSpec("performance", "speed", settings=SETTINGS)])
    timings = Timings.read({"secret": "", "error": error, "runs": timed})
    return named.grade(material(folder, timings={"speed": timings}))


def test_the_interval_of_a_median_is_the_sign_tests() -> None:
    # Tables of the sign test: with 6 values from the smallest to the largest, with 9 from the second on.
    assert [end_of_interval(count) for count in (6, 8, 9, 12, 20)] == [1, 1, 2, 3, 6]
    found = median_of([9, 1, 8, 2, 7, 3, 6, 4, 5])
    assert (found.low, found.value, found.high) == (2, 5, 8)
    with pytest.raises(ValueError, match="too few"):
        end_of_interval(5)


def test_a_speed_up_counts_where_its_interval_shows_it(tmp_path: Path) -> None:
    shown = grade(tmp_path / "a", runs(*[(0.1, 0.2), (0.1, 0.5), (0.2, 0.5), (0.1, 0.3), (0.1, 0.4), (0.1, 0.9)]))
    assert (shown.score, shown.error) == (1.0, None)
    assert "3.5 times as fast as the baseline (2 to 9, 6 repetitions" in shown.message
    assert shown.message.endswith("2 is asked for: half")
    assert shown.evidence.details["speedup"] == {"value": 3.5, "low": 2.0, "high": 9.0}
    # As fast by the median, and once not: chance may have made it so.
    chance = grade(tmp_path / "b", runs(*[(0.1, 0.5)] * 5, (0.1, 0.19)))
    assert (chance.score, chance.error) == (0.0, None)
    assert "less than 2 times as fast as the baseline in 1 of 6 repetitions" in chance.message
    # Where it was measured on, four of eighteen may be too slow.
    more = runs(*[(0.1, 0.5)] * 14, *[(0.1, 0.19)] * 4)
    assert grade(tmp_path / "c", more).score == 1.0
    assert grade(tmp_path / "d", [*more[1:], more[-1]]).score == 0.0
    assert grade(tmp_path / "e", more[:-1]).score == 0.0


def test_a_wrong_result_is_no_matter_how_fast_worth_nothing(tmp_path: Path) -> None:
    found = grade(tmp_path, runs((0.001, 0.5), (0.001, 0.5), fault="it is not the baseline's"))
    assert (found.score, found.error) == (0.0, None)
    assert found.message == "a result is wrong, and so no time counts: it is not the baseline's"


def test_what_the_task_did_wrong_is_no_score(tmp_path: Path) -> None:
    short = grade(tmp_path / "a", runs(*[(0.01, 0.05)] * 6))
    assert short.score is None
    assert "the baseline takes 0.050 s, which is too little to be timed" in str(short.error)
    assert grade(tmp_path / "b", [], error="the baseline gave no result").error == "the baseline gave no result"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"repetitions": 5}, "repetitions"),
        ({"speedup": 0}, "speedup"),
        ({"source": " "}, "say where the threshold comes from"),
        ({"command": []}, "command"),
        ({"inputs": "../x"}, "must be a path below tests/"),
        ({"warmup": 3}, "unknown to a grader of kind performance"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        make_graders([GraderSpec("performance", "speed", settings={**SETTINGS, **change})])
