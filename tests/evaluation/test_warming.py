"""Verifier caches: filled once with a network, and what gradings get from them without one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.evaluation import kept_cache
from affidavit.evidence import locate
from affidavit.tasks import load_task
from affidavit.trace import read_trace
from harness import EBPF, GVISOR, Command, Home, Trials, Way
from web_site import HOST, Site

pytestmark = pytest.mark.usefixtures("nothing_left")

# A site that can't be reached writes nothing: without it no reward can be right.
TEST = """
curl -fsS http://{site}/expected -o /tmp/expected || exit 0
[ "$(cat /workspace/answer)" = "$(cat /tmp/expected)" ] && reward=1 || reward=0
echo $reward >/logs/verifier/reward.txt
"""


@pytest.mark.parametrize("way", [EBPF, GVISOR], ids=str)
def test_a_task_whose_tests_download_is_graded_without_a_network(
    affidavit: Command, trials: Trials, task: Callable[..., Path], site: Site, way: Way
) -> None:
    if way.missing:
        pytest.skip(f"{way.missing}: not installed")
    folder = task(test=TEST.format(site=site.address))
    linted = affidavit("task", "lint", folder)
    assert f"run affidavit task warm {folder}" in linted.out
    warmed = affidavit(
        *("task", "warm", folder, "--allow", HOST, "--json"),
        *("--runtime", way.runtime, "--recorder", way.recorder),
    )
    assert warmed.status == 0, warmed
    (facts,) = warmed.json["tasks"]
    assert (facts["ok"], facts["answers"], facts["bytes"], facts["failed"]) == (True, 1, 3, [])
    assert "network" not in affidavit("task", "lint", folder).out
    # Filling is recorded, and shows nothing of an agent.
    bundle = Path(facts["bundle"])
    checked = affidavit("verify", bundle, "--task", folder)
    assert checked.status == 0, checked
    assert "inconclusive" in checked.out
    events = read_trace(locate(bundle, "grader/events.parquet")).to_pylist()
    assert any(row["op"] == "connect" for row in events)
    asked = [*site.asked]
    site.shut()

    solved, idle = trials(way, folder), trials(way, folder, "true")
    assert (solved.verdict, solved.score) == ("pass", 1.0), solved.trial.judgement
    assert (idle.verdict, idle.score) == ("fail", 0.0), idle.trial.judgement
    assert solved.json("environment.json")["verifier_cache"] == {
        "digest": facts["digest"],
        "answers": 1,
        "filling": False,
    }
    assert site.asked == asked


def test_a_miss_is_an_error_with_the_address(
    affidavit: Command, trials: Trials, task: Callable[..., Path], site: Site
) -> None:
    more = f"curl -s http://{site.address}/$(cat /workspace/answer)\n"
    folder = task(test=more + TEST.format(site=site.address))
    assert affidavit("task", "warm", folder, "--allow", HOST).status == 0
    missed = trials(EBPF, folder, "echo 41 >/workspace/answer")
    assert (missed.verdict, missed.score) == ("error", None)
    assert f"the tests asked for GET http://{site.address}/41, which the verifier cache does not have" in missed.reasons
    assert affidavit("verify", missed.bundle, "--task", folder).status == 0


def test_the_solution_must_pass_for_a_cache_to_be_kept(
    affidavit: Command, home: Home, task: Callable[..., Path], site: Site
) -> None:
    folder = task(test=TEST.format(site=site.address), solve="true\n")
    warmed = affidavit("task", "warm", folder, "--allow", HOST)
    assert warmed.status == 1
    assert "not filled: its own solution scores 0;" in warmed.out
    assert kept_cache(home.state, load_task(folder)) is None
