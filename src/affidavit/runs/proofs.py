"""Inclusion proofs (RFC 6962, 2.1.1): one event of a bundle, or one trial of a run, shown without the rest.

A proof is one JSON file. It holds a signed document (a bundle's statement, or the last checkpoint of a ledger), what is
disclosed, and the hashes that lead from that to the signed Merkle root.
"""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, TypeAdapter, ValidationError

from affidavit.errors import first_problem
from affidavit.evidence import (
    IN_TOTO,
    MOST_STATEMENT_BYTES,
    STATEMENT,
    BundleReader,
    EvidenceError,
    PublicKey,
    read_statement,
)
from affidavit.runs.ledger import CHECKPOINT_TYPE, LEDGER, read_checkpoint, read_entry, read_ledger
from affidavit.runs.plan import PLAN, Strict, read_plan
from affidavit.signing import (
    Envelope,
    canonical_json,
    inclusion_proof,
    leaf_hash,
    read_bounded,
    strict_canonical_json,
    strict_json,
    verify_inclusion,
)
from affidavit.trace import EVENTS_PER_LEAF, TraceError, trace_batches, trace_leaves
from affidavit.verification import Check, Checked

_MOST_BYTES = 512 << 20
_MOST_PATH = 64

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Path = Annotated[list[_Hash], Field(max_length=_MOST_PATH)]


class _EventProof(Strict):
    """An event: the leaf that it is in, as a Parquet file of EVENT_SCHEMA in base64."""

    schema_: Annotated[Literal["affidavit.proof/v1"], Field(alias="schema")] = "affidavit.proof/v1"
    kind: Literal["event"] = "event"
    signed: dict[str, Any]
    part: str
    seq: int = Field(ge=0)
    leaf: int = Field(ge=0)
    events: str
    path: _Path


class _Included(Strict):
    """A line of a ledger."""

    index: int = Field(ge=0)
    line: str
    path: _Path


class _TrialProof(Strict):
    """A trial: all entries of the ledger that name it."""

    schema_: Annotated[Literal["affidavit.proof/v1"], Field(alias="schema")] = "affidavit.proof/v1"
    kind: Literal["trial"] = "trial"
    signed: dict[str, Any]
    trial: str
    entries: list[_Included] = Field(min_length=1, max_length=10_000)


_PROOF: TypeAdapter[_EventProof | _TrialProof] = TypeAdapter(
    Annotated[_EventProof | _TrialProof, Field(discriminator="kind")]
)


@dataclass(frozen=True)
class ProofVerification(Checked):
    """What came of checking a proof.

    Attributes:
        shown: what is proved, where all holds: the event, or the trial's entries.
    """

    kind = "proof"

    shown: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What ``affidavit verify --proof --json`` prints."""
        return {**super().to_json(), "shown": dict(self.shown)}


def prove_event(bundle: Path, seq: int, part: str = "agent") -> tuple[bytes, range]:
    """A proof that an event is in a bundle's record.

    Args:
        bundle: its folder; it is not verified here.
        seq: the event's number.
        part: the one with that record.

    Returns:
        The proof's file, and the numbers of the events that it discloses: the leaf of the tree that the event is in.

    Raises:
        EvidenceError, TraceError: there is no such event, or the bundle can't be read.
    """
    with BundleReader(bundle) as reader:
        envelope = Envelope.from_json(strict_canonical_json(reader.read(STATEMENT, MOST_STATEMENT_BYTES)))
        if part not in reader.parts():
            raise EvidenceError(f"{bundle}: has no record of {part!r}; there are {', '.join(reader.parts())}")
        leaves = [leaf_hash(leaf) for leaf in trace_leaves(reader.events(part))]
        table = reader.event_table(part)
    if not 0 <= seq < table.num_rows:
        raise EvidenceError(f"{bundle}: {part} has no event {seq}; it has {table.num_rows}, from 0")
    leaf = seq // EVENTS_PER_LEAF
    shown = table.slice(leaf * EVENTS_PER_LEAF, EVENTS_PER_LEAF)
    file = io.BytesIO()
    pq.write_table(shown, file)
    proof = _EventProof(
        signed=envelope.to_json(),
        part=part,
        seq=seq,
        leaf=leaf,
        events=base64.b64encode(file.getvalue()).decode(),
        path=[node.hex() for node in inclusion_proof(leaves, leaf)],
    )
    first = leaf * EVENTS_PER_LEAF
    return _file(proof), range(first, first + shown.num_rows)


def prove_trial(run: Path, name: str, keys: Iterable[PublicKey]) -> bytes:
    """A proof of what a run's ledger says of one trial.

    Args:
        run: its folder.
        name: the trial's, as in ``TASK/AGENT/NUMBER``.
        keys: that may have signed the ledger.

    Raises:
        EvidenceError: there is no such trial, or the ledger can't be read.
    """
    signer = read_plan(run / PLAN).plan.signer
    key = next((key for key in keys if key.key_id == signer), None)
    if key is None:
        raise EvidenceError(f"{run}: is signed by unknown key {signer}; give its public key with --key")
    ledger = read_ledger(run / LEDGER, key)
    if ledger.last is None or ledger.unsigned:
        raise EvidenceError(f"{run}: the ledger's last entry has no checkpoint; go on with the run first")
    leaves = [leaf_hash(line) for line in ledger.leaves]
    found = [number for number, line in enumerate(ledger.leaves) if getattr(read_entry(line), "trial", None) == name]
    if not found:
        raise EvidenceError(f"{run}: the ledger tells of no trial {name!r}; names are TASK/AGENT/NUMBER")
    entries = [
        _Included(
            index=number,
            line=ledger.leaves[number].decode(),
            path=[node.hex() for node in inclusion_proof(leaves, number)],
        )
        for number in found
    ]
    return _file(_TrialProof(signed=ledger.last.to_json(), trial=name, entries=entries))


def verify_proof(path: Path, keys: Iterable[PublicKey]) -> ProofVerification:
    """Check a proof, which needs nothing but the public key.

    Args:
        path: its file.
        keys: the keys that are trusted to sign.

    Raises:
        EvidenceError: there is no such file.
    """
    data = read_bounded(path, _MOST_BYTES)
    known, done = {key.key_id: key for key in keys}, []
    signer: str | None = None
    shown: dict[str, Any] = {}
    try:
        proof = _parsed(data)
        envelope = Envelope.from_json(proof.signed)
        done.append(Check("proof", True, f"of one {proof.kind}"))
        if (key := known.get(envelope.key_id)) is None:
            done.append(Check("signer", False, f"signed by unknown key {envelope.key_id}; give it with --key"))
        elif not envelope.signed_by(key):
            done.append(Check("signature", False, "the signature does not fit what it is said to sign"))
        else:
            done.append(Check("signature", True, f"signed by {envelope.key_id}"))
            said, shown = _event(proof, envelope) if isinstance(proof, _EventProof) else _trial(proof, envelope)
            signer = envelope.key_id
            done.append(Check("inclusion", True, said))
    except (EvidenceError, TraceError, ValueError) as error:
        done.append(Check("inclusion" if done else "proof", False, str(error)))
    return ProofVerification(path, tuple(done), signer, shown)


def _event(proof: _EventProof, envelope: Envelope) -> tuple[str, dict[str, Any]]:
    """A sentence on the event and the event. Raises EvidenceError, TraceError where it is not proved."""
    if envelope.payload_type != IN_TOTO:
        raise EvidenceError(f"what is signed is not {IN_TOTO}")
    facts = read_statement(envelope.payload).facts
    if (trace := facts.traces.get(proof.part)) is None or trace.events_per_leaf != EVENTS_PER_LEAF:
        raise EvidenceError(f"the statement tells of no record of {proof.part!r}")
    rows: list[dict[str, Any]] = []
    batches: list[pa.RecordBatch] = []
    for batch in trace_batches(io.BytesIO(base64.b64decode(proof.events, validate=True)), "the proof's events"):
        if sum(one.num_rows for one in batches) + batch.num_rows > EVENTS_PER_LEAF:
            raise EvidenceError(f"discloses more than the {EVENTS_PER_LEAF} events of a leaf")
        batches.append(batch)
        rows += batch.to_pylist()
    leaves = [*trace_leaves(batches)]
    size = -(-trace.events // EVENTS_PER_LEAF)
    if len(leaves) != 1 or not _included(trace.merkle_root, leaves[0], proof.leaf, size, proof.path):
        raise EvidenceError("the events are not under the signed Merkle root")
    found = [row for row in rows if row["seq"] == proof.seq]
    if len(found) != 1:
        raise EvidenceError(f"no event {proof.seq} is among those that are disclosed")
    said = (
        f"event {proof.seq} of {proof.part} is in the record of trial {facts.trial} of {facts.task.id}, "
        f"run {facts.run_id}, which has {trace.events} events"
    )
    return said, {"event": json.loads(json.dumps(found[0], default=str))}


def _trial(proof: _TrialProof, envelope: Envelope) -> tuple[str, dict[str, Any]]:
    """A sentence on the trial and its entries. Raises EvidenceError where they are not proved."""
    if envelope.payload_type != CHECKPOINT_TYPE:
        raise EvidenceError(f"what is signed is not {CHECKPOINT_TYPE}")
    run_id, checkpoint = read_checkpoint(envelope)
    entries = []
    for one in proof.entries:
        if not _included(checkpoint.root, one.line.encode(), one.index, checkpoint.size, one.path):
            raise EvidenceError(f"entry {one.index} is not under the signed Merkle root")
        entry = read_entry(one.line.encode())
        if getattr(entry, "trial", None) != proof.trial:
            raise EvidenceError(f"entry {one.index} is not of the trial {proof.trial}")
        entries.append(entry.model_dump(mode="json"))
    said = f"{len(entries)} entries on {proof.trial} are in the ledger of run {run_id}, which has {checkpoint.size}"
    return said, {"run_id": run_id, "entries": entries}


def _included(root: str, leaf: bytes, index: int, size: int, path: Sequence[str]) -> bool:
    return verify_inclusion(bytes.fromhex(root[7:]), leaf_hash(leaf), index, size, [bytes.fromhex(one) for one in path])


def _parsed(data: bytes) -> _EventProof | _TrialProof:
    try:
        return _PROOF.validate_python(strict_json(data))
    except ValidationError as error:
        raise EvidenceError(f"is not a proof: {first_problem(error)}") from None


def _file(proof: _EventProof | _TrialProof) -> bytes:
    return canonical_json(proof.model_dump(mode="json")) + b"\n"
