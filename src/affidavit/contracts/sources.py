"""Where the contract of a task comes from, a file, a registry or the built-in default, and who must have signed it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from affidavit.contracts.contract import Contract
from affidavit.contracts.default import Governed, contract_for
from affidavit.contracts.errors import ContractError
from affidavit.contracts.registry import RegistryError, published_contract
from affidavit.signing import EvidenceError, Trust, TrustDocument, now


@dataclass(frozen=True)
class ContractSource:
    """Finds contracts; each published one is fetched once.

    Attributes:
        own: plain trust in the user's own key; None where there is no key yet.
        trust: who must have signed every contract that a task has; None: where there are signatures, `own` or, in a
            registry, whom it trusts.
    """

    own: TrustDocument | None = None
    trust: Trust | None = None
    _fetched: dict[tuple[str, str], Contract] = field(default_factory=dict, repr=False, compare=False)

    def contract_for(self, task: Governed) -> Contract:
        """The contract that a task runs under.

        Raises:
            ContractError: it can't be used, has expired, or is not signed as it must be.
        """
        try:
            if (published := task.contract.published) is not None:
                return self._published(published.registry, published.reference)
            if self.trust is None or task.contract.path is None:
                return contract_for(task, self.own)
            trusted = self.trust.check(now())
        except (RegistryError, EvidenceError) as error:
            raise ContractError(f"{task.path}: {error}") from error
        contract = contract_for(task, trusted)
        if contract.signature is None:
            raise ContractError(
                f"{task.contract.path}: is not signed, and --trust asks for {trusted.threshold} signatures; run: "
                "affidavit contract sign"
            )
        return contract

    def _published(self, registry: str, reference: str) -> Contract:
        key = (registry, reference)
        if key not in self._fetched:
            contract = published_contract(registry, reference, self.trust)
            if contract.expired(datetime.now(UTC)):
                raise ContractError(f"{registry}: {reference} expired on {contract.document.expires}")
            self._fetched[key] = contract
        return self._fetched[key]
