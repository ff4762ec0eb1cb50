"""Two agents side by side: what is shown, and what is only there by chance."""

import csv
import io
import json
import re
from typing import Any

import pytest

from affidavit.report import (
    Comparison,
    Report,
    ReportError,
    compare,
    csv_text,
    make_report,
    print_comparison,
    print_report,
    read_runs,
    report_json,
)
from run_folders import MakeRun, trial


@pytest.fixture
def reported(make_run: MakeRun) -> Any:
    """Makes a report of two agents by the verdicts of their trials, a list for each task."""

    def report(first: dict[str, list[str]], second: dict[str, list[str]], **keys: Any) -> Report:
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
        return make_report(read_runs(folders))

    return report


@pytest.fixture
def compared(reported: Any) -> Any:
    """Compares them."""

    def comparison(*agents: dict[str, list[str]], **keys: Any) -> Comparison:
        (found,) = compare(reported(*agents, **keys)).pairs
        return found

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
    with pytest.raises(ReportError, match="of 2 to 20 agents, and the runs hold 1: x"):
        compare(make_report(read_runs([make_run([trial("a", agent="x")], name="one")])))
    apart = make_run([trial(name, agent=name) for name in "abc"], name="apart")
    with pytest.raises(ReportError, match="any two of the agents have no task in common"):
        compare(make_report(read_runs([apart])))


@pytest.fixture
def three(make_run: MakeRun) -> Report:
    """Of three agents: one that solves nothing, one that solves all but one of 8 tasks, one that solves all."""
    labels = {"labels": {"category": "c"}}
    of = {"none": ["fail"] * 8, "most": ["pass"] * 7 + ["fail"], "all": ["pass"] * 8}
    folders = [
        make_run([trial(f"t{n}", 0, one, agent=agent, **labels) for n, one in enumerate(verdicts)], agent, agent)
        for agent, verdicts in of.items()
    ]
    return make_report(read_runs(folders))


def test_several_agents_are_compared_each_with_each_and_corrected_by_holm(three: Report) -> None:
    found = compare(three)
    whole = {(pair.first.name, pair.second.name): pair.overall for pair in found.pairs}
    p = {names: one.p for names, one in whole.items()}
    assert p == {("none", "most"): 2 / 2**7, ("none", "all"): 2 / 2**8, ("most", "all"): 1.0}
    adjusted = {names: (one.adjusted_p, one.shown) for names, one in whole.items()}
    assert adjusted == {
        ("none", "most"): (2 * 2 / 2**7, True),
        ("none", "all"): (3 * 2 / 2**8, True),
        ("most", "all"): (1.0, False),
    }
    assert found.conclusion == (
        "most solves more than none.",
        "all solves more than none.",
        "No difference shown between most and all.",
    )
    # Three labels are asked of as many pairs.
    assert [pair.contrasts[0].adjusted_p for pair in found.pairs] == [2 * 2 / 2**7, 3 * 2 / 2**8, 1.0]
    assert "over the 3 pairs of agents" in found.notes[0]
    assert f"p = {2 / 2**7:.3f}, adjusted {4 / 2**7:.3f}" in found.pairs[0].conclusion


def test_what_each_pair_could_show_alone_may_not_stand_among_many(make_run: MakeRun) -> None:
    folders = [
        make_run([trial(f"t{n}", 0, verdict, agent=agent) for n in range(6)], agent, agent)
        for agent, verdict in (("a", "fail"), ("b", "pass"), ("c", "pass"))
    ]
    two, all_three = (compare(make_report(read_runs(some))) for some in (folders[:2], folders))
    assert (two.pairs[0].overall.p, two.pairs[0].overall.shown) == (2 / 2**6, True)
    assert [pair.overall.shown for pair in all_three.pairs] == [False, False, False]
    assert all_three.conclusion == (
        "No difference shown between a and b; nor between a and c; nor between b and c.",
        "Among 3 pairs a difference can be shown only where two agents differ on 7 tasks or more; none of these differ "
        "on more than 6.",
    )


def test_pairs_that_are_too_many_to_name_are_counted(make_run: MakeRun) -> None:
    def conclusion(*verdicts: str) -> str:
        place = f"{verdicts[0]}-{len(verdicts)}"
        folders = [
            make_run([trial(f"t{n}", 0, verdict, agent=agent) for n in range(10)], agent, f"{place}-{agent}")
            for agent, verdict in zip("abcdefgh", verdicts, strict=False)
        ]
        return " ".join(compare(make_report(read_runs(folders))).conclusion)

    assert conclusion(*["pass"] * 5).startswith("No difference shown between any two of these agents.")
    told = conclusion("fail", *["pass"] * 4)
    assert "e solves more than a. No difference shown between b and c; nor between b and d;" in told
    told = conclusion("fail", *["pass"] * 5)
    assert told.endswith("No difference shown between the two agents of the other 10 pairs.")


def test_a_pair_without_common_tasks_is_named(make_run: MakeRun) -> None:
    tasks_of = {"a": "12", "b": "23", "c": "3"}
    trials = [trial(task, agent=agent) for agent, tasks in tasks_of.items() for task in tasks]
    found = compare(make_report(read_runs([make_run(trials)])))
    assert (len(found.pairs), found.apart) == (2, (("a", "c"),))
    assert found.notes[-1] == "Without a task in common, and so not compared: a and c."


def test_every_format_holds_each_pair(three: Report) -> None:
    found = compare(three)
    out = io.StringIO()
    print_comparison(found, out)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert re.search(r"C less A, 8 tasks +\+100 points +not known +p 0.023 +shown", out.getvalue())
    document = json.loads(json.dumps(report_json(three)))
    assert document["comparison"] is None
    assert document["comparisons"] == json.loads(json.dumps(found.to_json()))
    assert [pair["overall"]["shown"] for pair in document["comparisons"]["pairs"]] == [True, True, False]
    rows = {tuple(row.values())[1:6]: row["value"] for row in csv.DictReader(io.StringIO(csv_text(three)))}
    assert rows["all", "comparison with none", "all", "", "adjusted_p"] == str(3 * 2 / 2**8)
    assert rows["most", "compared task with none", "t0", "", "second_solved"] == "1.0"
    screen = io.StringIO()
    print_report(three, screen)
    assert "No difference shown between most and all." in screen.getvalue()


def test_terminal_and_json_say_the_same(reported: Any) -> None:
    agents = ({**tasks(8, verdict), "x" * 200: ["pass"]} for verdict in ("fail", "pass"))
    found = compare(reported(*agents))
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
