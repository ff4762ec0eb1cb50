"""What the evidence of a run costs: the ledger for each trial, and ``affidavit verify RUN`` by the number of bundles.

    python benchmarks/run_evidence.py [--bundles N ...] [--json FILE]

The bundles are those of trials that really ran, copied and signed anew under a larger plan.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from workload import trivial_task

from affidavit.evaluation import Agent, Job, RunOptions, run_jobs
from affidavit.evidence import IN_TOTO, STATEMENT, bundle_digest, keys_dir, load_key, read_statement
from affidavit.evidence.statement import File, Statement
from affidavit.runs import (
    PLAN,
    Checkpoint,
    Ledger,
    PlannedTrial,
    RunPlan,
    new_nonce,
    read_plan,
    sign_plan,
    verify_run,
    write_run_statement,
)
from affidavit.signing import SigningKey, canonical_json, read_envelope, sign, strict_json
from affidavit.tasks import load_task

TRIALS = 4
LEDGER_TRIALS = 500
# Of a trial that passes; an entry with its checkpoint has about so many bytes.
ENTRIES, ENTRY_BYTES = 5, 700
_ENVIRONMENT = "environment.json"


class Quiet:
    """Progress of a run that nobody watches."""

    def note(self, text: str) -> None: ...

    def doing(self, done: int, total: int, what: str) -> None: ...

    def finished(self, done: int, total: int, trial: object) -> None: ...


def ledger_cost(folder: Path, plan: RunPlan, key: SigningKey, trials: int) -> dict[str, float]:
    """Milliseconds that the ledger takes for a trial, five entries with their checkpoints, each of which is on the disk
    before the next begins; and what the disk alone takes for as many bytes, in turn with it."""
    larger = with_trials(plan, trials)
    folder.mkdir()
    taken: dict[str, list[float]] = {"ledger": [], "cpu": [], "disk": []}
    with Ledger.create(folder, key, folder.name, larger.digest) as ledger, (folder / "plain").open("wb", 0) as plain:
        for planned in larger.in_order:
            began, busy = time.perf_counter(), time.process_time()
            enter(ledger, planned.name, "sha256:" + "0" * 64)
            taken["cpu"].append(time.process_time() - busy)
            taken["ledger"].append(time.perf_counter() - began)
            began = time.perf_counter()
            for _ in range(ENTRIES):
                plain.write(bytes(ENTRY_BYTES))
                os.fdatasync(plain.fileno())
            taken["disk"].append(time.perf_counter() - began)
    return {name: 1000 * statistics.median(values) for name, values in taken.items()}


def enter(ledger: Ledger, name: str, bundle: str) -> None:
    """What the ledger says of a trial that passed."""
    log = ledger.trial(name)
    log.sandbox_made()
    log.finished()
    log.judged("pass", 1.0, 1.0)
    log.sealed(bundle, 1000)


def with_trials(plan: RunPlan, trials: int) -> RunPlan:
    """The same plan with so many trials of each job."""
    return RunPlan.model_validate({**plan.model_dump(mode="json"), "trials": trials, "nonce": new_nonce()})


def multiply(run: Path, trials: int, into: Path, key: SigningKey) -> None:
    """A run with so many trials of each job, whose bundles are copies of another's.

    Args:
        run: whose trials all passed.
        trials: of each job.
        into: the new run's folder, which does not exist.
        key: signs.
    """
    small = read_plan(run / PLAN).plan
    signed = sign_plan(with_trials(small, trials), key)
    plan = signed.plan
    into.mkdir()
    (into / PLAN).write_bytes(signed.data())
    with Ledger.create(into, key, into.name, plan.digest) as ledger:
        for planned in plan.in_order:
            log = ledger.trial(planned.name)
            log.sandbox_made()
            log.finished()
            log.judged("pass", 1.0, 1.0)
            source = planned.place.rpartition("/")[0] + f"/{planned.number % small.trials}"
            shutil.copytree(run / source, into / planned.place)
            bundle = into / planned.place / "bundle"
            sign_again(bundle, into.name, plan, planned, log.checkpoint, key)
            log.sealed(bundle_digest(bundle), 1000)
        closed = ledger.finish()
        (into / "run.json").write_text(json.dumps({"run_id": into.name, "notes": [], "trials": []}))
        write_run_statement(into, plan, ledger.history, closed, key)


def sign_again(
    bundle: Path, run_id: str, plan: RunPlan, planned: PlannedTrial, checkpoint: Checkpoint, key: SigningKey
) -> None:
    """Sign a bundle as that of another trial."""
    statement = read_statement(read_envelope((bundle / STATEMENT).read_bytes()).payload)
    environment = {**strict_json((bundle / _ENVIRONMENT).read_bytes()), "run_id": run_id, "trial": planned.number}
    (bundle / _ENVIRONMENT).write_bytes(canonical_json(environment))
    said = {
        "digest": plan.digest,
        "trial": planned.name,
        "attempt": 1,
        "seed": planned.seed,
        "ledger": checkpoint.to_json(),
    }
    facts = statement.facts.model_copy(update={"run_id": run_id, "trial": planned.number, "plan": said})
    files = {**statement.files, _ENVIRONMENT: file_of(bundle / _ENVIRONMENT)}
    (bundle / STATEMENT).write_bytes(sign(Statement(files, facts).payload(), IN_TOTO, key))


def file_of(path: Path) -> File:
    """Digest and size of a file."""
    data = path.read_bytes()
    return File(sha256(data).hexdigest(), len(data))


def verified(run: Path) -> dict[str, float]:
    """Seconds of CPU time and MiB of memory that checking a run takes, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--verify", run], check=True, capture_output=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def verify(run: Path) -> None:
    """Check a run and print what it took; ``verified`` runs this."""
    before, idle = time.process_time(), peak_mib()
    began = time.perf_counter()
    verification = verify_run(run, [load_key(keys_dir()).public])
    if wrong := [check.detail for check in verification.checks if not check.ok]:
        sys.exit(f"{run}: {wrong}")
    figures = {
        "cpu_s": time.process_time() - before,
        "wall_s": time.perf_counter() - began,
        "mib": peak_mib(),
        "idle_mib": idle,
    }
    print(json.dumps(figures))


def peak_mib() -> float:
    """The most memory that this process has had. Not ru_maxrss, which remembers the process before exec(2)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(folder: Path, sizes: Sequence[int]) -> dict[str, object]:
    """All figures."""
    job = Job(load_task(trivial_task(folder / "trivial")), Agent.shell("true"))
    run = run_jobs([job], RunOptions("runc", "ebpf", TRIALS, 1, folder / "runs"), Quiet()).folder
    plan, key = read_plan(run / PLAN).plan, load_key(keys_dir())
    ledger = ledger_cost(folder / "ledger", plan, key, LEDGER_TRIALS)
    print(f"\nLedger, a trial of {ENTRIES} entries, medians (load {os.getloadavg()[0]:.1f})")
    print(
        f"  {ledger['ledger']:.2f} ms, {ledger['cpu']:.2f} ms of them CPU; the disk alone, {ENTRIES} times: "
        f"{ledger['disk']:.2f} ms",
        flush=True,
    )
    print("\nverify RUN")
    rows = []
    for size in sizes:
        larger = folder / f"20261127T000000Z-{size:06x}"
        multiply(run, size, larger, key)
        rows.append({"bundles": size, **verified(larger)})
        row = rows[-1]
        print(
            f"  {size:5} bundles  {row['cpu_s']:7.2f} s CPU  {1000 * row['cpu_s'] / size:6.2f} ms each  "
            f"{row['mib']:6.0f} MiB at most",
            flush=True,
        )
        shutil.rmtree(larger)
    return {"ledger": ledger, "verify": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundles", type=int, nargs="*", default=[125, 250, 500, 1000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verify", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.verify is not None:
        verify(options.verify)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        figures = measure(folder, options.bundles)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
