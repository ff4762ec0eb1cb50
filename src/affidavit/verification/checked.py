"""The result of checking a bundle, a run or a proof."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what was checked: layout, envelope, signer, signature, statement, files, trace agent …
        ok: whether it holds.
        detail: a sentence; where it does not hold, on which part is wrong.
        parts: the names of the files that are wrong.
    """

    name: str
    ok: bool
    detail: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """What came of checking a file or folder.

    Attributes:
        kind: what it is, in a word.
        path: where it is.
        checks: in order. A check that rests on one that failed is not made and not in the list.
        signer: id of the trusted key that signed; None where that is not proved.
    """

    kind: ClassVar[str]

    path: Path
    checks: tuple[Check, ...]
    signer: str | None

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """What ``affidavit verify --json`` prints of each kind."""
        return {
            "ok": self.ok,
            self.kind: str(self.path),
            "signer": self.signer,
            "checks": [asdict(check) for check in self.checks],
        }
