"""How a run is asked for."""

from dataclasses import dataclass
from pathlib import Path

from affidavit.alerts import Destination
from affidavit.gateway import NO_HOSTS, EgressSettings, GatewaySettings
from affidavit.runs import PLAN


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
        filling: see `RunSettings`.
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
