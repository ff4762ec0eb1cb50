"""CEL that would break or stall a careless judge: whatever an agent makes the numbers be, there is an answer."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from affidavit.contracts import ContractError, contract_of
from affidavit.policy import judge

Table = Callable[..., pa.Table]

_LOW, _HIGH = -(2**63), 2**63 - 1


def rules(*texts: str) -> Any:
    entries = [{"id": f"r{number}", "forbid": text} for number, text in enumerate(texts)]
    head = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": {"write": ["/**"]}}
    return contract_of({**head, "rules": entries}, "t")


@pytest.mark.parametrize("number", [0, 1, -1, _LOW, _HIGH])
def test_numbers_at_their_ends(table: Table, number: int) -> None:
    ops = [f"e.ret {op} {other}" for op in "+-*" for other in ("e.ret", "(e.ret - e.ret)", str(_HIGH), "(0 - 1)")]
    ops += [f"e.ret {op} {other}" for op in "/%" for other in (1, 3, _HIGH)]
    contract = rules(*(f"{one} == 7 || -({one}) > 5" for one in ops))
    with np.errstate(all="ignore"):
        judge(contract, table({"op": "exit", "ret": number}, {"op": "exit", "ret": 3}))


@pytest.mark.parametrize(
    "text",
    [
        "e.path.matches('(a{1000}){1000}')",
        "e.path.glob('/" + "{a,b}" * 12 + "')",
        "e.path.glob('/" + "*a" * 200 + "')",
        " || ".join(["e.path.glob('/{" + ",".join("abcdefghij" * 3) + "}/" + "x" * 300 + "')"] * 4),
        "!" * 4000 + "e.ok",
        " && ".join(["e.ok"] * 500),
        "e.argv.exists(a, e.argv.exists(b, a == b))",
        "trace.exists(x, trace.exists(y, x.pid == y.pid))",
        f"e.ret == {2**70}",
        "'a' * 100000 == 'b'",
    ],
)
def test_what_costs_too_much_is_refused_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ContractError):
        rules(text)
    assert time.process_time() - began < 5
