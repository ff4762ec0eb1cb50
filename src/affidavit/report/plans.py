"""A run's plan for people at a terminal."""

from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from rich.text import Text

from affidavit.report.console import open_console
from affidavit.report.text import printable
from affidavit.runs import RunPlan
from affidavit.statistics import DetectableEffect, detectable_effect


def plan_document(plan: RunPlan, path: Path) -> dict[str, Any]:
    """What ``affidavit plan --json`` prints."""
    return {
        "plan": str(path),
        "digest": plan.digest,
        "signer": plan.signer,
        "trials": len(plan.in_order),
        "minimum_detectable_effect": asdict(_effect(plan)),
        "document": plan.model_dump(mode="json", exclude_none=True),
    }


def print_plan(plan: RunPlan, path: Path, out: IO[str]) -> None:
    """What is planned, and what it can show."""
    console = open_console(out)
    effect, bounds = _effect(plan), plan.thresholds
    agents = ", ".join(sorted({agent.name for agent in plan.agents.values()}))
    lines = [
        f"{len(plan.in_order)} trials: {len(plan.tasks)} tasks × {plan.trials} trials, agent {agents}",
        f"digest {plan.digest}, signed by {plan.signer}",
        f"passes with {bounds.pass_rate:.0%} of the trials",
        f"minimum detectable effect against another run of this size (power {bounds.power:.0%}, significance "
        f"{1 - bounds.confidence:.0%}): {_points(effect.independent)} if a task's trials are independent; "
        f"{_points(effect.alike)} if a task's trials all end alike",
        str(path),
    ]
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


def _effect(plan: RunPlan) -> DetectableEffect:
    # What is compared is one agent's result on every task.
    trials = max(1, len(plan.in_order) // max(1, len(plan.agents)) // len(plan.tasks))
    return detectable_effect(len(plan.tasks), trials, plan.thresholds.confidence, plan.thresholds.power)


def _points(effect: float | None) -> str:
    return "none with so few tasks" if effect is None else f"{100 * effect:.1f} percentage points"
