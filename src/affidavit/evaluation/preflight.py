"""Preflight: checks all of a run before it begins, and makes what it needs."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from affidavit.alerts import Alerts, Undelivered
from affidavit.contracts import COMBINATIONS, Contract, ContractError, ContractSource, treatments
from affidavit.evaluation.active_sandboxes import LiveSandboxes
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import ChooseRuntime, Chosen, choose_runtime
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.places import check_places
from affidavit.evaluation.planning import (
    Job,
    check_fits,
    check_models,
    contract_under,
    given_plan,
    make_plan,
    planned_contracts,
    signer_of,
    use_plan,
)
from affidavit.evaluation.reach import reach_of
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.resuming import Resumed, resume_run
from affidavit.evaluation.run_options import RunOptions
from affidavit.evaluation.run_policy import Terms, asks_for_alerts, terms_of
from affidavit.evaluation.service_plan import plan_services
from affidavit.evaluation.stages import Machinery
from affidavit.evaluation.task_base import TaskBase, prepare
from affidavit.evaluation.task_images import with_images
from affidavit.evaluation.trial_plan import Backends, PlanIdentity, RunSettings, TrialPlan
from affidavit.evaluation.workplace import clean_workplaces
from affidavit.evidence import PRIVATE_FILE, EvidenceError, SigningKey, keys_dir, load_key, load_or_make_key
from affidavit.grading import PerformanceGrader, make_graders, plan_tests
from affidavit.images import ImageError, ImageStore
from affidavit.recorder import RecorderError
from affidavit.runs import (
    PLAN,
    PLAN_TOKEN,
    Checkpoint,
    Ledger,
    SignedPlan,
    request_timestamp,
    token_beside,
    write_run_statement,
)
from affidavit.sandbox import (
    SandboxError,
    clean_stale,
    state_dir,
)
from affidavit.signing import TrustDocument, read_bounded, read_trust, write_whole
from affidavit.suites import Suite, SuiteError, load_suite
from affidavit.tasks import DeclaredContract, PublishedContract, Task, TaskError, find_tasks

_MOST_TOKEN_BYTES = 1 << 20


def load_tasks(path: Path) -> tuple[Sequence[Task], Suite | None]:
    """The tasks of a task folder, of a folder of task folders, or of a suite file, and the suite where it is one.

    Raises:
        RunError: they can't be used.
    """
    try:
        suite = load_suite(path) if path.is_file() and path.name != "task.toml" else None
        return (suite.tasks if suite else find_tasks(path)), suite
    except (TaskError, SuiteError) as error:
        raise RunError(str(error)) from error


def plan_suite(path: Path, agent: Agent, options: RunOptions) -> tuple[SignedPlan, bool]:
    """The signed plan of a run that will be made later with the same arguments. Makes no sandbox.

    Returns:
        The plan, and whether its signing key was made by this call.

    Raises:
        RunError: it can't be run as asked.
    """
    tasks, suite = load_tasks(path)
    jobs = [Job(_with_contract(task, options), agent) for task in tasks]
    by_name = {job.task.id: job.task for job in jobs}
    for job in jobs:
        _check(job, options)
    try:
        for task in by_name.values():
            check_graders(task)
        terms = _terms(options, suite, None)
        own = _own_key()
        contracts = planned_contracts(by_name, _contract_source(options, own), terms)
        # Alerts are configured by the run, not by the plan.
        terms.check(by_name, contracts, alerts=1)
        check_models(contracts, options.access.model)
        key, made = (own, False) if own else load_or_make_key(keys_dir())
        return make_plan(jobs, contracts, terms, key, options.access.model, options.plan), made
    except (TaskError, SuiteError, EvidenceError) as error:
        raise RunError(str(error)) from error


def check_has_no_steps(tasks: Iterable[Task], what: str) -> None:
    """Raise RunError for what can't be done with tasks of several steps yet; `what`: its name."""
    for task in tasks:
        if task.steps:
            raise RunError(f"{task.path}/task.toml: has [[steps]], with which {what} does not work yet")


@dataclass(frozen=True)
class Preparation:
    """A run that has passed all checks and can begin.

    Attributes:
        trials: all planned trials, in order.
        choice: runtime and recorder.
        key: signs all of the run's evidence.
        made: whether the key was made for this run.
        plan: the run's signed plan.
        run: its ledger, and the trials that finished before it was interrupted.
        notes: what the user should know before it begins.
    """

    trials: tuple[TrialPlan, ...]
    choice: Chosen
    key: SigningKey
    made: bool
    plan: SignedPlan
    run: Resumed
    notes: tuple[str, ...]

    @property
    def settings(self) -> RunSettings:
        """What its trials share."""
        return self.trials[0].run

    def machinery(self, alerts: Alerts) -> Machinery:
        """What runs its trials on this machine."""
        run_id, live = self.run.run_id, LiveSandboxes()
        return Machinery(run_id=run_id, chosen=self.choice, state=state_dir(), live=live, key=self.key, alerts=alerts)

    def open_folder(self) -> int:
        """A descriptor of the run's folder for `write`, which stays valid if the name is replaced. Raises OSError."""
        return os.open(self.settings.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def result(self, trials: tuple[TrialResult, ...], undelivered: tuple[Undelivered, ...] = ()) -> RunResult:
        """What the run came to.

        Args:
            trials: results of all planned trials, in order.
            undelivered: see RunResult.
        """
        terms = self.settings.terms
        return RunResult(
            self.run.run_id,
            trials,
            self.settings.folder,
            self.notes,
            terms.facts,
            terms.until(datetime.now(UTC)),
            undelivered,
        )

    def write(self, opened: int, result: RunResult, closed: Checkpoint, timestamp: str | None = None) -> None:
        """Write ``run.json`` and the run's statements.

        Args:
            opened: see `open_folder`.
            result: what the run came to.
            closed: of its closed ledger.
            timestamp: URL of a time-stamping authority; None: no time stamp.

        Raises:
            RunError: ``run.json`` can't be written.
            EvidenceError: there is no statement.
        """
        folder = self.settings.folder
        _write_atomic(opened, folder / "run.json", json.dumps(result.to_json(), indent=2) + "\n")
        write_run_statement(folder, self.plan.plan, self.run.ledger.history, closed, self.key, timestamp)


@contextmanager
def prepared_run(
    jobs: Sequence[Job],
    options: RunOptions,
    suite: Suite | None = None,
    tell: Callable[[str], None] | None = None,
    choose: ChooseRuntime | None = None,
) -> Iterator[Preparation]:
    """Check everything about a run that can be checked beforehand, and make its folder, plan and ledger.

    First removes what killed processes of Affidavit left on the machine. Inside the ``with``, the ledger is open and
    the tasks' images are not removed.

    Args:
        jobs: tasks and agents to run.
        options: of the run.
        suite: that the tasks belong to; None: they belong to none.
        tell: is called with a sentence on each step that takes long.
        choose: finds runtime and recorder; None: `choose_runtime`.

    Raises:
        RunError: the run can't be made as asked.
    """
    if os.geteuid() != 0:
        raise RunError("making sandboxes needs root: run affidavit with sudo, or in a container that is root")
    with _images_in_use(jobs):
        ready = _prepare_run(jobs, options, suite, tell, choose or choose_runtime)
        try:
            yield ready
        finally:
            ready.run.ledger.close()


@contextmanager
def _images_in_use(jobs: Sequence[Job]) -> Iterator[None]:
    """Keep the images of tasks from being removed while they run."""
    wanted = [task.environment.rootfs for job in jobs for task in (job.task, job.task.grading) if task is not None]
    if all(rootfs.kind == "host" for rootfs in wanted):
        yield
        return
    try:
        store = ImageStore(state_dir())
    except ImageError as error:
        raise RunError(str(error)) from error
    with store.in_use():
        yield


def _prepare_run(
    jobs: Sequence[Job],
    options: RunOptions,
    suite: Suite | None,
    tell: Callable[[str], None] | None,
    choose: ChooseRuntime,
) -> Preparation:
    state = state_dir()
    jobs = [replace(job, task=_with_contract(job.task, options)) for job in jobs]
    found = with_images({job.task.id: job.task for job in jobs}.values(), state, tell)
    by_name = {task.id: task for task in found}
    jobs = [replace(job, task=by_name[job.task.id]) for job in jobs]
    tasks = {job.task.id: job.task for job in jobs}
    for job in jobs:
        _check(job, options)
    if options.plan.file is not None and options.resume is not None:
        raise RunError("--resume goes on with the run's own plan; leave --plan out")
    out = options.out if options.resume is None else options.resume
    check_places([*tasks.values()], state, out, rootfs_outside=options.rootfs_outside)
    try:
        for task in tasks.values():
            check_graders(task)
        given = None if options.plan_file is None else given_plan(options.plan_file)
        terms = _terms(options, suite, given)
        choice = _choose(terms, tasks.values(), choose)
        made_strict = _without_container(tasks.values(), choice)
        tasks.update({task.id: task.in_profile("strict") for task in made_strict})
        jobs = [replace(job, task=tasks[job.task.id]) for job in jobs]
        terms.check_choice(choice.runtime.name, choice.recorder.name)
        own = _own_key()
        contracts = _contract_source(options, own)
        if given is not None and options.plan_file is not None:
            # First: what follows may take minutes.
            planned = planned_contracts(tasks, contracts, terms)
            signer = signer_of(given, options.plan_file, own)
            asked = make_plan(jobs, planned, terms, signer, options.access.model, options.plan)
            check_fits(given, asked, options.plan_file)
            if options.plan.nonce not in (None, given.plan.nonce):
                raise RunError(f"--nonce {options.plan.nonce}: the plan has another one, {given.plan.nonce}")
        clean_stale(state)
        clean_workplaces(state)
        bases = {name: _base(task, state, contracts, terms, tell) for name, task in tasks.items()}
        planned = {name: base.contract for name, base in bases.items()}
        jobs = [replace(job, agent=job.agent.with_files(bases[job.task.id].rootfs, state)) for job in jobs]
        jobs = [_looked_through(job, state, tell) for job in jobs]
        terms.check(tasks, planned, alerts=len(options.alerts))
        check_models(planned, options.access.model)
        folder = _run_folder(options.out) if options.resume is None else options.resume
        # Last: a run that fails its checks leaves no new key behind.
        key, made = (own, False) if own else load_or_make_key(keys_dir())
        plan = given or make_plan(jobs, planned, terms, key, options.access.model, options.plan)
        if options.resume is not None:
            resumed = resume_run(folder, plan, key)
        else:
            if given is not None:
                use_plan(state, given, folder)
            write_whole(folder / PLAN, plan.data())
            _stamp_plan(folder, plan, options)
            resumed = Resumed(folder.name, Ledger.create(folder, key, folder.name, plan.plan.digest), {})
    except (TaskError, ContractError, SuiteError, SandboxError, RecorderError, EvidenceError) as error:
        raise RunError(str(error)) from error
    notes = [*_notes(tasks, planned, terms, told=bool(options.alerts)), *_not_held(planned, choice), *_brought(jobs)]
    notes += _mcp_notes(jobs, planned, terms)
    notes += [
        f"{task.id}: its sandboxes have the profile strict, as {choice.runtime.name} with {choice.recorder.name} can't "
        "hold the profile container, which images have where task.toml names none"
        for task in made_strict
    ]
    if choice.second_best:
        notes.insert(0, f"{choice.runtime.name} + {choice.recorder.name}: {choice.why}")
    settings = RunSettings(
        run_id=resumed.run_id,
        folder=folder,
        backends=Backends(choice.runtime.name, choice.recorder.name, choice.runtime_detail, choice.why),
        plan=PlanIdentity(plan.plan.digest, plan.plan.nonce),
        terms=terms,
        model=options.access.model,
        filling=options.access.filling,
    )
    return Preparation(_trial_plans(settings, plan, jobs, bases), choice, key, made, plan, resumed, tuple(notes))


def _trial_plans(
    settings: RunSettings, plan: SignedPlan, jobs: Sequence[Job], bases: Mapping[str, TaskBase]
) -> tuple[TrialPlan, ...]:
    """All trials of a plan, in order."""
    by_name = {(job.task.id, job.agent.name): job for job in jobs}
    plans = []
    for trial in plan.plan.in_order:
        job, base = by_name[trial.task, trial.agent_name], bases[trial.task]
        parts = (base.contract, base.rootfs, base.grading, base.services)
        plans.append(TrialPlan(settings, trial, job.task, job.agent, *parts))
    return tuple(plans)


def _base(
    task: Task, state: Path, contracts: ContractSource, terms: Terms, tell: Callable[[str], None] | None
) -> TaskBase:
    """The root file systems and the contract of a task, under the terms of the run."""
    base = prepare(task, state, contracts)
    return replace(base, contract=contract_under(terms, task, base.contract), services=plan_services(task, state, tell))


def _choose(terms: Terms, tasks: Iterable[Task], choose: ChooseRuntime) -> Chosen:
    """The runtime and recorder of a run. Raises RunError if the ones asked for can't run the tasks."""
    container = next((task.id for task in tasks if task.environment.asked.profile == "container"), None)
    if container is None:
        return choose(terms.runtime, terms.recorder)
    for flag, asked, needed in (("--runtime", terms.runtime, "runc"), ("--recorder", terms.recorder, "ebpf")):
        if asked not in ("auto", needed):
            raise RunError(f"{flag} {asked}: {container} has the container profile, which needs {flag} {needed}")
    return choose("runc", "ebpf")


def _without_container(tasks: Iterable[Task], choice: Chosen) -> list[Task]:
    """The tasks on images that would have the container profile, which the chosen ones can't hold."""
    if (choice.runtime.name, choice.recorder.name) == ("runc", "ebpf"):
        return []
    return [task for task in tasks if task.environment.profile == "container"]


def _stamp_plan(folder: Path, plan: SignedPlan, options: RunOptions) -> None:
    """Copy the plan's time stamp into the run's folder, or request one if asked for. Raises EvidenceError."""
    given, url = options.plan.file, options.plan.timestamp
    if given is not None and token_beside(given).exists():
        write_whole(folder / PLAN_TOKEN, read_bounded(token_beside(given), _MOST_TOKEN_BYTES))
    elif url is not None:
        write_whole(folder / PLAN_TOKEN, request_timestamp(url, plan.envelope, plan.plan.signer))


def _with_contract(task: Task, options: RunOptions) -> Task:
    """The task with the contract from the options, if they name one."""
    wanted, registry = options.policy.contract, options.policy.registry
    if wanted is None:
        if registry is None:
            return task
        if (declared := task.contract.published) is None:
            raise RunError(f"--registry {registry}: is of no use without --contract ID@VERSION: {task.id} names none")
        published = replace(declared, registry=registry, allowed=True)
        return replace(task, contract=DeclaredContract(published=published))
    if registry is not None:
        if "@" not in wanted and Path(wanted).exists():
            raise RunError(f"--contract {wanted} is a file, and --registry {registry} has ID@VERSION: leave one out")
        return replace(task, contract=DeclaredContract(published=PublishedContract(wanted, registry, allowed=True)))
    if not Path(wanted).exists():
        fix = "; say where with --registry" if "@" in wanted else ""
        raise RunError(f"--contract {wanted}: there is no such file{fix}")
    return replace(task, contract=DeclaredContract(path=Path(wanted)))


def _terms(options: RunOptions, suite: Suite | None, given: SignedPlan | None) -> Terms:
    """The terms of a run; the plan gives what the command line leaves open."""
    profile, chosen = options.policy.profile, (options.access.network, options.access.allowed)
    if given is None:
        return terms_of(suite, profile, options.runtime, options.recorder, options.trials, *chosen)
    plan = given.plan
    return terms_of(
        suite,
        profile or (plan.profile.id if plan.profile else None),
        options.runtime or plan.runtime,
        options.recorder or plan.recorder,
        options.trials or plan.trials,
        *chosen,
    )


def _contract_source(options: RunOptions, own: SigningKey | None) -> ContractSource:
    """The source of contracts. Raises EvidenceError if the trust file can't be used."""
    trusted = None if options.policy.trust is None else read_trust(options.policy.trust)
    return ContractSource(TrustDocument.of([own.public]) if own else None, trusted)


def _own_key() -> SigningKey | None:
    """The user's key; None if there is none. Raises EvidenceError if it can't be used."""
    return load_key(keys_dir()) if (keys_dir() / PRIVATE_FILE).exists() else None


def _check(job: Job, options: RunOptions) -> None:
    if job.agent.definition is not None and options.access.model is None:
        raise RunError(f"--agent {job.agent.name}: asks a model: say which with --model NAME")
    for task in job.task.played if job.agent.sees_solution else ():
        solution = task.solution.folder / "solve.sh"
        if not solution.is_file():
            raise RunError(f"{solution}: does not exist, so --agent oracle has nothing to run")


def check_has_no_services(tasks: Iterable[Task], what: str) -> None:
    """Raise RunError if a task has services, which `what` can't do."""
    for task in tasks:
        if task.environment.compose is not None:
            raise RunError(f"{task.environment.compose}: {what} takes no tasks of several services yet")


def check_graders(task: Task) -> None:
    """Raise TaskError if a task's graders can't be made or its hidden tests can't be planned."""
    for named in make_graders(task.scoring.graders):
        for played in task.played:
            if named.spec.kind == "test_run":
                plan_tests(named.spec, played)
            if isinstance(named.grader, PerformanceGrader):
                named.grader.settings.check_files(named.spec, played.tests.folder)


def _looked_through(job: Job, state: Path, tell: Callable[[str], None] | None) -> Job:
    """The job, after a search of what its agent brings for the task's hidden parts. Raises RunError."""
    if tell is not None and job.agent.installed is not None:
        tell(f"looking through what {job.agent.name} brings to {job.task.id}")
    return replace(job, agent=job.agent.scanned(job.task, state))


def _brought(jobs: Sequence[Job]) -> Iterator[str]:
    """Notes for the user on what agents bring."""
    for job in jobs:
        facts = job.agent.scan_facts
        if facts is not None and not facts.is_clean:
            yield f"{job.task.id}: {facts.sentence}"


def _mcp_notes(jobs: Sequence[Job], contracts: Mapping[str, Contract], terms: Terms) -> Iterator[str]:
    """Notes for the user on MCP servers that an agent does not take or can't reach."""
    for job in jobs:
        task, agent = job.task, job.agent
        if not task.mcp_servers:
            continue
        if agent.definition is not None and agent.mcp is None:
            yield f"{task.id}: {agent.name} takes no MCP servers: it works without those of the task"
        reach = reach_of(task, contracts[task.id], terms)
        for server in task.mcp_servers:
            if server.endpoint is not None and (reach is None or not reach.allows(*server.endpoint)):
                host, port = server.endpoint
                yield (
                    f"{task.id}: the MCP server {server.name} can't be reached: {host}:{port} is not among the allowed "
                    f"hosts; list it under allowed_hosts, or with --allow {host}:{port}"
                )


def _notes(tasks: Mapping[str, Task], contracts: Mapping[str, Contract], terms: Terms, told: bool) -> Iterator[str]:
    yield from (f"suite: {name}: {text}" for name, text in terms.facts.not_honoured.items())
    for name, task in tasks.items():
        contract = terms.enforced(contracts[name])
        yield from (f"{name}: {warning}" for warning in (*task.warnings, *contract.warnings))
        reach = reach_of(task, contracts[name], terms)
        if terms.has_network(task) or task.environment.compose is not None:
            listed = ", ".join(reach.all if reach else ()) or "nothing: the contract allows none of it"
            yield f"{name}: NETWORK: the agent can reach {listed}"
        elif contract.document.network.endpoints:
            yield f"{name}: network.endpoints: nothing can be reached: the run has no --network allowlist"
        if contract.mode == "audit":
            yield f"{name}: MODE AUDIT: violations are recorded and do not change the verdict"
    asking = [name for name in tasks if asks_for_alerts(terms.enforced(contracts[name]))]
    if asking and not told:
        yield f"actions: alert: no message is sent, because no --alert names a destination: {', '.join(asking)}"
    default = [name for name, task in tasks.items() if not task.has_contract]
    if default:
        yield f"no contract.yaml, so the built-in default contract holds: {', '.join(default)}"


def _not_held(contracts: Mapping[str, Contract], choice: Chosen) -> Iterator[str]:
    """Parts of contracts that this runtime does not enforce and this recorder does not see."""
    way = (choice.runtime.name, choice.recorder.name)
    if way not in COMBINATIONS:
        return
    for name, contract in contracts.items():
        for one in treatments(contract, *way):
            if (one.prevented, one.detected) == ("no", "no"):
                yield f"{name}: {one.construct}: is not held under {way[0]}: {one.note}"


def _run_folder(out: Path) -> Path:
    run_id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(3)}"
    folder = out / run_id
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"--out {out}: can't be written: {error.strerror}") from error
    return folder


def _write_atomic(folder: int, path: Path, text: str) -> None:
    """Write a file into an open folder, even if the folder's name has been replaced."""
    temporary = f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise RunError(f"{path}: can't be written: {error.strerror}") from error
