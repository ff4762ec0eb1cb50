"""What somebody who is handed evidence expects it to be of: who was evaluated, on what, and that it answers their own
challenge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affidavit.evidence import EvidenceError, TrialFacts, agent_digest, stated_model
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
        further = facts.model_extra or {}
        identity, plan = _table(further.get("identity")), _table(further.get("plan"))
        made = []
        if self.agent is not None:
            made.append(self._agent(facts, identity))
        if self.models:
            made.append(self._models(identity, facts))
        if self.task is not None:
            found = facts.task.digest if self.task.startswith("sha256:") else facts.task.id
            made.append(_equal("expected task", found, self.task))
        if self.nonce is not None:
            made.append(_equal("expected nonce", plan.get("nonce"), self.nonce))
        return tuple(made)

    def _agent(self, facts: TrialFacts, identity: Mapping[str, Any]) -> Check:
        if (self.agent or "").startswith("sha256:"):
            return _equal("expected agent", agent_digest(identity), self.agent)
        name = str(identity.get("name", facts.agent))
        whole = f"{name}@{identity.get('version', '')}"
        return _equal("expected agent", whole if "@" in (self.agent or "") else name, self.agent)

    def _models(self, identity: Mapping[str, Any], facts: TrialFacts) -> Check:
        name = "expected model"
        try:
            model = stated_model(facts)
        except EvidenceError as error:
            return Check(name, False, f"the statement does not say which models there were: {error}")
        if model is None:
            return Check(name, False, "the agent had no model")
        if model.mode != "live":
            return Check(name, False, f"no model answered: its answers are of a {_shown(model.mode)}")
        if len(model.wire) >= _MOST_MODELS:
            return Check(name, False, "too many models answered for the statement to name all")
        # An agent may know a model by another name: what is expected is the one that answers.
        if others := [one for one in (identity.get("model"), *model.served) if one not in self.models]:
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


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)[:200]
