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


def test_an_agent_of_another_name_is_found_by_its_definition() -> None:
    agent = planned_agent(plan_of(PlannedAgent.of("codex-high", CODEX.command, False, CODEX.digest)), PATH)
    assert (agent.name, agent.definition) == ("codex-high", CODEX)


@pytest.mark.parametrize("name", ["codex", "mine"])
def test_another_definition_must_be_given(name: str) -> None:
    with pytest.raises(RunError, match=f"plan.json: the definition of {name} is not a built-in one; give --agent-file"):
        planned_agent(plan_of(PlannedAgent.of(name, "x", False, digest_of("another"))), PATH)


def test_another_definition_is_a_difference() -> None:
    one, other = (plan_of(PlannedAgent.of("codex", "x", False, digest_of(of))) for of in ("one", "other"))
    assert any("definition" in difference for difference in one.differences(other))
    assert one.differences(one) == []


def test_a_command_that_held_a_key_is_not_run_without_it() -> None:
    with pytest.raises(RunError, match="held a key"):
        planned_agent(plan_of(PlannedAgent.of("cmd", "ask --key [redacted]", False)), PATH)
