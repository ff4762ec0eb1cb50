"""Whether a step of a trial begins with what the step before left."""

from pathlib import Path

from affidavit.evidence import EARLIER, BundleReader, EvidenceError, read_diff, read_earlier
from affidavit.sandbox import Change
from affidavit.verification.verify_trial import rule_states


def check_chain(before: Path, bundle: Path) -> None:
    """Compare what a step began with with the end of the step before. Both bundles verify.

    Args:
        before: the bundle of the step before.
        bundle: of the step.

    Raises:
        EvidenceError: it began with something else.
        TraceError: a record can't be read.
    """
    with BundleReader(before) as left, BundleReader(bundle) as found:
        earlier = read_earlier(found)
        if earlier is None:
            # Its verdict says that nothing is known of it.
            return
        old = {change.path: _content(change) for change in read_diff(left)}
        new = {change.path: _content(change) for change in earlier.changes}
        wrong = [path for path, content in new.items() if old.get(path) != content]
        wrong += [path for path in old if path not in new and path not in earlier.gone]
        if wrong:
            raise EvidenceError(f"{EARLIER}: {sorted(wrong)[0]} is not as the step before left it")
        if earlier.rules != rule_states(left):
            raise EvidenceError(f"{EARLIER}: its rules are not what they came to in the step before")


def _content(change: Change) -> tuple[object, ...]:
    """What goes on to the next step, whatever the task's own files are there."""
    if change.kind == "deleted":
        return ("deleted",)
    return change.type, change.uid, change.gid, change.size, change.sha256, change.target
