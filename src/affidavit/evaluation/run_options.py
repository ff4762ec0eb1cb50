"""The options of a run."""

from dataclasses import dataclass
from pathlib import Path

from affidavit.alerts import Destination
from affidavit.gateway import NO_HOSTS, EgressSettings, GatewaySettings
from affidavit.runs import PLAN


@dataclass(frozen=True)
class PolicyOptions:
    """What trials are judged by.

    Attributes:
        profile: name of a built-in profile; None: the suite's.
        contract: replaces every task's own contract: a file, or ID@VERSION in `registry`.
        registry: where contracts are published, a folder or git+URL.
        trust: trust file that says who must have signed the contracts.
    """

    profile: str | None = None
    contract: str | None = None
    registry: str | None = None
    trust: Path | None = None


@dataclass(frozen=True)
class AccessOptions:
    """What can be reached from the sandboxes.

    Attributes:
        model: settings of the agents' model gateway; None: they have no model.
        network: ``none`` or ``allowlist``; None: from suite and tasks.
        allowed: hosts that agents may reach besides those of suite and tasks.
        filling: see `RunSettings`.
    """

    model: GatewaySettings | None = None
    network: str | None = None
    allowed: EgressSettings = NO_HOSTS
    filling: tuple[str, ...] | None = None


@dataclass(frozen=True)
class PlanOptions:
    """The plan that a run follows: one that was signed before, or a new one.

    Attributes:
        file: of a signed plan that the run must match; None: a new plan is made.
        seed: of a new plan; None: random.
        pass_rate: share of trials that must pass, for a new plan; None: all.
        nonce: of a new plan, 32 bytes in hex: the challenge of whoever will accept the evidence; None: random.
        timestamp: URL of a time-stamping authority (RFC 3161) for plan and statement; None: no time stamp.
    """

    file: Path | None = None
    seed: int | None = None
    pass_rate: float | None = None
    nonce: str | None = None
    timestamp: str | None = None


@dataclass(frozen=True)
class RunOptions:
    """The options of a run.

    Attributes:
        runtime, recorder: names, or ``auto``; None: from profile or suite, else ``auto``.
        trials: of each job; None: from profile or suite, else one.
        workers: most trials at the same time.
        out: folder in which the run's own folder is made.
        policy: what trials are judged by.
        access: what can be reached from the sandboxes.
        plan: that the run follows.
        resume: folder of an interrupted run to continue; None: a new run.
        alerts: where violations are reported.
        rootfs_outside: tasks may use root file systems outside their folders.
    """

    runtime: str | None = None
    recorder: str | None = None
    trials: int | None = None
    workers: int = 1
    out: Path = Path("runs")
    policy: PolicyOptions = PolicyOptions()
    access: AccessOptions = AccessOptions()
    plan: PlanOptions = PlanOptions()
    resume: Path | None = None
    alerts: tuple[Destination, ...] = ()
    rootfs_outside: bool = False

    @property
    def plan_file(self) -> Path | None:
        """File of the plan that the run must match; None if a new plan is made."""
        return self.plan.file if self.resume is None else self.resume / PLAN
