"""The signatures of a contract, what they are worth, and whether it is published."""

from dataclasses import dataclass

from affidavit.contracts.contract import Contract
from affidavit.contracts.registry import View, open_store
from affidavit.signing import Envelope, Examination, Trust, TrustDocument, now


@dataclass(frozen=True)
class Standing:
    """How a contract stands.

    Attributes:
        examined: its signatures; None where it has none.
        threshold: how many good ones it takes.
        entry: its place in a registry's log; None where it is not there or none was asked.
        at: the time at which the signatures are checked.
        problem: what is wrong beside them, a sentence; empty where nothing is.
    """

    examined: Examination | None
    threshold: int
    entry: int | None
    at: str
    problem: str

    @property
    def ok(self) -> bool:
        """Whether it is signed, and published where that was asked, as it must be."""
        return self.examined is not None and self.examined.met and not self.problem


def standing(signature: Envelope | None, trusted: TrustDocument) -> Standing:
    """How a contract stands by its signatures alone."""
    at = now()
    examined = None if signature is None else trusted.examine(signature, at)
    return Standing(examined, trusted.threshold, None, at, "")


def standing_in(location: str, contract: Contract, signature: Envelope | None, trusted: Trust | None) -> Standing:
    """How a contract stands in a registry.

    Args:
        location: the registry's.
        contract: it.
        signature: the signatures beside it.
        trusted: the trust that the user has; None: the registry's own.

    Raises:
        RegistryError: the registry can't be used.
        EvidenceError: its trust document is not in force.
    """
    name, at = f"{contract.id}@{contract.version}", now()
    store = open_store(location)
    with store.reading() as snapshot:
        view = View(store.location, snapshot, trusted)
        threshold = view.judging.check(at).threshold
        index, entry = view.versions(contract.id).get((contract.id, contract.version), (None, None))
        problem = ""
        if entry is None:
            problem = f"{name} is not published in {location}"
        elif entry.digest != contract.digest:
            index, problem = None, f"{name} is published in {location} with another content ({entry.digest})"
        elif signature is not None and set(signature.signatures) <= set(view.signature(entry).signatures):
            # What is in the log was there at the time that the log says.
            at = entry.at
        examined = None if signature is None else view.judging.examine(signature, at)
    return Standing(examined, threshold, index, at, problem)


@dataclass(frozen=True)
class Audit:
    """A registry, checked to the last object.

    Attributes:
        view: it.
        states: for each entry what its signatures are worth now; empty for a version of the trust document.
    """

    view: View
    states: tuple[str, ...]


def audit(location: str, trusted: Trust | None = None) -> Audit:
    """Check all of a registry.

    Raises:
        RegistryError: something in it is wrong.
    """
    store = open_store(location)
    with store.reading() as snapshot:
        view = View(store.location, snapshot, trusted)
        return Audit(view, tuple(view.state(index) for index in range(len(view.entries))))
