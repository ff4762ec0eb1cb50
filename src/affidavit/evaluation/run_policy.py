"""The terms of a run: what profile, suite file and command line say together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from affidavit.contracts import (
    Action,
    Attempts,
    Contract,
    Endpoint,
    EndpointError,
    Mode,
    Positions,
    contract_of,
    validated,
)
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.service_plan import service_names
from affidavit.evidence import TermsFacts, VersionFacts
from affidavit.gateway import NO_HOSTS, EgressSettings
from affidavit.grading import ASSURANCES, Assurance
from affidavit.suites import Demands, Suite, SuiteDocument, load_profile, merged, profile_facts
from affidavit.tasks import Task


@dataclass(frozen=True)
class ContractOverrides:
    """What goes before the contracts' own words; None: theirs count."""

    mode: Mode | None = None
    actions: tuple[Action, ...] | None = None
    attempts: Attempts | None = None


@dataclass(frozen=True)
class AccessTerms:
    """What agents can write and reach.

    Attributes:
        writable: folders that sandboxes make writable beside those of the contract.
        network: ``allowlist``: agents can reach hosts by name; ``none``: they can't, whatever tasks say; None: as tasks
            say.
        endpoints: what the suite lists to be reached; a task without a contract of its own may try it.
        allowed: what the command line lists beside it.
    """

    writable: tuple[str, ...] = ()
    network: str | None = None
    endpoints: tuple[str, ...] = ()
    allowed: EgressSettings = NO_HOSTS


@dataclass(frozen=True)
class Terms:
    """What holds for every trial of a run.

    Attributes:
        runtime, recorder: names, or ``auto``.
        trials: of each task.
        overrides: what goes before the contracts' own words.
        access: what agents can write and reach.
        keep_days: how long the evidence is kept; None: neither suite nor profile sets it.
        demands: what must hold, and who demands it.
        facts: of suite and profile, for the run's document and the bundles.
    """

    runtime: str = "auto"
    recorder: str = "auto"
    trials: int = 1
    overrides: ContractOverrides = ContractOverrides()
    access: AccessTerms = AccessTerms()
    keep_days: int | None = None
    demands: tuple[tuple[str, Demands], ...] = ()
    facts: TermsFacts = field(default_factory=TermsFacts)

    def enforced(self, contract: Contract) -> Contract:
        """A contract as it is judged: in the mode, with the actions and the word on attempts of these terms."""
        return contract.enforced_as(self.overrides.mode, self.overrides.actions, self.overrides.attempts)

    def has_network(self, task: Task) -> bool:
        """Whether a task's agent can reach hosts at all."""
        return (self.access.network or task.network.mode) == "allowlist"

    def listed(self, task: Task) -> tuple[str, ...]:
        """The hosts that are listed for a task's agent: by the task, by the suite, on the command line; and its
        services by their names.

        Raises:
            RunError: the task lists something else.
        """
        hosts = task.network.allowed_hosts if self.has_network(task) else ()
        for host in hosts:
            try:
                Endpoint.parse(host)
            except EndpointError as error:
                raise RunError(f"{task.path}/task.toml: allowed_hosts: {error}") from error
        listed = (*service_names(task), *hosts, *self.access.endpoints, *self.access.allowed.endpoints)
        return tuple(dict.fromkeys(listed))

    def for_default(self, contract: Contract, task: Task) -> Contract:
        """The default contract, with what task, suite and command line let the agent do.

        Raises:
            RunError: the task lists something that is no host.
        """
        endpoints = self.listed(task)
        if not (self.access.writable or endpoints):
            return contract
        value = contract.document.model_dump(mode="json", exclude_unset=True)
        value["id"] += "-of-suite"
        value["files"]["write"] += [f"{folder}/**" for folder in self.access.writable]
        value["network"] = {"endpoints": [*endpoints]}
        return contract_of(value, "the default contract")

    @property
    def assurance(self) -> Assurance | None:
        """What must stand behind every score at least; None: nobody demands it."""
        demanded = [demands.assurance for _, demands in self.demands if demands.assurance is not None]
        return max(demanded, key=ASSURANCES.index, default=None)

    def until(self, now: datetime) -> str | None:
        """The day until which the evidence is to be kept, as ISO 8601 has it."""
        return None if self.keep_days is None else str((now.astimezone(UTC) + timedelta(days=self.keep_days)).date())

    def check(self, tasks: Mapping[str, Task], contracts: Mapping[str, Contract], alerts: int) -> None:
        """Check the run against what is demanded of tasks and contracts, before its first trial.

        Args:
            tasks, contracts: by the task's name.
            alerts: number of destinations of alerts.

        Raises:
            RunError: something demanded does not hold.
        """
        for who, demands in self.demands:
            if demands.trials > self.trials:
                raise RunError(f"{who} demands {demands.trials} trials of each task at least, not {self.trials}")
            if demands.alerts and not alerts:
                raise RunError(f"{who} demands that violations are reported: name a destination with --alert")
            for name, task in tasks.items():
                self._check_contract(who, demands, task, contracts[name])
                if demands.model_judge is False and "model" in (grader.kind for grader in task.scoring.graders):
                    raise RunError(f"{who} demands that no model grades, and {task.id} has a model grader")
                if demands.control and not task.scoring.control:
                    raise RunError(f"{who} demands the control, which {task.path}/task.toml turns off")

    def check_choice(self, runtime: str, recorder: str) -> None:
        """Check what was chosen against what is demanded.

        Raises:
            RunError: it may not be.
        """
        for who, demands in self.demands:
            for what, chosen, allowed in (
                ("runtime", runtime, demands.runtimes),
                ("recorder", recorder, demands.recorders),
            ):
                if allowed is not None and chosen not in allowed:
                    raise RunError(f"{who} demands the {what} {' or '.join(allowed)}, not {chosen}")

    def _check_contract(self, who: str, demands: Demands, task: Task, contract: Contract) -> None:
        enforced = self.enforced(contract)
        if demands.contract and not task.has_contract:
            raise RunError(
                f"{who} demands that each task has a contract, and {task.id} has none; affidavit contract new makes one"
            )
        if demands.contract == "signed" and not contract.signed_by:
            raise RunError(
                f"{who} demands signed contracts, and no known key signed that of {task.id}; affidavit contract sign"
            )
        if demands.mode and enforced.mode != demands.mode:
            raise RunError(f"{who} demands mode {demands.mode}, and {task.id} is run in mode {enforced.mode}")
        for place, said in enforced.written_attempts.items() if demands.attempts else ():
            if said != demands.attempts:
                of = f"{place} of " if place else ""
                raise RunError(f"{who} demands attempts {demands.attempts}, and {of}{task.id} is run with {said}")
        for place, actions in enforced.written_actions.items():
            if missing := [action for action in demands.actions if action not in actions]:
                of = f"{place} of " if place else ""
                raise RunError(f"{who} demands the action {', '.join(missing)}, which is not taken for {of}{task.id}")


def asks_for_alerts(contract: Contract) -> bool:
    """Whether any rule of a contract has the action ``alert``."""
    return any("alert" in actions for actions in contract.written_actions.values())


def alerts_of(contract: Contract, rule: str) -> bool:
    """Whether alerts are sent when a rule is broken: when the contract asks for it, or always if it never does."""
    return not asks_for_alerts(contract) or "alert" in contract.actions_for(rule)


def terms_of(
    suite: Suite | None,
    profile: str | None,
    runtime: str | None,
    recorder: str | None,
    trials: int | None,
    network: str | None = None,
    allowed: EgressSettings = NO_HOSTS,
) -> Terms:
    """What profile, suite file and command line say together, what is nearer to the run first.

    Args:
        suite: the suite file, where the run is of one.
        profile: the name from the command line.
        runtime, recorder, trials, network, allowed: from the command line.

    Raises:
        RunError, SuiteError: they contradict each other, or there is no such profile.
    """
    named = suite.document.profile if suite else None
    if profile and named and profile != named:
        raise RunError(f"--profile {profile}: the suite names the profile {named}; remove one of them")
    chosen = profile or named
    demands: list[tuple[str, Demands]] = []
    values: dict[str, Any] = {}
    said: dict[str, Any] = {}
    if chosen:
        base = load_profile(chosen)
        demands.append((f"the profile {chosen}", base.demands))
        values = merged(values, base.settings())
        said["profile"] = VersionFacts(**profile_facts(chosen))
    if suite:
        wanted = suite.document.demands
        if suite.document.validation.model_judge is False:
            wanted = wanted.model_copy(update={"model_judge": False})
        demands.append((f"the suite {suite.document.id}", wanted))
        values = merged(values, suite.document.settings())
        document = suite.document
        said["suite"] = VersionFacts(id=document.id, version=document.version, digest=suite.digest)
    head = {"schema": "affidavit.suite/v1", "id": "run", "version": "1.0.0"}
    settings = validated({**values, **head}, Positions(), "profile and suite", SuiteDocument)
    if said:
        said |= {"settings": values, "not_honoured": suite.not_honoured if suite else {}}
    return Terms(
        runtime=runtime or settings.isolation.runtime or "auto",
        recorder=recorder or settings.recording.recorder or "auto",
        trials=trials or settings.validation.trials or 1,
        overrides=ContractOverrides(settings.contracts.mode, settings.contracts.actions, settings.contracts.attempts),
        access=AccessTerms(
            writable=settings.isolation.writable,
            network=network or ("allowlist" if allowed.endpoints else settings.isolation.network),
            endpoints=settings.isolation.endpoints,
            allowed=allowed,
        ),
        keep_days=settings.retention.days,
        demands=tuple(demands),
        facts=TermsFacts(**said),
    )
