"""Checking a run: plan, ledger, every bundle, and that the statement says what they come to."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.evidence import (
    MOST_STATEMENT_BYTES,
    STATEMENT,
    BundleReader,
    EvidenceError,
    PublicKey,
    StepFacts,
    TrialFacts,
    beside,
    bundle_digest,
    private_files,
    read_statement,
    stated_identity,
    stated_model,
    stated_network,
    stated_plan,
    stated_step,
)
from affidavit.runs.ledger import LEDGER, Attempt, Checkpoint, ReadLedger, read_ledger
from affidavit.runs.plan import PLAN, PlannedTask, PlannedTrial, RunPlan, SignedPlan, read_plan
from affidavit.runs.statement import (
    MOST_DOCUMENT_BYTES,
    RUN_DOCUMENT,
    RUN_STATEMENT,
    SVR,
    TEST_RESULT,
    RunFacts,
    RunStatement,
    read_run_statement,
    read_statement_file,
    result_payload,
    run_facts,
    subjects_of,
    svr_payload,
)
from affidavit.runs.steps import combine_steps, why_last
from affidavit.runs.timestamps import PLAN_TOKEN, RUN_TOKEN, check_timestamp
from affidavit.signing import Envelope, Trust, now, read_bounded, read_envelope
from affidavit.verification import (
    ANYTHING,
    Check,
    Checked,
    Expected,
    check_chain,
    check_reproductions,
    verify_signed_by,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

# Of one kind, in one sentence.
_MOST_NAMED = 10
_MOST_FOLDERS = 1_000_000
# Between the authority's clock and the machine's.
_CLOCKS_DIFFER_S = 300


@dataclass(frozen=True)
class RunVerification(Checked):
    """What came of checking a run.

    Attributes:
        facts: what the signed statement says; None where none was found.
        bundles: the places, in the folder, of the bundles that verify and are those of their trials.
    """

    kind = "run"

    facts: RunFacts | None
    bundles: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """What ``affidavit verify RUN --json`` prints."""
        return {**super().to_json(), "statement": None if self.facts is None else self.facts.model_dump(mode="json")}


class _Wrong(Exception):
    """A check does not hold; the text is its sentence."""


def is_run(path: Path) -> bool:
    """Whether a folder is that of a run, whatever is missing in it, and not that of a bundle."""
    if (path / STATEMENT).exists():
        return False
    return any(os.path.lexists(path / name) for name in (RUN_STATEMENT, PLAN, LEDGER, RUN_DOCUMENT))


def verify_run(
    folder: Path,
    keys: Iterable[PublicKey],
    trust: Trust | None = None,
    *,
    public: bool = False,
    authorities: "Sequence[Certificate]" = (),
    reproduced_by: Sequence[PublicKey] = (),
    expected: Expected = ANYTHING,
) -> RunVerification:
    """Check a run.

    Args:
        folder: the run's.
        keys: the keys that are trusted to sign.
        trust: who must have signed plan and statement; the keys in it are trusted to sign the rest, too.
        public: the private parts of bundles, and ``run.json``, may be missing.
        authorities: certificates of time-stamping authorities that are trusted.
        reproduced_by: who must have counter-signed every bundle.
        expected: what plan and bundles must be of.

    Raises:
        EvidenceError: there is no such folder, or the last version of the trust document lacks signatures or has
            expired.
    """
    if not folder.is_dir():
        raise EvidenceError(f"{folder}: there is no such folder")
    if trust is not None:
        trust.check(now())
    known = {key.key_id: key for key in keys}
    for document in trust.documents if trust else ():
        known |= {key_id: key.key for key_id, key in document.keys.items()}
    return _RunChecks(folder, known, trust, public, authorities, reproduced_by, expected).run()


class _RunChecks:
    """The checks of one run and what they have found."""

    def __init__(
        self,
        folder: Path,
        keys: Mapping[str, PublicKey],
        trust: Trust | None,
        public: bool,
        authorities: "Sequence[Certificate]",
        reproduced_by: Sequence[PublicKey],
        expected: Expected,
    ) -> None:
        self._folder = folder
        self._keys = keys
        self._trust = trust
        self._public = public
        self._authorities = authorities
        self._wanted = [key.key_id for key in reproduced_by]
        self._reproducers = {**keys, **{key.key_id: key for key in reproduced_by}}
        self._reproduced: Counter[str] = Counter()
        self._expected = expected
        self._done: list[Check] = []
        self._good: set[str] = set()
        self._key: PublicKey | None = None
        self._ledger: ReadLedger | None = None
        self._statement: RunStatement | None = None

    def _check(self, name: str, check: Callable[[], str], *parts: str) -> bool:
        """Make one check: `check` returns its sentence or raises. `parts`: the files that are wrong where it fails."""
        try:
            self._done.append(Check(name, True, check()))
        except (_Wrong, EvidenceError) as wrong:
            self._done.append(Check(name, False, str(wrong), parts))
        return self._done[-1].ok

    def run(self) -> RunVerification:
        plans: list[SignedPlan] = []
        signed = self._check("plan", lambda: self._plan(plans), PLAN) and self._check(
            "signature", lambda: self._signature(plans[0]), PLAN
        )
        if signed and self._trust is not None:
            self._check("plan signers", lambda: self._signers(plans[0].envelope, plans[0].plan.made), PLAN)
        if signed and self._expected:
            self._check("expected plan", lambda: self._planned_as_expected(plans[0].plan), PLAN)
        if signed and self._key is not None:
            self._rest(plans[0].plan, self._key)
            self._times(plans[0])
        signer = self._key.key_id if self._key else None
        facts = self._statement.facts if self._statement else None
        return RunVerification(self._folder, tuple(self._done), signer, facts, frozenset(self._good))

    def _rest(self, plan: RunPlan, key: PublicKey) -> None:
        stated = self._check("statement", lambda: self._read_statement(plan, key), RUN_STATEMENT)
        if stated and self._trust is not None and (statement := self._statement) is not None:
            self._check("statement signers", lambda: self._signers(statement.envelope, statement.facts.ended))
        if not self._check("ledger", lambda: self._read_ledger(plan, key), LEDGER) or self._ledger is None:
            return
        history = self._ledger.history
        self._check("ledger head", self._head, LEDGER)
        complete = self._check("trials", lambda: self._trials(plan), LEDGER)
        ends = {trial.name: end for trial in plan.in_order if (end := history.end_of(trial.name)) is not None}
        bundles = self._bundles(plan, key, ends)
        others = self._check("nothing else", lambda: self._others(plan, ends))
        document = self._statement is None or self._check("run.json", self._document, RUN_DOCUMENT)
        if stated and complete and bundles and others and document:
            self._check("aggregate", lambda: self._aggregate(plan), RUN_STATEMENT)
            for name, payload in ((TEST_RESULT, result_payload), (SVR, svr_payload)):
                self._derived(name, payload, plan, key)

    def _times(self, plan: SignedPlan) -> None:
        """Check the time stamps that are there or must be."""
        statement = self._statement
        stamped = statement is not None and PLAN_TOKEN in statement.subjects
        if stamped or os.path.lexists(self._folder / PLAN_TOKEN):
            self._check("time of plan", lambda: self._time_of_plan(plan), PLAN_TOKEN)
        if statement is not None and (statement.facts.timestamped or os.path.lexists(self._folder / RUN_TOKEN)):
            self._check("time of statement", lambda: self._time(RUN_TOKEN, statement.envelope)[1], RUN_TOKEN)

    def _time(self, name: str, envelope: Envelope) -> tuple[str, str]:
        """The time in a token, and a sentence on it."""
        assert self._key is not None
        at, vouched = check_timestamp(self._file(name), envelope, self._key.key_id, self._authorities)
        by = (
            "by a trusted authority" if vouched else "by an authority that was not checked; give its certificate: --tsa"
        )
        return at, f"was there at {at}, {by}"

    def _time_of_plan(self, plan: SignedPlan) -> str:
        at, said = self._time(PLAN_TOKEN, plan.envelope)
        began = self._ledger.history.began if self._ledger else ""
        if began and _seconds(at) > _seconds(began) + _CLOCKS_DIFFER_S:
            raise _Wrong(f"{PLAN_TOKEN}: the plan was stamped at {at}, after the run began at {began}")
        return said

    def _file(self, name: str, without: str = "") -> Path:
        """Where a file of the run lies. Raises _Wrong where it does not; `without`: what that means."""
        path = self._folder / name
        if not os.path.lexists(path):
            raise _Wrong(f"{name}: is missing{without}")
        if path.is_symlink():
            raise _Wrong(f"{name}: is a symbolic link")
        return path

    def _plan(self, found: list[SignedPlan]) -> str:
        without = ": without a plan nothing shows that these are all trials, and not the best of many"
        found.append(read_plan(self._file(PLAN, without)))
        plan = found[0].plan
        return f"{plan.digest}: {len(plan.in_order)} trials of {len(plan.tasks)} tasks, made {plan.made}"

    def _signature(self, signed: SignedPlan) -> str:
        signer = signed.plan.signer
        if (key := self._keys.get(signer)) is None:
            raise _Wrong(f"{PLAN}: signed by unknown key {signer}; give its public key with --key")
        if not signed.envelope.signed_by(key):
            raise _Wrong(f"{PLAN}: the signature of {signer} is missing or does not fit")
        self._key = key
        return f"signed by {signer}"

    def _planned_as_expected(self, plan: RunPlan) -> str:
        expected = self._expected
        # A plan does not know yet what its agent's installation brings, so a digest is left to the bundles.
        agent = expected.agent if not (expected.agent or "").startswith("sha256:") else None
        for name, found, wanted in (
            ("agent", {agent.name for agent in plan.agents.values()}, (agent or "").partition("@")[0]),
            ("task", {one for task in plan.tasks for one in _names_of(expected, task)}, expected.task),
            ("nonce", {plan.nonce}, expected.nonce),
        ):
            if wanted and found != {wanted}:
                raise _Wrong(f"{PLAN}: its {name} is {_named(sorted(found))}, not {wanted}")
        models = [plan.model.mapping.get(name, name) for name in plan.model.models] if plan.model else []
        if expected.models and (not models or {*models} - {*expected.models}):
            raise _Wrong(f"{PLAN}: its models are {_named(models) or 'none'}, not {', '.join(expected.models)}")
        return "plans what is expected"

    def _signers(self, envelope: Envelope, at: str) -> str:
        assert self._trust is not None
        examined = self._trust.examine(envelope, at)
        if not examined.met:
            raise _Wrong(str(examined))
        return f"signed by {', '.join(examined.good)}, of whom {examined.threshold} must"

    def _read_statement(self, plan: RunPlan, key: PublicKey) -> str:
        without = ": the run was not closed, or its statement was removed"
        statement = read_run_statement(self._file(RUN_STATEMENT, without))
        if not statement.envelope.signed_by(key):
            raise _Wrong(f"{RUN_STATEMENT}: the signature of {key.key_id} is missing or does not fit")
        if statement.facts.plan != plan.digest:
            raise _Wrong(
                f"{RUN_STATEMENT}: is of the run {statement.facts.run_id} and the plan {statement.facts.plan}, "
                f"not of the plan {plan.digest} in {PLAN}"
            )
        self._statement = statement
        return f"on run {statement.facts.run_id}, closed {statement.facts.ended}"

    def _read_ledger(self, plan: RunPlan, key: PublicKey) -> str:
        ledger = read_ledger(self._file(LEDGER), key)
        history = ledger.history
        if history.plan != plan.digest:
            raise _Wrong(
                f"{LEDGER}: is of the run {history.run_id} and the plan {history.plan}, not of the plan {plan.digest} "
                f"in {PLAN}"
            )
        if self._statement is not None and history.run_id != self._statement.facts.run_id:
            raise _Wrong(
                f"{LEDGER}: is of the run {history.run_id}, and {RUN_STATEMENT} of {self._statement.facts.run_id}"
            )
        self._ledger = ledger
        said = f"{ledger.checkpoint.size} entries, root {ledger.checkpoint.root}"
        if ledger.discarded or ledger.unsigned:
            said += f"; the run ended in the middle of an entry ({ledger.unsigned} without checkpoint)"
        return said + (f"; interrupted and resumed {history.resumed} times" if history.resumed else "")

    def _head(self) -> str:
        assert self._ledger is not None
        ledger = self._ledger
        if self._statement is None:
            return "no statement says what the ledger should come to"
        stated = Checkpoint(self._statement.facts.ledger.size, self._statement.facts.ledger.root)
        size = ledger.checkpoint.size
        if size < stated.size:
            raise _Wrong(
                f"{LEDGER}: was rolled back: it holds {size} entries, and {RUN_STATEMENT} was made of {stated.size}"
            )
        if ledger.unsigned:
            raise _Wrong(f"{LEDGER}: its last checkpoint was taken away")
        if size > stated.size or ledger.discarded:
            raise _Wrong(f"{LEDGER}: goes on after the {stated.size} entries that {RUN_STATEMENT} was made of")
        if not ledger.holds(stated):
            raise _Wrong(f"{LEDGER}: was rewritten: its root is not the one in {RUN_STATEMENT}")
        return f"is the one that {RUN_STATEMENT} was made of"

    def _trials(self, plan: RunPlan) -> str:
        assert self._ledger is not None
        history = self._ledger.history
        names = [trial.name for trial in plan.in_order]
        if unplanned := sorted({*history.attempts} - {*names}):
            raise _Wrong(f"{LEDGER}: tells of trials that were not planned: {_named(unplanned)}")
        if missing := history.without_end(names):
            states = [f"{name} ({_state(history.attempts.get(name, ()))})" for name in missing]
            raise _Wrong(f"{len(missing)} of {len(names)} planned trials have no end: {_named(states)}")
        if not history.closed:
            raise _Wrong(f"{LEDGER}: every planned trial has its end, but the run was not closed")
        for trial in plan.in_order:
            self._steps(plan, trial)
        retried = [name for name in names if len(history.attempts[name]) > 1]
        said = f"all {len(names)} planned trials have their end"
        return said + (f"; tried more than once: {_named(retried)}" if retried else "")

    def _steps(self, plan: RunPlan, trial: PlannedTrial) -> None:
        """Check that a trial went through the planned steps, and came to what they come to. Raises _Wrong."""
        assert self._ledger is not None
        task, end = plan.task_by_id[trial.task], self._ledger.history.end_of(trial.name)
        assert end is not None
        planned = [] if task.steps is None else task.steps.steps
        if [step.name for step in end.played] != [step.name for step in planned[: len(end.played)]]:
            raise _Wrong(f"{LEDGER}: the steps of {trial.name} are not the planned ones in their order")
        if task.steps is None or end.verdict is None:
            return
        for step, played in zip(planned, end.played[:-1] if end.bundle else end.played, strict=False):
            if why := why_last(step, played.verdict, played.raw_score):
                raise _Wrong(f"{LEDGER}: {trial.name} went on after {why}")
        if end.bundle is None:
            return
        if not end.played or end.played[-1].bundle != end.bundle:
            raise _Wrong(f"{LEDGER}: {trial.name} does not end with the bundle of its last step")
        last = end.played[-1]
        if len(end.played) < len(planned) and not why_last(planned[len(end.played) - 1], last.verdict, last.raw_score):
            raise _Wrong(f"{LEDGER}: {trial.name} ended after step {last.name}, and nothing says why")
        result = combine_steps(task.steps, end.played, task.passing_score)
        if (end.verdict, end.score, end.raw_score) != (result.verdict, result.score, result.raw_score):
            stated, found = (f"{one.verdict} ({one.score}, raw {one.raw_score})" for one in (end, result))
            raise _Wrong(f"{LEDGER}: {trial.name} came to {stated}, and its steps to {found}")

    def _bundles(self, plan: RunPlan, key: PublicKey, ends: Mapping[str, Attempt]) -> bool:
        """Check each bundle; one check for all that hold, and one for each that does not."""
        parts = [part for trial in plan.in_order if trial.name in ends for part in _parts(plan, trial, ends)]
        by_digest = {part.digest: part.name for part in parts}
        wrong: list[Check] = []
        for part in parts:
            try:
                self._bundle(plan, part, key, by_digest)
                self._good.add(part.bundle)
            except (_Wrong, EvidenceError) as error:
                wrong.append(Check(f"trial {part.name}", False, str(error), (part.bundle,)))
        without = sum(end.bundle is None for end in ends.values())
        apart = f"; {without} trials ended without one" if without else ""
        good, all_of_them = len(self._good), len(self._good) + len(wrong)
        self._done.append(Check("bundles", not wrong, f"{good} of {all_of_them} verify and are planned{apart}"))
        self._done += wrong
        if self._reproduced:
            said = [f"{count} by {key_id}" for key_id, count in sorted(self._reproduced.items())]
            self._done.append(Check("reproductions", True, f"bundles that were graded again: {', '.join(said)}"))
        return not wrong

    def _bundle(self, plan: RunPlan, part: "_Part", key: PublicKey, by_digest: Mapping[str, str]) -> None:
        """Check one bundle. Raises _Wrong, EvidenceError."""
        place = self._folder / part.bundle
        if not os.path.lexists(place):
            raise _Wrong(f"{part.bundle}: is missing")
        if link := _link(self._folder, part.bundle):
            raise _Wrong(f"{link}: is a symbolic link")
        if (found := bundle_digest(place)) != part.digest:
            if (other := by_digest.get(found)) is not None:
                raise _Wrong(f"{part.bundle}: holds the bundle of {other}")
            raise _Wrong(f"{part.bundle}: {self._stranger(place)}")
        verification = verify_signed_by(place, key)
        if failed := [check for check in verification.checks if not check.ok]:
            raise _Wrong("; ".join(f"{check.name}: {check.detail}" for check in failed))
        facts = verification.facts
        assert facts is not None
        if differences := self._differences(plan, part, facts):
            raise _Wrong(f"{part.bundle}: {'; '.join(differences)}")
        if part.before in self._good:
            check_chain(self._folder / part.before, place)
        if unexpected := [check for check in self._expected.checks(facts) if not check.ok]:
            raise _Wrong(f"{part.bundle}: " + "; ".join(f"{one.name}: {one.detail}" for one in unexpected))
        if not self._public and private_files(facts) and not beside(place).is_dir():
            raise _Wrong(
                f"{part.place}/private: is missing; with --public the published parts are checked on their own"
            )
        if reproductions := check_reproductions(place, facts, self._reproducers, self._wanted):
            check, by = reproductions
            if not check.ok:
                raise _Wrong(check.detail)
            self._reproduced.update(by)

    def _differences(self, plan: RunPlan, part: "_Part", facts: TrialFacts) -> list[str]:
        """What a bundle says otherwise than plan and ledger. Raises EvidenceError."""
        assert self._ledger is not None
        planned, end = part.trial, part.end
        task, agent = plan.task_by_id[planned.task], plan.agents[planned.agent]
        if (said := stated_plan(facts)) is None:
            return ["names no plan"]
        step = stated_step(facts)
        expected: dict[str, tuple[object, object]] = {
            "run_id": (facts.run_id, self._ledger.history.run_id),
            "plan": (said.digest, plan.digest),
            "trial": (said.trial, planned.name),
            "number": (facts.trial, planned.number),
            "step": (step and step.to_json(), part.step and part.step.to_json()),
            "agent": (facts.agent, planned.agent_name),
            "nonce": (said.nonce or plan.nonce, plan.nonce),
            "command": (_command(facts, agent.command_digest), agent.command_digest),
            "definition": (_definition(facts, agent.definition), agent.definition),
            "model": (_asked(facts), _planned_model(plan)),
            "network": (_reach(facts), _planned_network(task)),
            "seed": (said.seed, planned.seed),
            "attempt": (said.attempt, end.number),
            "ledger": (said.ledger.to_json(), end.checkpoint.to_json()),
            "task": ((facts.task.id, facts.task.digest), (task.id, task.digest)),
            "contract": (
                (facts.contract.id, facts.contract.version, facts.contract.digest),
                (task.contract.id, task.contract.version, task.contract.digest),
            ),
            "verdict": ((facts.verdict, facts.score, facts.raw_score), part.outcome),
        }
        return [
            f"its {name} is {_short(found)}, plan and ledger say {_short(wanted)}"
            for name, (found, wanted) in expected.items()
            if found != wanted
        ]

    def _stranger(self, place: Path) -> str:
        """What a bundle that is not the sealed one says of itself."""
        try:
            with BundleReader(place) as reader:
                envelope = read_envelope(reader.read(STATEMENT, MOST_STATEMENT_BYTES))
            facts = read_statement(envelope.payload).facts
            said = stated_plan(facts)
        except EvidenceError as error:
            return f"{STATEMENT} is not the sealed one: it {error}"
        assert self._ledger is not None
        if facts.run_id != self._ledger.history.run_id:
            return f"is a bundle of another run: {_short(facts.run_id)}"
        if self._key is None or not envelope.signed_by(self._key):
            return f"{STATEMENT} is not the sealed one: its signature does not fit"
        return f"is a bundle of {_short(facts.trial if said is None else said.trial)} that the ledger does not know"

    def _others(self, plan: RunPlan, ends: Mapping[str, Attempt]) -> str:
        """Whether no other bundle lies in the run's folder."""
        parts = [part for trial in plan.in_order if trial.name in ends for part in _parts(plan, trial, ends)]
        by_digest, mine = {part.digest: part.name for part in parts}, {part.bundle for part in parts}
        found = []
        for place in _bundles_below(self._folder, mine):
            path = self._folder / place
            try:
                owner = by_digest.get(bundle_digest(path))
                said = f"is a copy of the bundle of {owner}" if owner else self._stranger(path)
            except EvidenceError as error:
                said = f"can't be read: {error}"
            found.append(f"{place}: {said}")
        if found:
            raise _Wrong(f"does not belong to the run: {_named(found, '; ')}")
        return "no other bundle is in the folder"

    def _document(self) -> str:
        """Whether ``run.json`` and the other files beside the statement are those that it names."""
        assert self._statement is not None
        names = [name for name in self._statement.subjects if "/" not in name]
        files = {}
        for name in names:
            if self._public and name == RUN_DOCUMENT and not os.path.lexists(self._folder / name):
                continue
            files[name] = read_bounded(self._file(name), MOST_DOCUMENT_BYTES)
        made = subjects_of(self._statement.facts, files)
        for name in files:
            if made[name] != self._statement.subjects[name]:
                raise _Wrong(f"{name}: its content was changed (SHA-256)")
        return f"{', '.join(files) or 'nothing'}: as signed"

    def _aggregate(self, plan: RunPlan) -> str:
        """Whether the statement says what plan, ledger and bundles come to."""
        assert self._statement is not None
        assert self._ledger is not None
        stated = self._statement.facts
        made = run_facts(
            plan, self._ledger.history, self._ledger.checkpoint, stated.timestamped, self._statement.version
        )
        found, computed = stated.model_dump(mode="json"), made.model_dump(mode="json")
        for name, value in computed.items():
            if found[name] != value:
                raise _Wrong(f"{RUN_STATEMENT}: its {name} is not what plan, ledger and bundles come to")
        files = {name: digest for name, digest in self._statement.subjects.items() if "/" not in name}
        if dict(self._statement.subjects) != {**subjects_of(made, {}), **files}:
            raise _Wrong(f"{RUN_STATEMENT}: its subjects are not the bundles of the run")
        rate, counts = made.aggregate.pass_rate, made.aggregate.verdicts
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        between = "" if rate.low is None else f" ({rate.low:.3f} to {rate.high:.3f})"
        return f"recomputed: {verdicts}; pass rate {_rate(rate.value)}{between}; {made.result}"

    def _derived(self, name: str, made: Callable[[RunPlan, RunFacts], bytes], plan: RunPlan, key: PublicKey) -> None:
        def check() -> str:
            assert self._statement is not None
            envelope, statement = read_statement_file(self._file(name))
            if not envelope.signed_by(key):
                raise _Wrong(f"{name}: the signature of {key.key_id} is missing or does not fit")
            if envelope.payload != made(plan, self._statement.facts):
                raise _Wrong(f"{name}: is not what {RUN_STATEMENT} comes to")
            return f"{statement['predicateType']}, as {RUN_STATEMENT} says"

        self._check(name.split(".")[0], check, name)


@dataclass(frozen=True)
class _Part:
    """A bundle that a run must have.

    Attributes:
        name: of what it is of, for messages.
        place: the folder that it is in, in the folder of the run.
        digest: of its statement, by the ledger.
        outcome: verdict, score and raw score, by the ledger.
        trial: that it is of, or of a step of which it is.
        end: of the trial.
        step: None: it is of the whole trial.
        before: where the bundle of the step before lies; empty: there is none.
    """

    name: str
    place: str
    digest: str
    outcome: tuple[str | None, float | None, float | None]
    trial: PlannedTrial
    end: Attempt
    step: StepFacts | None = None
    before: str = ""

    @property
    def bundle(self) -> str:
        """Where it lies, in the folder of the run."""
        return f"{self.place}/bundle"


def _parts(plan: RunPlan, trial: PlannedTrial, ends: Mapping[str, Attempt]) -> Iterator[_Part]:
    """The bundles of a trial that has its end."""
    end, steps = ends[trial.name], plan.task_by_id[trial.task].steps
    if steps is None:
        if end.bundle is not None:
            yield _Part(trial.name, trial.place, end.bundle, (end.verdict, end.score, end.raw_score), trial, end)
        return
    previous, before = None, ""
    for number, step in enumerate(end.played, 1):
        facts = StepFacts(name=step.name, number=number, of=len(steps.steps), previous=previous)
        name, place = f"{trial.name} step {step.name}", trial.place_of_step(number)
        outcome = (step.verdict, step.score, step.raw_score)
        yield (part := _Part(name, place, step.bundle, outcome, trial, end, facts, before))
        previous, before = step.bundle, part.bundle


def _bundles_below(folder: Path, mine: set[str]) -> Iterator[str]:
    """Places in a folder that hold a bundle's statement, but for the known ones; links are followed nowhere."""
    seen = 0
    for where, inside, names in os.walk(folder, followlinks=False):
        seen += 1
        if seen > _MOST_FOLDERS:
            raise _Wrong(f"{folder}: holds more than {_MOST_FOLDERS} folders")
        place = Path(where).relative_to(folder).as_posix()
        if place in mine:
            inside.clear()
            continue
        inside.sort()
        for name in inside:
            # A link to a folder may show a bundle that lies elsewhere.
            if (path := Path(where, name)).is_symlink() and (path / STATEMENT).exists():
                yield path.relative_to(folder).as_posix()
        if STATEMENT in names:
            yield place


def _link(folder: Path, place: str) -> str:
    """The first part of a place in a folder that is a symbolic link; empty where none is."""
    path = folder
    for part in place.split("/"):
        path /= part
        if path.is_symlink():
            return path.relative_to(folder).as_posix()
    return ""


def _seconds(text: str) -> float:
    """A time as it stands in documents, in seconds since 1970."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()


def _state(attempts: Sequence[Attempt]) -> str:
    return f"attempt {attempts[-1].number} came to: {attempts[-1].kinds[-1]}" if attempts else "never started"


def _names_of(expected: Expected, task: PlannedTask) -> tuple[str]:
    """What of a task is compared with the expected one: its digest or its id."""
    return (task.digest if (expected.task or "").startswith("sha256:") else task.id,)


def _command(facts: TrialFacts, planned: str) -> str:
    """The digest of the agent's command; the planned one where the bundle does not say. Raises EvidenceError."""
    identity = stated_identity(facts)
    said = None if identity is None else identity.command_sha256
    return planned if said is None else f"sha256:{said}"


def _definition(facts: TrialFacts, planned: str | None) -> str | None:
    """The digest of the agent's definition; the planned one where the bundle does not say. Raises EvidenceError."""
    identity = stated_identity(facts)
    return identity.definition if identity is not None and "definition" in identity.model_fields_set else planned


def _asked(facts: TrialFacts) -> dict[str, Any]:
    """Under which terms the agent had a model, as a plan says it."""
    if (model := stated_model(facts)) is None:
        return {}
    value = model.to_json()
    return {
        **{name: value[name] for name in ("mode", "mapping", "upstreams", "prices", "provider_tools")},
        "models": value["asked"],
        **value["budgets"],
    }


def _planned_model(plan: RunPlan) -> dict[str, Any]:
    return {} if plan.model is None else plan.model.model_dump(mode="json", exclude={"answers"})


def _reach(facts: TrialFacts) -> dict[str, Any]:
    """What the agent could reach, as a plan says it."""
    network = stated_network(facts)
    return {} if network is None else network.model_dump(mode="json", include={"endpoints", "addresses"})


def _planned_network(task: PlannedTask) -> dict[str, Any]:
    return {} if task.network is None else task.network.model_dump(mode="json")


def _named(names: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return between.join(names[:_MOST_NAMED]) + more


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _rate(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
