"""What somebody who is handed evidence expects it to be of: who was evaluated, on what, and that it answers their own
challenge."""

from collections.abc import Callable
from dataclasses import dataclass

from affidavit.evidence import EvidenceError, Identity, TrialFacts, stated_identity, stated_model, stated_plan
from affidavit.verification.checked import Check

# A statement names no more of those that answered.
_MOST_MODELS = 20


@dataclass(frozen=True)
class Expected:
    """What evidence must be of; None and empty: anything.

    Attributes:
        agent: ``NAME``, ``NAME@VERSION``, or the digest of what the agent is (``sha256:…``).
        models: all that the agent may have been given, and that may have answered. One that answered may also be a
            version of an expected one: its name, ``-`` or ``@``, and more.
        task: its id, or its digest (``sha256:…``).
        nonce: of the plan.
    """

    agent: str | None = None
    models: tuple[str, ...] = ()
    task: str | None = None
    nonce: str | None = None

    def __bool__(self) -> bool:
        """Whether anything is expected."""
        return self != ANYTHING

    def checks(self, facts: TrialFacts) -> tuple[Check, ...]:
        """One check for each thing that is expected.

        Args:
            facts: the signed ones, of a trial.
        """
        made = []
        if self.agent is not None:
            made.append(self._check("expected agent", lambda: self._agent(facts, self.agent or "")))
        if self.models:
            made.append(self._check("expected model", lambda: self._models(facts)))
        if self.task is not None:
            found = facts.task.digest if self.task.startswith("sha256:") else facts.task.id
            made.append(_equal("expected task", found, self.task))
        if self.nonce is not None:
            made.append(self._check("expected nonce", lambda: self._nonce(facts)))
        return tuple(made)

    def _check(self, name: str, check: Callable[[], Check]) -> Check:
        try:
            return check()
        except EvidenceError as error:
            return Check(name, False, f"the statement does not say what it should: {error}")

    def _agent(self, facts: TrialFacts, wanted: str) -> Check:
        identity = stated_identity(facts) or Identity(name=facts.agent)
        if wanted.startswith("sha256:"):
            return _equal("expected agent", identity.digest, wanted)
        whole = f"{identity.name}@{identity.version}"
        return _equal("expected agent", whole if "@" in wanted else identity.name, wanted)

    def _nonce(self, facts: TrialFacts) -> Check:
        plan = stated_plan(facts)
        return _equal("expected nonce", None if plan is None else plan.nonce, self.nonce)

    def _models(self, facts: TrialFacts) -> Check:
        name, model, identity = "expected model", stated_model(facts), stated_identity(facts)
        if model is None:
            return Check(name, False, "the agent had no model")
        if model.mode != "live":
            return Check(name, False, f"no model answered: its answers are of a {_shown(model.mode)}")
        if len(model.wire) >= _MOST_MODELS:
            return Check(name, False, "too many models answered for the statement to name all")
        # An agent may know a model by another name: what is expected is the one that answers.
        if others := [one for one in (identity.model if identity else None, *model.served) if one not in self.models]:
            return Check(name, False, f"the agent could ask {_shown(others[0])}, which is not expected")
        if others := [one for one in model.wire if not self._is_version(one)]:
            return Check(name, False, f"{_shown(others[0])} answered, which is not expected")
        by = ", ".join(map(_shown, model.wire)) or "none"
        return Check(name, True, f"{', '.join(map(_shown, model.served))}; answered by {by}")

    def _is_version(self, name: str) -> bool:
        return any(name == one or name.startswith((f"{one}-", f"{one}@")) for one in self.models)


ANYTHING = Expected()
"""Nothing in particular."""


def _equal(name: str, found: object, wanted: object) -> Check:
    if found == wanted:
        return Check(name, True, _shown(found))
    return Check(name, False, f"it is {_shown(found)}, not {_shown(wanted)}")


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)[:200]
