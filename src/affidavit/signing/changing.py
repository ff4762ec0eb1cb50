"""The next version of a trust document: keys are added, removed, ended or revoked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from affidavit.signing.errors import EvidenceError
from affidavit.signing.keys import PublicKey
from affidavit.signing.times import now, point_in_time
from affidavit.signing.trust import TrustDocument


@dataclass(frozen=True)
class TrustChange:
    """What is to be different. Keys that are there are named by their id, a beginning of it, or their name.

    Attributes:
        add: public keys with their names, None for one without.
        remove: keys that are listed no more.
        until: last second of keys' validity.
        revoke: from when on keys may have been in wrong hands.
        reason: why they are revoked.
        threshold: how many good signatures it takes; None: as before.
        expires: end of the new version; None: it has none.
    """

    add: tuple[tuple[PublicKey, str | None], ...] = ()
    remove: tuple[str, ...] = ()
    until: Mapping[str, str] = field(default_factory=dict)
    revoke: Mapping[str, str] = field(default_factory=dict)
    reason: str = "no reason given"
    threshold: int | None = None
    expires: str | None = None


def new_trust(keys: Iterable[tuple[PublicKey, str | None]], threshold: int, expires: str | None) -> TrustDocument:
    """A first version.

    Raises:
        EvidenceError: it would make no sense.
    """
    first = {"schema": "affidavit.trust/v1", "version": 1, "issued": now(), "threshold": threshold}
    known = {key.key_id: _listed(key, name) for key, name in keys}
    ends = {} if expires is None else {"expires": point_in_time(expires)}
    return TrustDocument.read({**first, **ends, "keys": known})


def changed_trust(document: TrustDocument, change: TrustChange) -> TrustDocument:
    """The next version.

    Raises:
        EvidenceError: it names a key that is not there, or would make no sense.
    """
    plain = document.plain()
    keys = plain["keys"]
    for key, name in change.add:
        keys[key.key_id] = {**keys.get(key.key_id, {}), **_listed(key, name)}
    for wanted in change.remove:
        del keys[_found(document, wanted)]
    for wanted, end in change.until.items():
        keys[_found(document, wanted)]["until"] = point_in_time(end)
    for wanted, since in change.revoke.items():
        keys[_found(document, wanted)]["revoked"] = {"since": point_in_time(since), "reason": change.reason}
    plain.pop("expires", None)
    if change.expires is not None:
        plain["expires"] = point_in_time(change.expires)
    if change.threshold is not None:
        plain["threshold"] = change.threshold
    return TrustDocument.read({**plain, "version": document.version + 1, "issued": max(now(), document.issued)})


def _listed(key: PublicKey, name: str | None) -> dict[str, str]:
    return {"public": key.pem, **({} if name is None else {"name": name})}


def _found(document: TrustDocument, wanted: str) -> str:
    """The id of the key that is meant."""
    found = [
        key_id
        for key_id, key in document.keys.items()
        if wanted == key.name
        or key_id == wanted
        or (len(wanted.removeprefix("sha256:")) >= 6 and _begins(key_id, wanted))
    ]
    if len(found) != 1:
        known = ", ".join(key_id[:19] + (f" ({key.name})" if key.name else "") for key_id, key in document.keys.items())
        raise EvidenceError(f"{wanted[:80]!r} is {'no' if not found else 'more than one'} key of it; it has {known}")
    return found[0]


def _begins(key_id: str, wanted: str) -> bool:
    digits = wanted.removeprefix("sha256:")
    return len(digits) >= 6 and key_id.removeprefix("sha256:").startswith(digits)
