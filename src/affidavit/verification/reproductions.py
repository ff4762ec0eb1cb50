"""Checking the counter-signatures of a bundle: who came to the same grades again."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from affidavit.evidence import (
    MOST_STATEMENT_BYTES,
    REPRODUCTIONS,
    STATEMENT,
    BundleReader,
    EvidenceError,
    PublicKey,
    Reproduction,
    TrialFacts,
    read_reproductions,
)
from affidavit.verification.checked import Check


def check_reproductions(
    bundle: Path, facts: TrialFacts, keys: Mapping[str, PublicKey], wanted: Sequence[str] = ()
) -> tuple[Check, frozenset[str]] | None:
    """Check who counter-signed a bundle that is good in itself.

    Args:
        bundle: its folder.
        facts: what its signed statement says.
        keys: by id, those whose counter-signatures can be checked.
        wanted: ids of those who must have counter-signed.

    Returns:
        The check, and the ids of the keys that did; None where there is no counter-signature and none is wanted.

    Raises:
        EvidenceError: the bundle can't be read.
    """
    with BundleReader(bundle) as reader:
        digest = hashlib.sha256(reader.read(STATEMENT, MOST_STATEMENT_BYTES)).hexdigest()
    wrong, said, good = [], [], set()
    try:
        for found in read_reproductions(bundle):
            if isinstance(found, tuple):
                wrong.append(f"{REPRODUCTIONS}/{found[0]}: {found[1]}")
                continue
            signer = found.envelope.key_id
            if problem := _problem(found, digest, facts, keys.get(signer)):
                wrong.append(f"{REPRODUCTIONS}/{found.name}: {problem}")
            elif signer not in keys:
                said.append(f"{signer} says so too, which was not checked; give its public key with --reproduced-by")
            else:
                good.add(signer)
                said.append(f"assurance reproduced by {signer} at {found.facts.at}: {_graders(found)}")
    except EvidenceError as error:
        wrong.append(str(error))
    wrong += [f"{key_id} did not counter-sign" for key_id in wanted if key_id not in good]
    if not wrong and not said:
        return None
    check = Check("reproductions", not wrong, "; ".join(wrong or said), (REPRODUCTIONS,) if wrong else ())
    return check, frozenset(good)


def _problem(found: Reproduction, digest: str, facts: TrialFacts, key: PublicKey | None) -> str:
    """Why a counter-signature is none of this bundle; empty where nothing speaks against it."""
    if found.bundle != digest:
        return "is of another bundle"
    if key is not None and not found.envelope.signed_by(key):
        return f"the signature of {key.key_id} does not fit"
    mine = (facts.run_id, facts.trial, facts.agent, facts.task.id, facts.task.digest, facts.verdict)
    theirs = found.facts
    others = (theirs.run_id, theirs.trial, theirs.agent, theirs.task.id, theirs.task.digest, theirs.verdict)
    if mine != others or (facts.score, facts.raw_score) != (theirs.score, theirs.raw_score):
        return "says something else than the bundle"
    return ""


def _graders(found: Reproduction) -> str:
    hows = [one.how for one in found.facts.graders]
    return ", ".join(f"{hows.count(how)} {how}" for how in dict.fromkeys(hows))
