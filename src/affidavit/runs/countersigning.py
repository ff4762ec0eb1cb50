"""Further signatures under a plan or a run, for those whose trust file asks for more than one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from affidavit.runs.plan import PLAN, SignedPlan, read_plan
from affidavit.runs.statement import RUN_STATEMENT, read_run_statement
from affidavit.runs.verification import RunVerification, verify_run
from affidavit.signing import PublicKey, SigningKey, write_whole


def countersign_plan(path: Path, key: SigningKey) -> SignedPlan:
    """Add a signature to a plan, in place of one by the same key.

    Args:
        path: the plan's file.
        key: signs.

    Raises:
        EvidenceError: there is no plan, or it can't be written.
    """
    signed = read_plan(path)
    signed = replace(signed, envelope=signed.envelope.with_signature(key))
    write_whole(path, signed.data())
    return signed


def countersign_run(folder: Path, keys: Iterable[PublicKey], key: SigningKey) -> RunVerification:
    """Verify a run and, where everything holds, add a signature to its plan and its statement.

    Args:
        folder: the run's.
        keys: that may have signed it.
        key: signs.

    Raises:
        EvidenceError: there is no such folder, or it can't be written.
    """
    verification = verify_run(folder, keys)
    if verification.ok:
        statement = read_run_statement(folder / RUN_STATEMENT)
        countersign_plan(folder / PLAN, key)
        write_whole(folder / RUN_STATEMENT, replace(statement, envelope=statement.envelope.with_signature(key)).data())
    return verification
