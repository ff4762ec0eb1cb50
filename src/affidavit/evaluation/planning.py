"""The plan of a run, from what was asked for."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from affidavit.agents import built_in_agents
from affidavit.contracts import Contract, ContractError, ContractSource, name_matches
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.reach import reach_of
from affidavit.evaluation.run_options import PlanOptions
from affidavit.evaluation.run_policy import Terms
from affidavit.evidence import EvidenceError, SigningKey, VersionFacts
from affidavit.gateway import REDACTED, GatewaySettings, Redactor
from affidavit.runs import (
    PlannedAgent,
    PlannedJob,
    PlannedModel,
    PlannedNetwork,
    PlannedPrice,
    PlannedStep,
    PlannedSteps,
    PlannedTask,
    RunPlan,
    SignedPlan,
    Thresholds,
    Versioned,
    new_nonce,
    new_seed,
    read_plan,
    sign_plan,
)
from affidavit.signing import canonical_json, now
from affidavit.tasks import Task

_MOST_NAMED = 5


@dataclass(frozen=True)
class Job:
    """An agent, put to a task."""

    task: Task
    agent: Agent


def make_plan(
    jobs: Sequence[Job],
    contracts: Mapping[str, Contract],
    terms: Terms,
    key: SigningKey,
    model: GatewaySettings | None,
    options: PlanOptions,
) -> SignedPlan:
    """The signed plan of a run.

    Args:
        jobs: what is run.
        contracts: by the task's name.
        terms: what holds for every trial.
        key: signs.
        model: settings of the agents' model gateway; None: they have no model.
        options: seed, pass rate and nonce.

    Raises:
        EvidenceError: a text in it has no canonical form.
    """
    redactor = Redactor(model.secrets() if model else ())
    agents = [_planned(job.agent, redactor) for job in jobs]
    tasks = {job.task.id: job.task for job in jobs}
    plan = RunPlan(
        made=now(),
        affidavit=version("affidavit"),
        signer=key.key_id,
        runtime=terms.runtime,
        recorder=terms.recorder,
        suite=_versioned(terms.facts.suite),
        profile=_versioned(terms.facts.profile),
        tasks=[_task(task, contracts[name], terms) for name, task in tasks.items()],
        agents={agent.digest: agent for agent in agents},
        model=None if model is None else _model(model),
        jobs=[PlannedJob(task=job.task.id, agent=agent.digest) for job, agent in zip(jobs, agents, strict=True)],
        trials=terms.trials,
        seed=new_seed() if options.seed is None else options.seed,
        thresholds=Thresholds() if options.pass_rate is None else Thresholds(pass_rate=options.pass_rate),
        nonce=options.nonce or new_nonce(),
    )
    return sign_plan(plan, key)


def given_plan(path: Path) -> SignedPlan:
    """The plan that a run is held to.

    Raises:
        RunError: there is none.
    """
    try:
        return read_plan(path)
    except EvidenceError as error:
        raise RunError(f"--plan {error}") from error


def signer_of(given: SignedPlan, path: Path, own: SigningKey | None) -> SigningKey:
    """The key that a planned run must be signed with.

    Args:
        given: the plan.
        path: its file.
        own: the user's key; None where there is none.

    Raises:
        RunError: it is another than the user's, or did not sign the plan.
    """
    if own is None or own.key_id != given.plan.signer:
        mine = "there is none here" if own is None else f"yours is {own.key_id}"
        raise RunError(f"--plan {path}: must be run with the signing key {given.plan.signer}, and {mine}")
    if not given.envelope.signed_by(own.public):
        raise RunError(f"--plan {path}: the signature of {own.key_id} is missing or does not fit; make the plan again")
    return own


def check_fits(given: SignedPlan, asked: SignedPlan, path: Path) -> None:
    """Whether a run is the one that was planned.

    Args:
        given: the plan.
        asked: of the run that was asked for.
        path: the plan's file.

    Raises:
        RunError: it is another.
    """
    if differences := given.plan.differences(asked.plan):
        more = f"; and {len(differences) - _MOST_NAMED} more" if len(differences) > _MOST_NAMED else ""
        raise RunError(f"--plan {path}: this run is not the planned one: {'; '.join(differences[:_MOST_NAMED])}{more}")


def use_plan(state: Path, signed: SignedPlan, folder: Path) -> None:
    """Remember that a plan is run, so that it is not run again until a result pleases.

    Args:
        state: the state folder.
        signed: the plan.
        folder: of its run, still empty; it is removed where the plan can't be used.

    Raises:
        RunError: it was run before.
    """
    mark = state / "plans" / signed.plan.digest.removeprefix("sha256:")
    try:
        mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with mark.open("x", encoding="utf-8") as file:
            file.write(f"{folder.name}\n")
    except FileExistsError:
        folder.rmdir()
        earlier = mark.read_text("utf-8").strip()
        raise RunError(f"the plan {signed.plan.digest} was run already, as {earlier}; make a new plan") from None
    except OSError as error:
        raise RunError(f"{mark}: can't be written: {error.strerror}") from error


def planned_agent(plan: RunPlan, path: Path) -> Agent:
    """The one agent of a plan.

    Raises:
        RunError: there are several, or its command can't be taken from the plan.
    """
    agents = [*plan.agents.values()]
    if len(agents) != 1:
        raise RunError(f"--plan {path}: plans {len(agents)} agents, and a run has one; give --predictions again")
    (agent,) = agents
    if agent.definition is not None:
        # By digest, since a run may give its agent another name.
        found = [one for one in built_in_agents().values() if one.digest == agent.definition]
        if not found:
            raise RunError(f"--plan {path}: the definition of {agent.name} is not a built-in one; give --agent-file")
        return replace(Agent.defined(found[0]), name=agent.name)
    if REDACTED.decode() in agent.command:
        raise RunError(f"--plan {path}: the agent's command held a key, which is not in it; give --agent-cmd")
    return Agent(agent.name, agent.command, agent.sees_solution)


def planned_contracts(tasks: Mapping[str, Task], source: ContractSource, terms: Terms) -> dict[str, Contract]:
    """The contracts that tasks run under, by the task's name.

    Raises:
        RunError: one can't be used.
    """
    try:
        return {name: contract_under(terms, task, source.contract_for(task)) for name, task in tasks.items()}
    except ContractError as error:
        raise RunError(str(error)) from error


def check_models(contracts: Mapping[str, Contract], model: GatewaySettings | None) -> None:
    """See that agents may ask for the model that a run gives them.

    Args:
        contracts: by the task's name.
        model: what the run gives; None: none.

    Raises:
        RunError: a contract does not let its agent ask for it.
    """
    for name, contract in contracts.items():
        admitted = contract.document.model.models
        if model is not None and admitted is not None and not name_matches(admitted, model.models[0]):
            raise RunError(
                f"--model {model.models[0]}: the contract {contract.id} of {name} does not let its agent ask for it; "
                f"model.models names {', '.join(admitted)}"
            )


def contract_under(terms: Terms, task: Task, contract: Contract) -> Contract:
    """A task's contract; the default one, with what the run's suite lets every task do."""
    return contract if task.has_contract else terms.for_default(contract, task)


def _planned(agent: Agent, redactor: Redactor) -> PlannedAgent:
    definition = None if agent.definition is None else agent.definition.digest
    return PlannedAgent.of(agent.name, redactor.text(agent.command), agent.sees_solution, definition)


def _model(settings: GatewaySettings) -> PlannedModel:
    """Where models are and what may be asked of them; keys stay outside."""
    answers = canonical_json([dict(answer) for answer in settings.script])
    return PlannedModel(
        mode=settings.mode,
        models=[*settings.models],
        upstreams={name: upstream.url for name, upstream in settings.upstreams.items()},
        mapping=dict(settings.mapping),
        answers=None if settings.mode == "live" else "sha256:" + hashlib.sha256(answers).hexdigest(),
        requests=settings.budgets.requests,
        tokens=settings.budgets.tokens,
        seconds=settings.budgets.seconds,
        cost=settings.budgets.cost,
        prices={name: PlannedPrice(input=one.input, output=one.output) for name, one in settings.prices.items()},
        provider_tools=settings.provider_tools,
    )


def _task(task: Task, contract: Contract, terms: Terms) -> PlannedTask:
    reach = reach_of(task, contract, terms)
    return PlannedTask(
        id=task.id,
        digest=task.digest,
        contract=Versioned(id=contract.id, version=contract.version, digest=contract.digest),
        passing_score=float(task.scoring.passing_score),
        network=None if reach is None else PlannedNetwork(endpoints=[*reach.all], addresses={**reach.addresses}),
        steps=planned_steps(task),
    )


def planned_steps(task: Task) -> PlannedSteps | None:
    """What a plan says of the steps of a task; None where it has none."""
    if not task.steps:
        return None
    steps = [PlannedStep(name=step.name, min_reward=step.min_reward) for step in task.steps]
    return PlannedSteps(strategy=task.reward_strategy, steps=steps)


def _versioned(facts: VersionFacts | None) -> Versioned | None:
    return None if facts is None else Versioned(id=facts.id, version=facts.version, digest=facts.digest)
