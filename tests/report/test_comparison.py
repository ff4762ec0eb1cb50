"""Two agents side by side: what is shown, and what is only there by chance."""

import csv
import io
import json
from typing import Any

import pytest

from affidavit.report import (
    Comparison,
    ReportError,
    compare,
    csv_text,
    make_report,
    print_comparison,
    read_runs,
    report_json,
)
from run_folders import MakeRun, trial


@pytest.fixture
def compared(make_run: MakeRun) -> Any:
    """Compares agents by the verdicts of their trials, a list for each task."""

    def comparison(first: dict[str, list[str]], second: dict[str, list[str]], **keys: Any) -> Comparison:
        folders = [
            make_run(
                [
                    trial(task, n, verdict, agent=agent, **keys.get(task, {}))
                    for task, of in all_of.items()
                    for n, verdict in enumerate(of)
                ],
                agent,
                agent,
            )
            for agent, all_of in (("weak", first), ("strong", second))
        ]
        return compare(make_report(read_runs(folders)))

    return comparison


def tasks(count: int, verdict: str) -> dict[str, list[str]]:
    return {f"t{n}": [verdict] for n in range(count)}


def test_a_clear_difference_is_shown(compared: Any) -> None:
    found = compared({**tasks(8, "fail"), "same": ["pass"]}, {**tasks(8, "pass"), "same": ["pass"]})
    overall = found.overall
    assert (overall.tasks, overall.first_better, overall.second_better) == (9, 0, 8)
    assert overall.solved.value == pytest.approx(8 / 9)
    assert overall.p == 2 / 2**8
    assert overall.shown
    assert found.conclusion.startswith("strong solves more. strong solves 100 % and weak 11 %")


def test_a_difference_on_every_task_is_shown_by_the_test_alone(compared: Any) -> None:
    found = compared(tasks(6, "fail"), tasks(6, "pass"))
    assert (found.overall.solved.interval, found.overall.p, found.overall.shown) == (None, 2 / 2**6, True)


def test_where_chance_suffices_no_difference_is_shown(compared: Any) -> None:
    found = compared({**tasks(5, "fail"), "same": ["pass"]}, {**tasks(5, "pass"), "same": ["pass"]})
    assert found.overall.p == 2 / 2**5
    assert not found.overall.shown
    few = "No difference shown: they differ on 5 tasks, and on fewer than 6 none can be shown. "
    assert found.conclusion.startswith(few)
    assert any("does not mean that there is none" in note for note in found.notes)


def test_equal_agents_differ_by_nothing(compared: Any) -> None:
    found = compared(tasks(3, "pass"), tasks(3, "pass"))
    assert (found.overall.solved.value, found.overall.p, found.overall.shown) == (0.0, 1.0, False)
    assert ": 0 points, 95 % interval" in found.conclusion


def test_several_trials_of_a_task_are_one_pair(compared: Any) -> None:
    first = {f"t{n}": ["fail"] * 10 for n in range(3)}
    second = {f"t{n}": ["pass"] * 10 for n in range(3)}
    found = compared(first, second)
    assert (found.overall.second_better, found.overall.p) == (3, 0.25)
    assert not found.overall.shown
    assert any("several trials" in note for note in found.notes)


def test_a_violation_counts_as_unsolved_whatever_was_earned(compared: Any) -> None:
    found = compared(tasks(6, "pass"), tasks(6, "violation"))
    assert (found.overall.solved.value, found.overall.counted.value) == (-1.0, -1.0)
    assert found.conclusion.startswith("weak solves more.")


def test_labels_are_corrected_by_holm(compared: Any) -> None:
    labels = {f"t{n}": {"labels": {"category": "one" if n < 6 else "two"}} for n in range(12)}
    first = {f"t{n}": ["fail" if n < 6 else "pass"] for n in range(12)}
    found = compared(first, tasks(12, "pass"), **labels)
    one, two = found.contrasts
    assert (one.label, one.p, one.adjusted_p, one.shown) == ("one", 2 / 2**6, 2 * 2 / 2**6, False)
    assert (two.label, two.p, two.adjusted_p) == ("two", 1.0, 1.0)


def test_only_common_tasks_count(compared: Any) -> None:
    found = compared({"a": ["pass"], "b": ["pass"]}, {"b": ["pass"], "c": ["fail"], "d": ["fail"]})
    assert (found.only_first, found.only_second, found.overall.tasks) == (("a",), ("c", "d"), 1)
    assert "1 task that only weak has is left out." in found.notes
    assert "2 tasks that only strong has are left out." in found.notes


def test_other_contracts_are_named(compared: Any) -> None:
    found = compared({"a": ["pass"]}, {"a": ["pass"]})
    assert not any("contracts" in note for note in found.notes)


def test_what_cannot_be_compared_is_refused(compared: Any, make_run: MakeRun) -> None:
    with pytest.raises(ReportError, match="no task in common"):
        compared({"a": ["pass"]}, {"b": ["pass"]})
    several = make_run([trial("a", agent="x"), trial("a", agent="y"), trial("a", agent="z")], name="several")
    with pytest.raises(ReportError, match="of two agents, and the runs hold 3: x, y, z"):
        compare(make_report(read_runs([several])))


def test_terminal_and_json_say_the_same(compared: Any) -> None:
    found = compared({**tasks(8, "fail"), "x" * 200: ["pass"]}, {**tasks(8, "pass"), "x" * 200: ["pass"]})
    out = io.StringIO()
    print_comparison(found, out)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "strong solves more." in out.getvalue()
    document = json.loads(json.dumps(found.to_json()))
    assert (document["schema"], document["overall"]["p"]) == ("affidavit.comparison/v1", 2 / 2**8)
    assert len(document["tasks"]) == 9


def test_a_report_of_two_agents_holds_the_comparison_in_json_and_csv(make_run: MakeRun) -> None:
    labels = {"labels": {"category": "c"}}
    folders = [
        make_run([trial(f"t{n}", 0, verdict, agent=agent, **labels) for n in range(8)], agent, agent)
        for agent, verdict in (("weak", "fail"), ("strong", "pass"))
    ]
    report = make_report(read_runs(folders))
    document = json.loads(json.dumps(report_json(report)))
    assert document["comparison"]["overall"]["p"] == 2 / 2**8
    rows = [row for row in csv.DictReader(io.StringIO(csv_text(report))) if row["section"] == "comparison"]
    found = {(row["item"], row["figure"]): row["value"] for row in rows}
    assert found["all", "solved"] == "1.0"
    assert found["category c", "adjusted_p"] == str(2 / 2**8)
    assert found["category c", "shown"] == "yes"
    alone = make_report(read_runs(folders[:1]))
    assert report_json(alone)["comparison"] is None
    assert "comparison" not in csv_text(alone)
