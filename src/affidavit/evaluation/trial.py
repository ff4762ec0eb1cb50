"""One trial, start to end (DESIGN.md): sandbox, record, diff, second sandbox, judgement, bundle."""

import base64
import os
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version as affidavit_version
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from affidavit.contracts import Contract, canonical_bytes, compile_settings
from affidavit.evaluation.agents import Agent
from affidavit.evaluation.judging import decide, stage_gaps
from affidavit.evaluation.live import LiveSandboxes
from affidavit.evaluation.result import Judgement, TrialResult, Verdict
from affidavit.evaluation.specs import agent_spec, copy_readable, verifier_spec
from affidavit.evaluation.standing import new_judge
from affidavit.evaluation.workplace import workplace
from affidavit.evidence import BundleWriter, EvidenceError, SigningKey
from affidavit.grading import VERIFIER_LOGS, RewardError, assess, read_reward, turn_tests
from affidavit.policy import Judge
from affidavit.recorder import Recorder, RecorderError, Recording
from affidavit.sandbox import (
    OciSandbox,
    RootFilesystem,
    Runtime,
    SandboxError,
    SandboxSpec,
    carry_over,
    diff,
)
from affidavit.signing import canonical_json
from affidavit.tasks import Task
from affidavit.trace import Capture, TraceError, capture, read_trace

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Machinery:
    """What every trial of a run shares.

    Attributes:
        run_id: the run's.
        runtime, recorder: chosen for the run.
        runtime_detail: its version.
        why_recorder: why this one.
        state: the state folder.
        key: signs the bundles.
        live: where sandboxes are held while they run.
    """

    run_id: str
    runtime: Runtime
    recorder: Recorder
    runtime_detail: str
    why_recorder: str
    state: Path
    key: SigningKey
    live: LiveSandboxes


def run_trial(
    machinery: Machinery,
    task: Task,
    rootfs: RootFilesystem,
    contract: Contract,
    agent: Agent,
    number: int,
    folder: Path,
) -> TrialResult:
    """Run one trial and write its bundle to ``folder/bundle``.

    What goes wrong in the machinery is the verdict ``error``, not an exception.

    Raises:
        Interrupted: the run was told to stop.
    """
    began = time.monotonic()
    trial = _Trial(machinery, task, rootfs, contract, agent, number, folder)
    bundle: Path | None = None
    try:
        judgement, bundle = trial.run()
    except (SandboxError, RecorderError, TraceError, EvidenceError, OSError) as problem:
        judgement = Judgement(Verdict.ERROR, None, None, (" ".join(str(problem).split()) or repr(problem),), ())
    return TrialResult(
        task_id=task.id,
        trial=number,
        agent=agent.name,
        judgement=judgement,
        evidence=trial.evidence,
        contract=trial.contract_facts,
        duration_ms=round((time.monotonic() - began) * 1000),
        bundle=bundle,
    )


@dataclass(frozen=True)
class _Stage:
    """A sandbox of the trial: what it is for, its name on the machine, its recording."""

    name: str
    sandbox: str
    recording: Recording


class _Trial:
    def __init__(
        self,
        machinery: Machinery,
        task: Task,
        rootfs: RootFilesystem,
        contract: Contract,
        agent: Agent,
        number: int,
        folder: Path,
    ) -> None:
        self._machinery = machinery
        self._task = task
        self._rootfs = rootfs
        self._contract = contract
        self._settings = compile_settings(contract)
        self._agent = agent
        self._number = number
        self._folder = folder
        self._gaps: list[str] = []
        self.evidence: dict[str, Any] = {
            "runtime": machinery.runtime.name,
            "recorder": machinery.recorder.name,
            "events": 0,
            "lost": 0,
            "complete": False,
            "gaps": [],
        }
        self.contract_facts: dict[str, Any] = {
            "id": contract.id,
            "version": contract.version,
            "digest": contract.digest,
            "signed_by": contract.signed_by,
        }

    def run(self) -> tuple[Judgement, Path]:
        with (
            BundleWriter(self._folder / "bundle") as bundle,
            workplace(self._machinery.state, self._folder) as place,
            ExitStack() as self._recordings,
        ):
            # Its helpers get ready while the agent works.
            agent, grader = self._open("agent"), self._open("grader")
            return self._run(bundle, place, agent, grader)

    def _open(self, stage: str) -> "_Stage":
        name = f"{self._machinery.run_id}-{uuid.uuid4().hex[:8]}-{stage}"
        return _Stage(stage, name, self._recordings.enter_context(closing(self._machinery.recorder.open(name))))

    def _run(self, bundle: BundleWriter, place: Path, first: "_Stage", second: "_Stage") -> tuple[Judgement, Path]:
        task, contract = self._task, self._contract
        judge = new_judge(contract, task.workdir, self._agent.name)
        carried = place / "carried"
        spec = agent_spec(task, self._rootfs, self._settings, self._agent, place, first.sandbox)
        with self._stage(bundle, first, spec, judge) as (agent, sandbox):
            changes = diff(sandbox.upper(), sandbox.layers)
            brought = judge.carried(changes)
            carry_over(sandbox.upper(), sandbox.layers, changes, lambda change: change.path in brought, carried)
        violations = judge.finish(agent.summary.counts, changes, agent.exit)
        bundle.add("diff.json", [asdict(change) for change in changes])
        grade, events = self._grade(bundle, place, carried, second)
        assessment = assess(grade, events, brought)
        judgement = decide(contract.mode, violations, assessment, self._gaps)
        self.evidence |= {"complete": not self._gaps, "events": agent.summary.events, "lost": agent.summary.lost}
        self.evidence["gaps"] = list(agent.summary.gaps)
        bundle.add("grade.json", {**grade, "score": assessment.score, "carried": sorted(brought)})
        bundle.add("verdict.json", judgement.to_json())
        bundle.add("contract.json", canonical_bytes(contract))
        if contract.signature is not None:
            bundle.add("contract.sig.json", canonical_json(contract.signature.to_json()))
        bundle.add("task.json", task_facts(task))
        bundle.add("environment.json", self._environment())
        return judgement, bundle.seal(self._machinery.key, self._predicate(judgement))

    @contextmanager
    def _stage(
        self, bundle: BundleWriter, stage: "_Stage", spec: SandboxSpec, judge: Judge | None = None
    ) -> Iterator[tuple[Capture, OciSandbox]]:
        """Run a sandbox under the recorder; its frozen remains are there inside the ``with``."""
        machinery = self._machinery
        halt = judge is not None and "halt" in self._contract.actions and self._contract.mode == "strict"

        def watch(batch: pa.RecordBatch) -> bool:
            return judge is not None and bool(judge.feed(batch)) and halt

        with machinery.runtime.sandbox(spec, machinery.state) as sandbox, machinery.live.holding(sandbox):
            events = bundle.file(f"{stage.name}/events.parquet")
            limits = spec.limits
            captured = capture(
                sandbox, stage.recording, events, timeout_s=limits.wall_ms / 1000, cpu_ms=limits.cpu_ms, watch=watch
            )
            if _is_full(machinery.state):
                raise SandboxError(
                    f"{machinery.state}: the disk is full, so what the sandbox wrote may not be there; make room or "
                    "point AFFIDAVIT_STATE to another folder"
                )
            bundle.add_summary(stage.name, captured.summary)
            bundle.add(f"{stage.name}/exit.json", {**asdict(captured.exit), "halted": captured.halted})
            bundle.add(f"{stage.name}/stdout", captured.output.stdout)
            bundle.add(f"{stage.name}/stderr", captured.output.stderr)
            self._gaps += stage_gaps(stage.name, captured.summary)
            yield captured, sandbox

    def _grade(
        self, bundle: BundleWriter, place: Path, carried: Path, grader: "_Stage"
    ) -> tuple[dict[str, Any], pa.Table]:
        """Run the hidden tests, and the control at the same time.

        What the agent brought must not know which of the two it runs under, not even by the clock: they begin together,
        in an order that nobody can foretell.
        """
        tests, turned_tests = place / "tests", place / "tests-turned"
        for folder in shuffled((tests, turned_tests)):
            copy_readable(self._task.tests_dir, folder)
        turned = turn_tests(turned_tests) if self._task.control else 0
        stages = [(grader, tests)]
        if turned:
            stages.append((self._open("control"), turned_tests))
        for _, folder in stages:
            same_times(folder)
        with ThreadPoolExecutor(len(stages)) as pool:
            runs = {
                stage.name: pool.submit(self._verify, bundle, stage, carried, folder)
                for stage, folder in shuffled(stages)
            }
        reward, exit_facts = runs["grader"].result()
        grade: dict[str, Any] = {**reward, "exit": exit_facts, "control": None}
        if turned:
            grade["control"] = {**runs["control"].result()[0], "turned": turned}
        return grade, read_trace(bundle.file("grader/events.parquet"))

    def _verify(
        self, bundle: BundleWriter, stage: "_Stage", carried: Path, tests: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        with self._stage(bundle, stage, self._verifier(stage, carried, tests)) as (captured, sandbox):
            return reward_json(sandbox.scratch(VERIFIER_LOGS)), asdict(captured.exit)

    def _verifier(self, stage: "_Stage", carried: Path, tests: Path) -> SandboxSpec:
        rootfs = replace(self._rootfs, layers=(carried, *self._rootfs.layers))
        return verifier_spec(self._task, rootfs, self._settings, tests, stage.sandbox)

    def _environment(self) -> dict[str, Any]:
        machinery = self._machinery
        return {
            "affidavit": affidavit_version("affidavit"),
            "runtime": machinery.runtime.name,
            "runtime_detail": machinery.runtime_detail,
            "recorder": machinery.recorder.name,
            "recorder_why": machinery.why_recorder,
            "kernel": os.uname().release,
            "machine": os.uname().machine,
            "rootfs": self._rootfs.digest,
            "agent": self._agent.name,
            "settings": asdict(self._settings),
        }

    def _predicate(self, judgement: Judgement) -> dict[str, Any]:
        return {
            "run_id": self._machinery.run_id,
            "trial": self._number,
            "agent": self._agent.name,
            "task": {"id": self._task.id, "digest": self._task.digest},
            "contract": self.contract_facts,
            "verdict": str(judgement.verdict),
            "score": judgement.score,
            "raw_score": judgement.raw_score,
            "runtime": self._machinery.runtime.name,
            "recorder": self._machinery.recorder.name,
        }


def shuffled(items: Iterable[_Item]) -> list[_Item]:
    """The items in an order that can't be foretold."""
    return sorted(items, key=lambda _: secrets.token_bytes(16))


def same_times(folder: Path) -> None:
    """Give everything in a folder the same times, which then tell nothing of what was written later."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (0, 0), follow_symlinks=False)


def _is_full(folder: Path) -> bool:
    """Whether the disk under a sandbox's own, which is sparse, could not take what was written to that."""
    disk = os.statvfs(folder)
    return disk.f_bfree * disk.f_frsize < 1 << 20


def reward_json(logs: Path) -> dict[str, Any]:
    """The reward in a verifier's logs as it stands in ``grade.json``."""
    try:
        reward = read_reward(logs)
    except RewardError as error:
        return {"reward": None, "error": str(error)}
    return {"reward": {"file": reward.file, "raw": base64.b64encode(reward.raw).decode()}, "error": None}


def task_facts(task: Task) -> dict[str, Any]:
    """The content of ``task.json``: what the verdict rests on."""
    return {
        "id": task.id,
        "digest": task.digest,
        "instruction": task.instruction,
        "workdir": task.workdir,
        "agent_timeout_s": task.agent_timeout_s,
        "verifier_timeout_s": task.verifier_timeout_s,
        "control": task.control,
    }
