"""A run of many trials."""

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from affidavit.alerts import Alerts, Destination
from affidavit.contracts import COMBINATIONS, Contract, ContractError, ContractSource, treatments
from affidavit.evaluation.active_sandboxes import Interrupted, LiveSandboxes
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.backends import Chosen, choose_runtime
from affidavit.evaluation.errors import RunError
from affidavit.evaluation.interrupts import terminable
from affidavit.evaluation.places import check_places
from affidavit.evaluation.result import RunResult, TrialResult
from affidavit.evaluation.run_policy import Terms, asks_for_alerts, terms_of
from affidavit.evaluation.stages import Machinery
from affidavit.evaluation.trial import run_trial
from affidavit.evaluation.workplace import clean_workplaces
from affidavit.evidence import PRIVATE_FILE, EvidenceError, SigningKey, keys_dir, load_key, load_or_make_key
from affidavit.grading import make_graders, plan_tests
from affidavit.recorder import RecorderError
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
from affidavit.signing import TrustDocument, read_trust
from affidavit.suites import Suite, SuiteError, load_suite
from affidavit.tasks import PublishedContract, Rootfs, Task, TaskError, find_tasks

_WAIT_S = 0.2


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


@dataclass(frozen=True)
class Job:
    """An agent, put to a task."""

    task: Task
    agent: Agent


@dataclass(frozen=True)
class _Prepared:
    rootfs: RootFilesystem
    contract: Contract


def run_suite(path: Path, agent: Agent, options: RunOptions, progress: Progress) -> RunResult:
    """Put an agent to a task folder, to every task in a folder, or to those of a suite file; see `run_jobs`."""
    tasks, suite = load_tasks(path)
    return run_jobs([Job(task, agent) for task in tasks], options, progress, suite)


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
    with terminable():
        return _run_jobs(jobs, options, progress, suite)


@dataclass(frozen=True)
class Preparation:
    """What a run rests on, found usable before anything of it begins.

    Attributes:
        terms: what profile and suite say.
        choice: runtime and recorder.
        prepared: root file system and contract of each task, by its id.
        folder: of the run, just made.
        key: signs the bundles.
        made: whether the key was made for this run.
    """

    terms: Terms
    choice: Chosen
    prepared: dict[str, _Prepared]
    folder: Path
    key: SigningKey
    made: bool

    def machinery(self, state: Path, alerts: Alerts) -> Machinery:
        """What every trial of the run shares."""
        return Machinery(
            run_id=self.folder.name,
            runtime=self.choice.runtime,
            runtime_detail=self.choice.runtime_detail,
            recorder=self.choice.recorder,
            why_recorder=self.choice.why,
            state=state,
            key=self.key,
            live=LiveSandboxes(),
            terms=self.terms,
            alerts=alerts,
        )


def prepare_run(tasks: Mapping[str, Task], options: RunOptions, suite: Suite | None = None) -> Preparation:
    """Find everything that can be known to be wrong with a run, and make what it needs. What an affidavit that was
    killed left on the machine is removed first.

    Args:
        tasks: by their ids, each with the contract that the options name for it.
        options: how the run is made.
        suite: where the tasks are a suite's.

    Raises:
        RunError: the run can't be made as asked.
    """
    if os.geteuid() != 0:
        raise RunError("making sandboxes needs root: run affidavit with sudo, or in a container that is root")
    state = state_dir()
    check_places([*tasks.values()], state, options.out, rootfs_outside=options.rootfs_outside)
    try:
        for task in tasks.values():
            check_graders(task)
        terms = terms_of(suite, options.profile, options.runtime, options.recorder, options.trials)
        choice = choose_runtime(terms.runtime, terms.recorder)
        terms.check_choice(choice.runtime.name, choice.recorder.name)
        own = _own_key()
        trusted = None if options.trust is None else read_trust(options.trust)
        contracts = ContractSource(TrustDocument.of([own.public]) if own else None, trusted)
        clean_stale(state)
        clean_workplaces(state)
        prepared = {name: prepare(task, state, contracts) for name, task in tasks.items()}
        prepared = {name: _under(terms, tasks[name], base) for name, base in prepared.items()}
        terms.check(dict(tasks), {name: base.contract for name, base in prepared.items()}, alerts=len(options.alerts))
        folder = _run_folder(options.out)
        # What can't be used leaves no key behind either.
        key, made = (own, False) if own else load_or_make_key(keys_dir())
    except (TaskError, ContractError, SuiteError, SandboxError, RecorderError, EvidenceError) as error:
        raise RunError(str(error)) from error
    return Preparation(terms, choice, prepared, folder, key, made)


def _run_jobs(jobs: Sequence[Job], options: RunOptions, progress: Progress, suite: Suite | None) -> RunResult:
    jobs = [replace(job, task=with_contract(job.task, options)) for job in jobs]
    tasks = {job.task.id: job.task for job in jobs}
    for job in jobs:
        _check(job)
    ready = prepare_run(tasks, options, suite)
    terms, choice, prepared, folder = ready.terms, ready.choice, ready.prepared, ready.folder
    if ready.made:
        progress.note(f"made the signing key {ready.key.key_id}; its public half is {ready.key.public_path}")
    notes = [*_notes(tasks, prepared, terms, told=bool(options.alerts)), *_not_held(prepared, choice)]
    if choice.second_best:
        notes.insert(0, f"{choice.runtime.name} + {choice.recorder.name}: {choice.why}")
    for note in notes:
        progress.note(note)
    machinery = ready.machinery(state_dir(), Alerts(options.alerts))
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        trials = _run_all(jobs, options, machinery, prepared, folder, progress)
    except BaseException:
        # Whoever interrupts a run does not want to wait for a server.
        machinery.alerts.close(patience_s=1.0)
        os.close(opened)
        raise
    undelivered = tuple(asdict(one) for one in machinery.alerts.close())
    result = RunResult(
        folder.name, trials, folder, tuple(notes), terms.facts, terms.until(datetime.now(UTC)), undelivered
    )
    try:
        _write_atomic(opened, folder / "run.json", json.dumps(result.to_json(), indent=2) + "\n")
    finally:
        os.close(opened)
    return result


def with_contract(task: Task, options: RunOptions) -> Task:
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
        mend = "; say where with --registry" if "@" in wanted else ""
        raise RunError(f"--contract {wanted}: there is no such file{mend}")
    return replace(task, contract_path=Path(wanted), published=None)


def _own_key() -> SigningKey | None:
    """The user's key, where there is one. Raises EvidenceError for one that can't be used."""
    return load_key(keys_dir()) if (keys_dir() / PRIVATE_FILE).exists() else None


def _check(job: Job) -> None:
    solution = job.task.solution_dir / "solve.sh"
    if job.agent.sees_solution and not solution.is_file():
        raise RunError(f"{solution}: is not there, so --agent oracle has nothing to run")


def prepare(task: Task, state: Path, contracts: ContractSource | None = None) -> _Prepared:
    """The root file system and the contract of a task.

    Args:
        task: the task.
        state: the state folder.
        contracts: where its contract comes from.

    Raises:
        ContractError, SandboxError: one of them can't be used.
    """
    user = User(task.user.uid, task.user.gid, task.user.name, task.user.home)
    match task.rootfs:
        case Rootfs("tarball", Path() as source):
            rootfs = tarball_rootfs(state, source, user, task.storage_mb << 20)
        case Rootfs("oci", Path() as source):
            rootfs = oci_rootfs(state, source, user, task.storage_mb << 20)
        case _:
            rootfs = host_rootfs(state, user)
    if task.environment_root is not None:
        rootfs = lay_over(rootfs, task.environment_root, state)
    return _Prepared(rootfs, (contracts or ContractSource()).contract_for(task))


def check_graders(task: Task) -> None:
    """Raise TaskError where a task's graders can't be made or its hidden tests can't be planned."""
    for named in make_graders(task.graders):
        if named.spec.kind == "test_run":
            plan_tests(named.spec, task)


def _under(terms: Terms, task: Task, prepared: _Prepared) -> _Prepared:
    """What a task rests on, under the terms of the run."""
    return prepared if task.has_contract else replace(prepared, contract=terms.for_default(prepared.contract))


def _notes(tasks: dict[str, Task], prepared: dict[str, _Prepared], terms: Terms, told: bool) -> Iterator[str]:
    yield from (f"suite: {name}: {text}" for name, text in terms.not_honoured.items())
    for name, task in tasks.items():
        contract = terms.enforced(prepared[name].contract)
        yield from (f"{name}: {warning}" for warning in (*task.warnings, *contract.warnings))
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
    prepared: dict[str, _Prepared],
    folder: Path,
    progress: Progress,
) -> tuple[TrialResult, ...]:
    todo = [(job, number) for job in jobs for number in range(machinery.terms.trials)]
    several = len({job.agent.name for job in jobs}) > 1
    results: dict[int, TrialResult] = {}
    telling = threading.Lock()

    def one(job: Job, number: int) -> TrialResult:
        with telling:
            progress.doing(len(results), len(todo), f"{job.task.id} #{number}")
        base = prepared[job.task.id]
        place = folder / job.task.id.replace("/", "__")
        if several:
            place /= job.agent.name
        return run_trial(machinery, job.task, base.rootfs, base.contract, job.agent, number, place / str(number))

    with ThreadPoolExecutor(max_workers=min(options.workers, len(todo)), thread_name_prefix="trial") as pool:
        futures = {pool.submit(one, *trial): index for index, trial in enumerate(todo)}
        try:
            left = set(futures)
            while left:
                # A signal that comes in the moment before a wait does not break it off: so no wait is for long.
                done, left = wait(left, _WAIT_S, FIRST_COMPLETED)
                for future in done:
                    trial = future.result()
                    with telling:
                        results[futures[future]] = trial
                        progress.finished(len(results), len(todo), trial)
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
