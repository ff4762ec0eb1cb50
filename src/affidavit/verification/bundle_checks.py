"""Checking a bundle down to its verdict."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from affidavit.contracts import Publication
from affidavit.evidence import (
    CONTRACT_PROOF,
    CONTRACT_SIGNATURE,
    IN_TOTO,
    MODEL_FACTS,
    MOST_STATEMENT_BYTES,
    NETWORK_FACTS,
    STATEMENT,
    TRAJECTORY,
    BundleReader,
    GradeDocument,
    Identity,
    Statement,
    TrialFacts,
    check_model,
    check_network,
    private_files,
    read_grades,
    read_statement,
    stated_identity,
    stated_model,
    stated_step,
    trace_facts,
)
from affidavit.grading import combine
from affidavit.signing import Envelope, EvidenceError, PublicKey, Trust, now, read_envelope, strict_canonical_json
from affidavit.trace import TraceError, in_sequence
from affidavit.verification.checked import Check, Checked
from affidavit.verification.verdict import Judgement

_logger = logging.getLogger(__name__)

# Computes the verdict from the rest of the bundle.
Recompute = Callable[[BundleReader], Judgement]

# Grades the bundle again and says how far that went.
Regrade = Callable[[BundleReader], str]

_MOST_NAMED = 5
# What stands in the statement and in environment.json.
_TWICE = ("agent", "run_id", "trial", "runtime", "recorder", "identity")
_ALWAYS = ("agent", "runtime", "recorder")
_RUN_BEGAN = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z-")


@dataclass(frozen=True)
class Verification(Checked):
    """What came of checking a bundle.

    Attributes:
        facts: what the signed statement says; None where nothing signed was found.
    """

    kind = "bundle"

    facts: TrialFacts | None

    def to_json(self) -> dict[str, Any]:
        """What ``affidavit verify --json`` prints."""
        return {**super().to_json(), "statement": None if self.facts is None else self.facts.model_dump()}


class _Wrong(Exception):
    """A check does not hold; the text is its sentence."""

    def __init__(self, text: str, *parts: str) -> None:
        super().__init__(text)
        self.parts = parts


def verify_bundle(
    path: Path,
    keys: Iterable[PublicKey],
    recompute: Recompute,
    regrade: Regrade | None = None,
    trust: Trust | None = None,
) -> Verification:
    """Check a bundle: signature, every file, Merkle roots, contract, grades, score and verdict.

    Files are parsed only where they are, to the last bit, what a trusted key signed.

    Args:
        path: its folder.
        keys: the keys that are trusted to sign.
        recompute: judges the bundle again; what it returns must be what ``verdict.json`` says. It may raise
            EvidenceError, TraceError or ValueError: the check fails with that text.
        regrade: grades the bundle again as far as that goes, and says how far; it raises EvidenceError where a grade
            comes out otherwise. None: grades are taken as signed.
        trust: who must have signed the contract; None: what the run found is taken as signed.

    Raises:
        EvidenceError: `path` is no folder.
    """
    with BundleReader(path) as reader:
        return _Checks(reader, {key.key_id: key for key in keys}, recompute, regrade, trust).run()


class _Checks:
    """The checks of one bundle and what they have found."""

    def __init__(
        self,
        reader: BundleReader,
        keys: Mapping[str, PublicKey],
        recompute: Recompute,
        regrade: Regrade | None,
        trust: Trust | None,
    ) -> None:
        self._reader = reader
        self._keys = keys
        self._recompute = recompute
        self._regrade = regrade
        self._trust = trust
        self._done: list[Check] = []

    def _check(self, name: str, check: Callable[[], str], part: str | None = None) -> bool:
        """Make one check: `check` returns its sentence or raises. `part`: the file that is wrong where it fails."""
        parts = () if part is None else (part,)
        try:
            self._done.append(Check(name, True, check()))
        except _Wrong as wrong:
            self._done.append(Check(name, False, str(wrong), wrong.parts or parts))
        except (EvidenceError, TraceError) as error:
            self._done.append(Check(name, False, str(error), parts))
        _logger.debug("%s: %s", name, "holds" if self._done[-1].ok else "does not hold")
        return self._done[-1].ok

    def run(self) -> Verification:
        signer: str | None = None
        facts: TrialFacts | None = None
        layout = self._check("layout", self._layout)
        envelope: list[Envelope] = []
        statement: list[Statement] = []
        if self._check("envelope", lambda: self._envelope(envelope), STATEMENT):
            trusted = self._check("signer", lambda: self._signer(envelope[0]), STATEMENT)
            if trusted and self._check("signature", lambda: self._signature(envelope[0]), STATEMENT):
                signer = envelope[0].key_id
            if self._check("statement", lambda: self._statement(envelope[0], statement), STATEMENT) and signer:
                facts = statement[0].facts
        files = bool(statement) and self._check("files", lambda: self._files(statement[0]))
        if facts is not None and layout and files:
            self._content(facts)
            self._check("unchanged", self._unchanged)
        return Verification(self._reader.path, tuple(self._done), signer, facts)

    def _layout(self) -> str:
        names = self._reader.names()
        return f"{len(names)} regular files, no link, nothing else"

    def _envelope(self, found: list[Envelope]) -> str:
        data = self._reader.read(STATEMENT, MOST_STATEMENT_BYTES)
        try:
            envelope = read_envelope(data)
        except EvidenceError as error:
            raise _Wrong(f"{STATEMENT}: {error}", STATEMENT) from error
        if envelope.payload_type != IN_TOTO:
            raise _Wrong(f"{STATEMENT}: its payload type is not {IN_TOTO}", STATEMENT)
        found.append(envelope)
        return "a DSSE envelope in its one canonical form"

    def _signer(self, envelope: Envelope) -> str:
        if envelope.key_id not in self._keys:
            raise _Wrong(f"signed by unknown key {envelope.key_id}; give its public key with --key", STATEMENT)
        return f"signed by {envelope.key_id}"

    def _signature(self, envelope: Envelope) -> str:
        if not envelope.signed_by(self._keys[envelope.key_id]):
            raise _Wrong(f"{STATEMENT}: the signature does not fit its content", STATEMENT)
        return "the ed25519 signature fits the statement"

    def _statement(self, envelope: Envelope, found: list[Statement]) -> str:
        try:
            statement = read_statement(envelope.payload)
        except EvidenceError as error:
            raise _Wrong(f"{STATEMENT}: the statement {error}", STATEMENT) from error
        found.append(statement)
        facts = statement.facts
        return f"an in-toto statement on trial {facts.trial} of {facts.task.id} in run {facts.run_id}"

    def _files(self, statement: Statement) -> str:
        wrong: dict[str, str] = {}
        for name, file in statement.files.items():
            try:
                # A file of the wrong size need not be read, however large it says it is.
                if self._reader.size(name) != file.size:
                    wrong[name] = f"{name}: is {self._reader.size(name)} bytes long, not {file.size}"
                elif self._reader.digest(name).sha256 != file.sha256:
                    wrong[name] = f"{name}: its content was changed (SHA-256)"
            except EvidenceError as error:
                wrong[name] = str(error)
        apart = self._private_part(statement, wrong)
        try:
            for name in self._reader.names():
                if name not in statement.files:
                    wrong[name] = f"{name}: does not belong to the bundle"
        except EvidenceError as error:
            if not wrong:
                raise _Wrong(str(error)) from error
        if wrong:
            sentences = [*wrong.values()][:_MOST_NAMED]
            more = f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
            raise _Wrong("; ".join(sentences) + more, *wrong)
        return f"{len(statement.files)} files are the signed ones, and there is no other{apart}"

    def _private_part(self, statement: Statement, wrong: dict[str, str]) -> str:
        """Look at the private part, where it is there; what is said of it. `wrong`: gets what is wrong, by file."""
        try:
            expected = private_files(statement.facts)
        except EvidenceError as error:
            raise _Wrong(f"{STATEMENT}: {error}", STATEMENT) from error
        if twice := expected.keys() & statement.files.keys():
            raise _Wrong(f"{STATEMENT}: names {min(twice)} as public and as private", STATEMENT)
        if not expected:
            self._reader.leave_private()
            return ""
        if not self._reader.has_private:
            return "; the private part, which is signed too, is not here and not checked"
        try:
            key = self._reader.private_key()
            for name, file in expected.items():
                if self._reader.private_digest(key, name) != file:
                    wrong[name] = f"private/{name}: its content was changed (HMAC with SHA-256)"
            for name in self._reader.private_names():
                if name not in expected:
                    wrong[name] = f"private/{name}: does not belong to the bundle"
        except EvidenceError as error:
            wrong.setdefault("private", f"private: {error}")
        return f"; so are {len(expected)} of the private part"

    def _content(self, facts: TrialFacts) -> None:
        self._check("traces", lambda: self._traces(facts))
        for part in facts.traces:
            if self._is_here(facts, f"{part}/events.parquet"):
                self._check(f"trace {part}", partial(self._trace, facts, part), f"{part}/events.parquet")
                self._check(f"counts {part}", partial(self._counts, part), f"{part}/counts.parquet")
        self._check("task", lambda: self._task(facts), "task.json")
        self._check("environment", lambda: self._environment(facts), "environment.json")
        further, names = facts.model_extra or {}, self._reader.names()
        if further.get("model") is not None or MODEL_FACTS in names:
            self._check("model", lambda: self._model(facts), MODEL_FACTS)
        if further.get("network") is not None or NETWORK_FACTS in names:
            self._check("network", lambda: check_network(self._reader, facts), NETWORK_FACTS)
        if self._check("contract", lambda: self._contract(facts), "contract.json"):
            if facts.contract.published is not None:
                self._check("published", lambda: self._published(facts), CONTRACT_PROOF)
            elif self._trust is not None:
                self._check("contract signers", lambda: self._signers(facts), CONTRACT_SIGNATURE)
        if self._regrade is not None:
            self._check("grades", self._grades, "grade.json")
        self._check("score", lambda: self._score(facts), "verdict.json")
        self._check("verdict", self._verdict, "verdict.json")

    def _is_here(self, facts: TrialFacts, name: str) -> bool:
        """Whether a file is there to be checked: it is public, or the private part is at hand."""
        return self._reader.has_private or name not in private_files(facts)

    def _traces(self, facts: TrialFacts) -> str:
        parts = self._reader.parts()
        told = sorted(part for part in facts.traces if self._is_here(facts, f"{part}/events.parquet"))
        if told != parts:
            raise _Wrong(f"the statement tells of the traces {told}, the files are {parts}", STATEMENT)
        return f"the statement tells of each: {', '.join(parts) or 'none'}"

    def _trace(self, facts: TrialFacts, part: str) -> str:
        name = f"{part}/events.parquet"
        signed = facts.traces[part]
        broken: list[int] = []

        def followed() -> Iterator[pa.RecordBatch]:
            events = 0
            for batch in self._reader.events(part):
                if not broken and not in_sequence(batch, events):
                    broken.append(events)
                events += batch.num_rows
                yield batch

        computed = trace_facts(followed())
        if computed.events != signed.events:
            raise _Wrong(f"{name}: holds {computed.events} events, the statement says {signed.events}", name)
        if computed.events_per_leaf != signed.events_per_leaf or computed.merkle_root != signed.merkle_root:
            raise _Wrong(f"{name}: its Merkle root is not the signed one", name)
        summary = self._reader.summary(part)
        if summary.complete and (broken or summary.events != signed.events):
            raise _Wrong(f"{part}/summary.json: says that the record is complete, but events are missing in it", name)
        return f"{signed.events} events under the signed Merkle root"

    def _counts(self, part: str) -> str:
        summary = self._reader.summary(part)
        return f"{summary.counts.num_rows} rows of system call counts, {summary.lost} events lost"

    def _task(self, facts: TrialFacts) -> str:
        task = self._reader.task
        if (task.get("id"), task.get("digest")) != (facts.task.id, facts.task.digest):
            raise _Wrong("task.json: is of another task than the statement", "task.json")
        step = stated_step(facts)
        if task.get("step", "") != ("" if step is None else step.name):
            raise _Wrong("task.json: is of another step than the statement", "task.json")
        said = "" if step is None else f"; {step.sentence}"
        return f"{facts.task.id}, {facts.task.digest}{said}"

    def _environment(self, facts: TrialFacts) -> str:
        """What stands in the statement and in the environment is the same in both."""
        environment, stated = self._reader.environment, facts.model_dump()
        # Version 0.1 wrote some of these only once.
        twice = [name for name in _TWICE if name in environment or name in _ALWAYS]
        for name in twice:
            if environment.get(name) != stated.get(name):
                raise _Wrong(
                    f"environment.json: its {name} is {str(environment.get(name))[:100]!r}, "
                    f"the statement says {str(stated.get(name))[:100]!r}",
                    "environment.json",
                )
        identity = stated_identity(facts)
        said = ""
        if identity is not None:
            self._identity(facts, identity)
            said = "" if identity.digest is None else f"; the agent is {identity.digest}"
            said += "" if identity.scan is None else f"; its signer says: {identity.scan.sentence}"
        return f"the statement's {', '.join(twice)}{said}"

    def _identity(self, facts: TrialFacts, identity: Identity) -> None:
        """Who was evaluated is who is named elsewhere, where it is said. Raises _Wrong."""
        if identity.name != facts.agent:
            named = f"{identity.name[:100]!r}, and its agent {facts.agent[:100]!r}"
            raise _Wrong(f"{STATEMENT}: its identity names {named}", STATEMENT)
        model = stated_model(facts)
        first = model.served[0] if model is not None and model.asked else ""
        if identity.model != first:
            named = f"{identity.model[:100]!r}, and its model {first[:100]!r}"
            raise _Wrong(f"{STATEMENT}: its identity names the model {named}", STATEMENT)

    def _model(self, facts: TrialFacts) -> str:
        said, identity = check_model(self._reader, facts), stated_identity(facts)
        if identity is not None:
            written = self._reader.json_object(TRAJECTORY)
            agent = {"name": identity.name, "version": identity.version, "model_name": identity.model}
            if written.get("agent") != agent or written.get("session_id") != f"{facts.run_id}/{facts.trial}":
                raise _Wrong(f"{TRAJECTORY}: is of another agent or trial than the statement", TRAJECTORY)
        return said

    def _contract(self, facts: TrialFacts) -> str:
        name = "contract.json"
        data = self._reader.contract
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != facts.contract.digest:
            raise _Wrong(f"{name}: its digest is {digest}, the statement says {facts.contract.digest}", name)
        try:
            contract = strict_canonical_json(data)
        except EvidenceError as error:
            raise _Wrong(f"{name}: {error}", name) from error
        if not isinstance(contract, dict) or (contract.get("id"), contract.get("version")) != (
            facts.contract.id,
            facts.contract.version,
        ):
            raise _Wrong(f"{name}: is not the contract that the statement names", name)
        signed = self._contract_signature(facts.contract.signed_by, data)
        return f"{facts.contract.id} {facts.contract.version}, {digest}, {signed}"

    def _contract_signature(self, signed_by: str | None, contract: bytes) -> str:
        """Check the contract's own signature as far as keys are known."""
        if signed_by is None:
            return "unsigned"
        envelope = self._contract_envelope()
        if envelope.payload != contract or signed_by not in envelope.signatures:
            raise _Wrong(f"{CONTRACT_SIGNATURE}: does not sign contract.json by {signed_by}", CONTRACT_SIGNATURE)
        if (key := self._keys.get(signed_by)) is None:
            return f"signed by {signed_by} (as found in the run; its public key was not given here)"
        if not envelope.signed_by(key):
            raise _Wrong(f"{CONTRACT_SIGNATURE}: the signature does not fit contract.json", CONTRACT_SIGNATURE)
        return f"signed by {signed_by}"

    def _contract_envelope(self) -> Envelope:
        value = self._reader.json(CONTRACT_SIGNATURE)
        try:
            return Envelope.from_json(value)
        except EvidenceError as error:
            raise _Wrong(f"{CONTRACT_SIGNATURE}: is not a DSSE envelope: {error}", CONTRACT_SIGNATURE) from error

    def _published(self, facts: TrialFacts) -> str:
        """The contract is the one that was published under its id and version."""
        contract = facts.contract
        envelope = self._contract_envelope()
        if envelope.payload != self._reader.contract:
            raise _Wrong(f"{CONTRACT_SIGNATURE}: is not a signature over contract.json", CONTRACT_SIGNATURE)
        try:
            publication = Publication.from_json(self._reader.json(CONTRACT_PROOF))
            named = {"id": contract.id, "version": contract.version, "digest": contract.digest}
            examined = publication.check(named, envelope, self._trust)
        except EvidenceError as error:
            raise _Wrong(f"{CONTRACT_PROOF}: {error}", CONTRACT_PROOF) from error
        by = "the trust given here" if self._trust else "its registry's own trust, for no --trust was given here"
        signers = ", ".join(examined.good)
        return (
            f"{contract.id}@{contract.version} is entry {publication.index} of {publication.head.size} in the log of "
            f"{publication.location}, signed by {signers} by {by}"
        )

    def _signers(self, facts: TrialFacts) -> str:
        """The contract, which is not published, is signed by whom it must be."""
        assert self._trust is not None
        if CONTRACT_SIGNATURE not in self._reader.names():
            raise _Wrong("the contract is not signed", "contract.json")
        envelope = self._contract_envelope()
        if envelope.payload != self._reader.contract:
            raise _Wrong(f"{CONTRACT_SIGNATURE}: is not a signature over contract.json", CONTRACT_SIGNATURE)
        # The signatures were there when the run began, which its signed name says.
        match = _RUN_BEGAN.match(facts.run_id)
        at = "{}-{}-{}T{}:{}:{}Z".format(*match.groups()) if match else now()
        examined = self._trust.examine(envelope, at)
        if not examined.met:
            raise _Wrong(f"{CONTRACT_SIGNATURE}: {examined}", CONTRACT_SIGNATURE)
        return f"signed by {', '.join(examined.good)}"

    def _score(self, facts: TrialFacts) -> str:
        verdict = self._reader.verdict
        for name in ("verdict", "score", "raw_score"):
            if name not in verdict or verdict[name] != getattr(facts, name):
                raise _Wrong(f"verdict.json: its {name} is not the statement's", "verdict.json")
        if verdict.get("assurance") != (facts.model_extra or {}).get("assurance"):
            raise _Wrong("verdict.json: its assurance is not the statement's", "verdict.json")
        try:
            grades = read_grades(self._reader)
        except EvidenceError as error:
            raise _Wrong(str(error), "grade.json") from error
        score = _graded(grades)
        expected = {"pass": score, "fail": score, "violation": 0}.get(facts.verdict)
        if facts.score != expected or (facts.verdict in ("pass", "fail") and expected is None):
            made = f"{facts.verdict} with a grade of {_number(score)} makes {_number(expected)}"
            raise _Wrong(f"verdict.json: the score is {_number(facts.score)}, but {made}", "verdict.json", "grade.json")
        if facts.raw_score != score:
            raise _Wrong(f"verdict.json: the raw score is {facts.raw_score}, grade.json says {score}", "grade.json")
        return f"{_number(facts.score)}, and {_number(score)} by the grader alone"

    def _grades(self) -> str:
        assert self._regrade is not None
        try:
            return self._regrade(self._reader)
        except (EvidenceError, TraceError):
            raise
        except Exception as error:
            # Not our code, as in `_verdict`.
            raise _Wrong(f"grade.json: can't be graded again: {error!r}", "grade.json") from error

    def _verdict(self) -> str:
        try:
            computed = json.loads(json.dumps(self._recompute(self._reader).to_json()))
        except (EvidenceError, TraceError):
            raise
        except Exception as error:
            # Not our code: whatever it stumbles over in the bundle, the verdict is not shown to be right.
            raise _Wrong(f"verdict.json: can't be judged again: {error!r}", "verdict.json") from error
        stored = self._reader.verdict
        if computed != stored:
            differing = sorted(
                name for name in {*computed, *stored} if computed.get(name, self) != stored.get(name, self)
            )
            raise _Wrong(f"verdict.json: judged again, {', '.join(differing)} differ", "verdict.json")
        said = f"judged again: {stored['verdict']}" if "verdict" in stored else "judged again: the same"
        enforcement = self._reader.environment.get("enforcement")
        if isinstance(enforcement, dict) and enforcement.get("mode") == "audit":
            said += "; MODE AUDIT: violations were recorded and did not count"
        return said

    def _unchanged(self) -> str:
        self._reader.unchanged()
        return "no file was changed during these checks"


def _graded(grades: GradeDocument) -> float | None:
    """The score, which must be what the graders' scores make.

    Raises:
        _Wrong: it is not.
    """
    if grades.failed is not None:
        return None
    try:
        made = combine(grades.graders).score
    except ValueError as error:
        raise _Wrong(str(error), "grade.json") from error
    if made != grades.score:
        said = f"the graders make {_number(made)}, the score says {_number(grades.score)}"
        raise _Wrong(f"grade.json: {said}", "grade.json")
    return grades.score


def _number(score: float | None) -> str:
    return "no score" if score is None else f"{score:g}"
