"""The agent of a plan."""

from pathlib import Path

import pytest

from affidavit.agents import find_agent
from affidavit.evaluation import RunError
from affidavit.evaluation.planning import planned_agent
from affidavit.runs import PlannedAgent, PlannedJob, RunPlan
from plans import digest_of, make_plan

PATH = Path("plan.json")
CODEX = find_agent("codex")


def plan_of(agent: PlannedAgent) -> RunPlan:
    jobs = [PlannedJob(task="a", agent=agent.digest)]
    return make_plan(digest_of("key"), tasks=("a",), agents={agent.digest: agent}, jobs=jobs)


def test_an_agent_that_has_a_definition_is_planned_with_all_that_it_brings() -> None:
    agent = planned_agent(plan_of(PlannedAgent.of("codex", CODEX.command, False, CODEX.digest)), PATH)
    assert agent.definition == CODEX
    assert (agent.version, agent.environment) == (CODEX.version, CODEX.environment)


@pytest.mark.parametrize(
    ("name", "definition", "said"),
    [
        ("codex", digest_of("another"), "another definition of codex than the built-in one"),
        ("mine", digest_of("mine"), "no such agent"),
    ],
)
def test_another_definition_must_be_given(name: str, definition: str, said: str) -> None:
    with pytest.raises(RunError, match=said):
        planned_agent(plan_of(PlannedAgent.of(name, "x", False, definition)), PATH)


def test_another_definition_is_a_difference() -> None:
    one, other = (plan_of(PlannedAgent.of("codex", "x", False, digest_of(of))) for of in ("one", "other"))
    assert any("definition" in difference for difference in one.differences(other))
    assert one.differences(one) == []


def test_a_command_that_held_a_key_is_not_run_without_it() -> None:
    with pytest.raises(RunError, match="held a key"):
        planned_agent(plan_of(PlannedAgent.of("cmd", "ask --key [redacted]", False)), PATH)
