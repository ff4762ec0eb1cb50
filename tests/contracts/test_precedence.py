"""The examples of precedence in docs/contract-language.md."""

import pyarrow as pa
import pytest

from affidavit.contracts import contract_of
from affidavit.policy.paths import DENIED, WRITE, PathVerdicts
from affidavit.policy.scoping import lists_of


@pytest.mark.parametrize(
    ("files", "name", "allowed"),
    [
        ({"write": ["/w/**", "!/w/conf/**"]}, "/w/conf/a", False),
        ({"write": ["/w/**", "!/w/conf/**", "/w/conf/local/**"]}, "/w/conf/local/a", False),
        ({"write": ["/w/**", "!/w/conf/[!l]*/**"]}, "/w/conf/local/a", True),
        ({"write": ["/w/**"], "deny": ["/w/conf/**"]}, "/w/conf/local/a", False),
        ({"write": ["/w/**"], "deny": ["/w/conf/**", "!/w/conf/local/**"]}, "/w/conf/local/a", True),
        ({"write": ["/w/src/**"], "deny": ["/w/conf/**", "!/w/conf/local/**"]}, "/w/conf/local/a", False),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
def test_examples(files: dict[str, list[str]], name: str, allowed: bool, reverse: bool) -> None:
    ordered = {key: patterns[::-1] if reverse else patterns for key, patterns in files.items()}
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0"}
    contract = contract_of({**head, "files": ordered}, "t")
    bits = int(PathVerdicts(contract, lists_of(contract, 0), "/w", ()).of(pa.array([name]))[0])
    assert (bool(bits & WRITE) and not bits & DENIED) == allowed
