"""A run of many trials."""

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from affidavit.alerts import Alerts, Destination
from affidavit.contracts import COMBINATIONS, Contract, ContractError, ContractSource, treatments
from affidavit.evaluation.active_sandboxes import Interrupted, LiveSandboxes
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import ChooseRuntime, Chosen, choose_runtime
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.interrupts import terminable
from affidavit.evaluation.places import check_places
from affidavit.evaluation.planning import (
    Job,
    check_fits,
    check_models,
    contract_under,
    given_plan,
    make_plan,
    planned_agent,
    planned_contracts,
    signer_of,
    use_plan,
)
from affidavit.evaluation.reach import reach_of
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.resuming import Resumed, resume_run
from affidavit.evaluation.run_policy import Terms, asks_for_alerts, terms_of
from affidavit.evaluation.stages import Machinery
from affidavit.evaluation.task_images import most_bytes, with_images
from affidavit.evaluation.trial import run_trial
from affidavit.evaluation.workplace import clean_workplaces
from affidavit.evidence import PRIVATE_FILE, EvidenceError, SigningKey, keys_dir, load_key, load_or_make_key
from affidavit.gateway import NO_HOSTS, EgressSettings, GatewaySettings
from affidavit.grading import PerformanceGrader, make_graders, plan_tests
from affidavit.images import ImageError, ImageStore
from affidavit.recorder import RecorderError
from affidavit.runs import (
    PLAN,
    PLAN_TOKEN,
    Checkpoint,
    Ledger,
    PlannedTrial,
    SignedPlan,
    request_timestamp,
    token_beside,
    write_run_statement,
)
from affidavit.sandbox import (
    RootFilesystem,
    SandboxError,
    User,
    clean_stale,
    host_rootfs,
    lay_over,
    oci_rootfs,
    state_dir,
    tarball_rootfs,
)
from affidavit.signing import TrustDocument, read_bounded, read_trust, write_whole
from affidavit.suites import Suite, SuiteError, load_suite
from affidavit.tasks import PublishedContract, Rootfs, Task, TaskError, find_tasks

_logger = logging.getLogger(__name__)

_WAIT_S = 0.2
_MOST_TOKEN_BYTES = 1 << 20


class Progress(Protocol):
    """Who is told how a run goes; called from one thread at a time."""

    def note(self, text: str) -> None:
        """A thing the user should know, once."""

    def doing(self, done: int, total: int, what: str) -> None:
        """`done` of `total` trials are done; now comes `what`."""

    def finished(self, done: int, total: int, trial: TrialResult) -> None:
        """A trial is done."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is made.

    Attributes:
        runtime, recorder: their names, or ``auto``; None: as profile and suite say, else ``auto``.
        trials: of each job; None: as profile and suite say, else one.
        workers: trials at the same time.
        out: the folder that gets a folder for the run.
        profile: name of a built-in one.
        alerts: who is told of violations.
        contract: a contract's file, or ID@VERSION in `registry`, which every task runs under in place of its own.
        registry: a folder or git+URL.
        trust: the trust file that says who must have signed the contracts.
        rootfs_outside: root file systems may come from outside of the tasks' folders.
        plan: the file of a plan that the run must fit; None: it is planned as it is asked for.
        nonce: of a new plan, 32 bytes in hex: the challenge of whoever will accept the evidence; None: random ones.
        filling: see `Machinery`.
        timestamp: address of a time-stamping authority (RFC 3161) for plan and statement; None: nobody stamps.
        resume: the folder of a run that was interrupted and is to go on; None: a new run.
        seed: of a new plan; None: a random one.
        pass_rate: the share of trials that a new plan says must pass; None: all.
        model: what the agents' model gateway is told; None: they have no model.
        network: ``none`` or ``allowlist``; None: as suite and tasks say.
        allowed: hosts that agents may reach beside those of suite and tasks.
    """

    runtime: str | None = None
    recorder: str | None = None
    trials: int | None = None
    workers: int = 1
    out: Path = Path("runs")
    profile: str | None = None
    alerts: tuple[Destination, ...] = ()
    contract: str | None = None
    registry: str | None = None
    trust: Path | None = None
    rootfs_outside: bool = False
    plan: Path | None = None
    seed: int | None = None
    pass_rate: float | None = None
    model: GatewaySettings | None = None
    resume: Path | None = None
    timestamp: str | None = None
    nonce: str | None = None
    network: str | None = None
    allowed: EgressSettings = NO_HOSTS
    filling: tuple[str, ...] | None = None

    @property
    def plan_file(self) -> Path | None:
        """The plan that the run must fit; None where a new plan is made."""
        return self.plan if self.resume is None else self.resume / PLAN


@dataclass(frozen=True)
class _Prepared:
    rootfs: RootFilesystem
    contract: Contract
    grading: RootFilesystem | None = None


def run_suite(path: Path, agent: Agent | None, options: RunOptions, progress: Progress) -> RunResult:
    """Put an agent to a task folder, to every task in a folder, or to those of a suite file; see `run_jobs`.

    Args:
        agent: None: the one of ``options.plan``.
    """
    tasks, suite = load_tasks(path)
    if agent is None:
        if (path_of_plan := options.plan_file) is None:
            raise RunError("say which agent: --agent oracle, --agent nop, or --agent-cmd CMD (one of them)")
        agent = planned_agent(given_plan(path_of_plan).plan, path_of_plan)
    return run_jobs([Job(task, agent) for task in tasks], options, progress, suite)


def plan_suite(path: Path, agent: Agent, options: RunOptions) -> tuple[SignedPlan, bool]:
    """The signed plan of a run that is to be made later with the same arguments; no sandbox is made.

    Returns:
        The plan, and whether the key that signs it was made just now.

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
        # Who is told of violations is for the run to say.
        terms.check(by_name, contracts, alerts=1)
        check_models(contracts, options.model)
        key, made = (own, False) if own else load_or_make_key(keys_dir())
        return make_plan(
            jobs, contracts, terms, key, options.model, options.seed, options.pass_rate, options.nonce
        ), made
    except (TaskError, SuiteError, EvidenceError) as error:
        raise RunError(str(error)) from error


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


def run_jobs(jobs: Sequence[Job], options: RunOptions, progress: Progress, suite: Suite | None = None) -> RunResult:
    """Run agents on tasks.

    Everything that can be known to be wrong is found before the first trial begins. What an affidavit that was killed
    left on the machine is removed first. SIGINT and SIGTERM end all sandboxes; finished trials keep their bundles.

    Raises:
        RunError: the run can't be made as asked.
        KeyboardInterrupt: it was interrupted.
    """
    doing = partial(progress.doing, 0, len(jobs))
    with terminable(), prepared_run(jobs, options, suite, doing) as ready:
        return _run_prepared(ready, options, progress)


@dataclass(frozen=True)
class Preparation:
    """What a run rests on, found usable before anything of it begins.

    Attributes:
        jobs: what is run, each task with its contract and image, each agent with what it brings.
        terms: what profile and suite say.
        choice: runtime and recorder.
        prepared: root file system and contract of each task, by its id.
        folder: of the run, with its plan and its ledger.
        key: signs all of the run's evidence.
        made: whether the key was made for this run.
        plan: of the run.
        run: its ledger, and the trials that were finished before it was interrupted.
        notes: what the user should know before it begins.
    """

    jobs: tuple[Job, ...]
    terms: Terms
    choice: Chosen
    prepared: Mapping[str, _Prepared]
    folder: Path
    key: SigningKey
    made: bool
    plan: SignedPlan
    run: Resumed
    notes: tuple[str, ...]

    def machinery(
        self, alerts: Alerts, model: GatewaySettings | None = None, filling: tuple[str, ...] | None = None
    ) -> Machinery:
        """What every trial of the run shares."""
        return Machinery(
            run_id=self.run.run_id,
            runtime=self.choice.runtime,
            runtime_detail=self.choice.runtime_detail,
            recorder=self.choice.recorder,
            why_recorder=self.choice.why,
            state=state_dir(),
            key=self.key,
            live=LiveSandboxes(),
            terms=self.terms,
            alerts=alerts,
            plan=self.plan.plan,
            model=model,
            filling=filling,
        )

    def open_folder(self) -> int:
        """A descriptor of the run's folder, for `write`, whatever stands under its name later. Raises OSError."""
        return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def result(self, trials: tuple[TrialResult, ...], undelivered: tuple[dict[str, Any], ...] = ()) -> RunResult:
        """What the run came to.

        Args:
            trials: all that were planned, in order.
            undelivered: see RunResult.
        """
        terms = self.terms
        return RunResult(
            self.run.run_id,
            trials,
            self.folder,
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
            timestamp: address of a time-stamping authority; None: nobody stamps.

        Raises:
            RunError: ``run.json`` can't be written.
            EvidenceError: there is no statement.
        """
        _write_atomic(opened, self.folder / "run.json", json.dumps(result.to_json(), indent=2) + "\n")
        write_run_statement(self.folder, self.plan.plan, self.run.ledger.history, closed, self.key, timestamp)


@contextmanager
def prepared_run(
    jobs: Sequence[Job],
    options: RunOptions,
    suite: Suite | None = None,
    tell: Callable[[str], None] | None = None,
    choose: ChooseRuntime | None = None,
) -> Iterator[Preparation]:
    """Find everything that can be known to be wrong with a run, and make what it needs: its folder, plan and ledger.
    What an affidavit that was killed left on the machine is removed first. The ledger is open, and no image of the
    tasks is removed, inside the ``with``.

    Args:
        jobs: what is to be run.
        options: how the run is made.
        suite: where the tasks are a suite's.
        tell: is told what is being done.
        choose: finds runtime and recorder; `choose_runtime` where None.

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
    wanted = [task.rootfs for job in jobs for task in (job.task, job.task.grading) if task is not None]
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
    if options.plan is not None and options.resume is not None:
        raise RunError("--resume goes on with the run's own plan; leave --plan out")
    out = options.out if options.resume is None else options.resume
    check_places([*tasks.values()], state, out, rootfs_outside=options.rootfs_outside)
    try:
        for task in tasks.values():
            check_graders(task)
        given = None if options.plan_file is None else given_plan(options.plan_file)
        terms = _terms(options, suite, given)
        choice = _choose(terms, tasks.values(), choose)
        terms.check_choice(choice.runtime.name, choice.recorder.name)
        own = _own_key()
        contracts = _contract_source(options, own)
        if given is not None and options.plan_file is not None:
            # Before anything is made that may take minutes.
            planned = planned_contracts(tasks, contracts, terms)
            asked = make_plan(jobs, planned, terms, signer_of(given, options.plan_file, own), options.model)
            check_fits(given, asked, options.plan_file)
            if options.nonce not in (None, given.plan.nonce):
                raise RunError(f"--nonce {options.nonce}: the plan has another one, {given.plan.nonce}")
        clean_stale(state)
        clean_workplaces(state)
        prepared = {name: prepare(task, state, contracts) for name, task in tasks.items()}
        prepared = {name: _under(terms, tasks[name], base) for name, base in prepared.items()}
        jobs = [replace(job, agent=job.agent.with_files(prepared[job.task.id].rootfs, state)) for job in jobs]
        jobs = [replace(job, agent=job.agent.scanned(job.task)) for job in jobs]
        planned = {name: base.contract for name, base in prepared.items()}
        terms.check(tasks, planned, alerts=len(options.alerts))
        check_models(planned, options.model)
        folder = _run_folder(options.out) if options.resume is None else options.resume
        # What can't be used leaves no key behind either.
        key, made = (own, False) if own else load_or_make_key(keys_dir())
        plan = given or make_plan(jobs, planned, terms, key, options.model, nonce=options.nonce)
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
    notes = [*_notes(tasks, prepared, terms, told=bool(options.alerts)), *_not_held(prepared, choice)]
    if choice.second_best:
        notes.insert(0, f"{choice.runtime.name} + {choice.recorder.name}: {choice.why}")
    notes += _brought(jobs)
    return Preparation(tuple(jobs), terms, choice, prepared, folder, key, made, plan, resumed, tuple(notes))


def _choose(terms: Terms, tasks: Iterable[Task], choose: ChooseRuntime) -> Chosen:
    """The runtime and recorder of a run. Raises RunError where it can't be what is asked for."""
    container = next((task.id for task in tasks if task.profile == "container"), None)
    if container is None:
        return choose(terms.runtime, terms.recorder)
    for flag, asked, needed in (("--runtime", terms.runtime, "runc"), ("--recorder", terms.recorder, "ebpf")):
        if asked not in ("auto", needed):
            raise RunError(f"{flag} {asked}: {container} has the container profile, which needs {flag} {needed}")
    return choose("runc", "ebpf")


def _run_prepared(ready: Preparation, options: RunOptions, progress: Progress) -> RunResult:
    terms, choice, folder, ledger = ready.terms, ready.choice, ready.folder, ready.run.ledger
    if ready.made:
        progress.note(f"made the signing key {ready.key.key_id}; its public half is {ready.key.public_path}")
    for note in ready.notes:
        progress.note(note)
    machinery = ready.machinery(Alerts(options.alerts), options.model, options.filling)
    _logger.info(
        "run %s: %d tasks, %d trials each, %s + %s, signed by %s, in %s",
        machinery.run_id,
        len(ready.prepared),
        terms.trials,
        choice.runtime.name,
        choice.recorder.name,
        ready.key.key_id,
        folder,
    )
    opened = ready.open_folder()
    try:
        trials = _run_all(ready.jobs, options, machinery, ready.prepared, ready.run, folder, progress)
        closed = ledger.finish()
    except BaseException as problem:
        # Whoever interrupts a run does not want to wait for a server.
        machinery.alerts.close(patience_s=1.0)
        os.close(opened)
        if isinstance(problem, EvidenceError):
            raise RunError(str(problem)) from problem
        raise
    finally:
        ledger.close()
    undelivered = tuple(asdict(one) for one in machinery.alerts.close())
    result = ready.result(trials, undelivered)
    try:
        ready.write(opened, result, closed, options.timestamp)
    except EvidenceError as error:
        raise RunError(f"{error}; every trial is finished, and --resume {folder} makes the statement") from error
    finally:
        os.close(opened)
    return result


def _stamp_plan(folder: Path, plan: SignedPlan, options: RunOptions) -> None:
    """Put the time stamp of the plan beside it, where there is one or is to be one. Raises EvidenceError."""
    if options.plan is not None and token_beside(options.plan).exists():
        write_whole(folder / PLAN_TOKEN, read_bounded(token_beside(options.plan), _MOST_TOKEN_BYTES))
    elif options.timestamp is not None:
        write_whole(folder / PLAN_TOKEN, request_timestamp(options.timestamp, plan.envelope, plan.plan.signer))


def _with_contract(task: Task, options: RunOptions) -> Task:
    """The task with the contract that the options name for it."""
    wanted, registry = options.contract, options.registry
    if wanted is None:
        if registry is None:
            return task
        if task.published is None:
            raise RunError(f"--registry {registry}: is of no use without --contract ID@VERSION: {task.id} names none")
        return replace(task, published=replace(task.published, registry=registry, allowed=True))
    if registry is not None:
        if "@" not in wanted and Path(wanted).exists():
            raise RunError(f"--contract {wanted} is a file, and --registry {registry} has ID@VERSION: leave one out")
        return replace(task, contract_path=None, published=PublishedContract(wanted, registry, allowed=True))
    if not Path(wanted).exists():
        fix = "; say where with --registry" if "@" in wanted else ""
        raise RunError(f"--contract {wanted}: there is no such file{fix}")
    return replace(task, contract_path=Path(wanted), published=None)


def _terms(options: RunOptions, suite: Suite | None, given: SignedPlan | None) -> Terms:
    """The terms of a run; what the command line does not say is taken from its plan."""
    chosen = options.network, options.allowed
    if given is None:
        return terms_of(suite, options.profile, options.runtime, options.recorder, options.trials, *chosen)
    plan = given.plan
    return terms_of(
        suite,
        options.profile or (plan.profile.id if plan.profile else None),
        options.runtime or plan.runtime,
        options.recorder or plan.recorder,
        options.trials or plan.trials,
        *chosen,
    )


def _contract_source(options: RunOptions, own: SigningKey | None) -> ContractSource:
    """Where contracts come from. Raises EvidenceError for a trust file that can't be used."""
    trusted = None if options.trust is None else read_trust(options.trust)
    return ContractSource(TrustDocument.of([own.public]) if own else None, trusted)


def _own_key() -> SigningKey | None:
    """The user's key, where there is one. Raises EvidenceError for one that can't be used."""
    return load_key(keys_dir()) if (keys_dir() / PRIVATE_FILE).exists() else None


def _check(job: Job, options: RunOptions) -> None:
    if job.agent.definition is not None and options.model is None:
        raise RunError(f"--agent {job.agent.name}: asks a model: say which with --model NAME")
    solution = job.task.solution_dir / "solve.sh"
    if job.agent.sees_solution and not solution.is_file():
        raise RunError(f"{solution}: does not exist, so --agent oracle has nothing to run")


def prepare(task: Task, state: Path, contracts: ContractSource | None = None) -> _Prepared:
    """The root file system and the contract of a task.

    Args:
        task: the task.
        state: the state folder.
        contracts: where its contract comes from.

    Raises:
        ContractError, SandboxError: one of them can't be used.
    """
    grading = None if task.grading is None else root_filesystem(task.grading, state)
    return _Prepared(root_filesystem(task, state), (contracts or ContractSource()).contract_for(task), grading)


def root_filesystem(task: Task, state: Path) -> RootFilesystem:
    """The root file system of a task, as its agent finds it.

    Args:
        task: with its image, where it has one.
        state: the state folder.

    Raises:
        SandboxError: it can't be used.
    """
    user = User(task.user.uid, task.user.gid, task.user.name, task.user.home)
    match task.rootfs:
        case Rootfs("tarball", Path() as source):
            rootfs = tarball_rootfs(state, source, user, task.storage_mb << 20)
        case Rootfs("oci", Path() as source):
            rootfs = oci_rootfs(state, source, user, most_bytes(task), manifest=task.rootfs.manifest)
        case _:
            rootfs = host_rootfs(state, user)
    if task.environment_root is not None:
        rootfs = lay_over(rootfs, task.environment_root, state)
    return rootfs


def check_graders(task: Task) -> None:
    """Raise TaskError where a task's graders can't be made or its hidden tests can't be planned."""
    for named in make_graders(task.graders):
        if named.spec.kind == "test_run":
            plan_tests(named.spec, task)
        if isinstance(named.grader, PerformanceGrader):
            named.grader.settings.check_files(named.spec, task.tests_dir)


def _under(terms: Terms, task: Task, prepared: _Prepared) -> _Prepared:
    """What a task rests on, under the terms of the run."""
    return replace(prepared, contract=contract_under(terms, task, prepared.contract))


def _brought(jobs: Sequence[Job]) -> Iterator[str]:
    """What the user should know of what agents bring."""
    for job in jobs:
        facts = job.agent.scan_facts
        if facts is not None and (facts.planted or facts.unread or not facts.complete):
            yield f"{job.task.id}: {facts.sentence}"


def _notes(tasks: dict[str, Task], prepared: dict[str, _Prepared], terms: Terms, told: bool) -> Iterator[str]:
    yield from (f"suite: {name}: {text}" for name, text in terms.not_honoured.items())
    for name, task in tasks.items():
        contract = terms.enforced(prepared[name].contract)
        yield from (f"{name}: {warning}" for warning in (*task.warnings, *contract.warnings))
        if terms.has_network(task):
            reach = reach_of(task, prepared[name].contract, terms)
            listed = ", ".join(reach.endpoints if reach else ()) or "nothing: the contract allows none of it"
            yield f"{name}: NETWORK: the agent can reach {listed}"
        elif contract.document.network.endpoints:
            yield f"{name}: network.endpoints: nothing can be reached: the run has no --network allowlist"
        if contract.mode == "audit":
            yield f"{name}: MODE AUDIT: violations are recorded and do not change the verdict"
    asking = [name for name in tasks if asks_for_alerts(terms.enforced(prepared[name].contract))]
    if asking and not told:
        yield f"actions: alert: nobody is told, for no --alert says who: {', '.join(asking)}"
    default = [name for name, task in tasks.items() if not task.has_contract]
    if default:
        yield f"no contract.yaml, so the built-in default contract holds: {', '.join(default)}"


def _not_held(prepared: dict[str, _Prepared], choice: Chosen) -> Iterator[str]:
    """What contracts say that this runtime and recorder neither prevent nor show."""
    way = (choice.runtime.name, choice.recorder.name)
    if way not in COMBINATIONS:
        return
    for name, base in prepared.items():
        for one in treatments(base.contract, *way):
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


def _run_all(
    jobs: Sequence[Job],
    options: RunOptions,
    machinery: Machinery,
    prepared: Mapping[str, _Prepared],
    resumed: Resumed,
    folder: Path,
    progress: Progress,
) -> tuple[TrialResult, ...]:
    by_name = {(job.task.id, job.agent.name): job for job in jobs}
    planned_trials = machinery.plan.in_order
    # Those that were finished before the run was interrupted.
    results = {index: resumed.done[one.name] for index, one in enumerate(planned_trials) if one.name in resumed.done}
    todo = {
        index: (by_name[one.task, one.agent_name], one)
        for index, one in enumerate(planned_trials)
        if index not in results
    }
    total = len(planned_trials)
    telling = threading.Lock()

    def one(job: Job, planned: PlannedTrial) -> TrialResult:
        with telling:
            progress.doing(len(results), total, f"{job.task.id} #{planned.number}")
        base = prepared[job.task.id]
        log, place = resumed.ledger.trial(planned.name), folder / planned.place
        return run_trial(machinery, job.task, base.rootfs, base.contract, job.agent, planned, log, place, base.grading)

    with ThreadPoolExecutor(max_workers=max(1, min(options.workers, len(todo))), thread_name_prefix="trial") as pool:
        futures = {pool.submit(one, *trial): index for index, trial in todo.items()}
        try:
            left = set(futures)
            while left:
                # A signal that comes in the moment before a wait does not break it off: so no wait is for long.
                done, left = wait(left, _WAIT_S, FIRST_COMPLETED)
                for future in done:
                    trial = future.result()
                    _logger.info(
                        "%s #%d: %s in %d ms", trial.task_id, trial.trial, trial.judgement.verdict, trial.duration_ms
                    )
                    with telling:
                        results[futures[future]] = trial
                        progress.finished(len(results), total, trial)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            machinery.live.stop()
            if isinstance(error, Interrupted):
                raise KeyboardInterrupt from None
            raise
    return tuple(trial for _, trial in sorted(results.items()))


def _write_atomic(folder: int, path: Path, text: str) -> None:
    """Write a file in an open folder, whatever stands under the folder's name meanwhile."""
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
