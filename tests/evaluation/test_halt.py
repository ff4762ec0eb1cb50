"""`halt`: the record holds the event and everything up to the kill. How soon: benchmarks/latency.py."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Trials, Way

pytestmark = pytest.mark.usefixtures("nothing_left")

CONTRACT = {
    "actions": ["flag", "halt"],
    "files": {"read": ["/**"], "write": ["/workspace/**"], "deny": ["/workspace/forbidden"]},
}
# Two processes leave a mark every moment, for as long as they live; a third does what it may not and would go on.
AGENT = """
mark() { i=0; while :; do i=$((i+1)); : >mark-$1-$i; done; }
mark a & mark b &
sleep 0.3
cat forbidden
sleep 60
"""


def test_the_record_holds_everything_up_to_the_kill(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    outcome = trials(way, task(contract=CONTRACT), AGENT)
    assert (outcome.verdict, outcome.json("agent/exit.json")["halted"]) == ("violation", True)
    assert outcome.evidence["lost"] == 0
    events = outcome.events()
    [violation] = [one for one in outcome.trial.judgement.violations if one.rule == "files.deny"]
    assert violation.action == "halt"
    assert events[violation.events[0]]["path"] == "/workspace/forbidden"
    # Each mark that is on the disk is in the record, one that the kill interrupted as a call without an end.
    marks = {path for path in outcome.changed() if path.startswith("/workspace/mark-")}
    recorded = {event["path"] for event in events if event["op"] in ("create", "open_write")}
    assert marks
    assert marks <= recorded
    # It did not go on for long: the command would have slept for a minute.
    assert outcome.json("agent/exit.json")["duration_ms"] < 50_000


def test_a_list_may_halt_where_the_contract_only_flags(trials: Trials, task: Callable[..., Path], way: Way) -> None:
    files = {**CONTRACT["files"], "actions": ["halt"]}  # type: ignore[dict-item]
    contract = {"actions": ["flag"], "files": files}
    outcome = trials(way, task(contract=contract), "cat forbidden; sleep 60")
    assert outcome.json("agent/exit.json")["halted"] is True
    contract = {"actions": ["halt"], "files": {**files, "actions": ["flag"]}}
    outcome = trials(way, task("flags/tiny", contract=contract), "cat forbidden; echo 42 >answer")
    assert outcome.json("agent/exit.json")["halted"] is False
    assert outcome.raw_score == 1.0
