"""Verifies the evidence behind a report: every bundle, and the run as a whole."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from affidavit.evidence import EvidenceError
from affidavit.report.runs import Checked, RunView, TrialView
from affidavit.runs import RunVerification, verify_run
from affidavit.signing import load_public_key, read_trust
from affidavit.verification import Verification, own_keys, verify

NO_BUNDLE = "there is no bundle, so nothing shows that this is what happened"


def verify_runs(runs: Sequence[RunView], key: Path | None = None, trust: Path | None = None) -> tuple[RunView, ...]:
    """Runs with what came of checking them, as ``affidavit verify`` does; private parts of bundles may be missing.

    Args:
        runs: as `read_runs` returns them.
        key: the public key that must have signed; the user's own where None.
        trust: the trust file that says who must have signed plan and statement; None: nobody in particular.

    Raises:
        EvidenceError: the key or the trust file can't be read.
    """
    keys = [load_public_key(key)] if key is not None else own_keys()
    trusted = None if trust is None else read_trust(trust)
    return tuple(_verified(run, verify_run(run.folder, keys, trusted, public=True), key) for run in runs)


def _verified(run: RunView, found: RunVerification, key: Path | None) -> RunView:
    faults = tuple(
        f"{check.name}: {check.detail}"
        for check in found.checks
        if not check.ok and check.name != "bundles" and not check.name.startswith("trial ")
    )
    by_place = {part: check.detail for check in found.checks if check.name.startswith("trial ") for part in check.parts}
    trials = []
    for trial in run.trials:
        places = [bundle.relative_to(run.folder).as_posix() for bundle in trial.bundles]
        if wrong := tuple(by_place[place] for place in places if place in by_place):
            checked = Checked(False, wrong)
        elif places and found.bundles.issuperset(places):
            checked = Checked(True)
        else:
            checked = _alone(trial, key)
        trials.append(replace(trial, evidence=replace(trial.evidence, checked=checked)))
    evidence = [trial.evidence for trial in trials if trial.evidence.bundle]
    ok = found.ok and all(one.checked is not None and one.checked.ok for one in evidence)
    return replace(run, trials=tuple(trials), checked=Checked(ok, faults))


def _alone(trial: TrialView, key: Path | None) -> Checked:
    """Check a bundle of which plan and ledger of its run say nothing."""
    if trial.evidence.bundle is None:
        return Checked(False, (NO_BUNDLE,))
    try:
        found = verify(trial.evidence.bundle, key)
    except EvidenceError as error:
        return Checked(False, (str(error),))
    faults = [f"{check.name}: {check.detail}" for check in found.checks if not check.ok] or _strange(trial, found)
    return Checked(not faults, tuple(faults))


def _strange(trial: TrialView, found: Verification) -> list[str]:
    """Whether it is the bundle of this trial, and not a good one of another."""
    facts = found.facts
    assert facts is not None
    stated = {"run": facts.run_id, "task": facts.task.id, "agent": facts.agent, "trial": facts.trial}
    wanted = {"run": trial.run_id, "task": trial.task_id, "agent": trial.agent.name, "trial": trial.trial}
    return [f"its bundle is of the {name} {stated[name]}" for name in stated if stated[name] != wanted[name]]
