"""Contracts that are made to stall, to swell, or to say something else than people read: refused, or said."""

import json
import time
import warnings
from datetime import UTC, datetime
from typing import Any

import pytest

from affidavit.authoring import lint
from affidavit.contracts import ContractError, PathMatcher, contract_of, diff_contracts, parse_contract

HEAD = "schema: affidavit.contract/v1\nid: x\nversion: 1.0.0\n"
TEN = "{a,b,c,d,e,f,g,h,i,j}"


def writing(*patterns: str) -> str:
    return f"{HEAD}files: {{write: {json.dumps(patterns)}}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD + "x: " + "[" * 500_000, ":4:36: is nested too deep"),
        (HEAD + "x:\n" + "- " * 400_000, ": is nested too deep"),
        (HEAD + "? " * 400_000, ": is nested too deep"),
        (HEAD + "x: {" + "a," * 400_000 + "}", ": holds more than 50000 values"),
        (HEAD + "".join(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]\n" if n else "a0: &a0 [x]\n" for n in range(9)), "values"),
        (HEAD + "x: &x [*x]\n", ": is nested too deep"),
        (HEAD + "limits: &l {wall_ms: 1}\nfiles: {<<: *l}\n", "files.<<: unknown key"),
        (HEAD + "id: y\n", ":4:1: the key 'id' stands here a second time"),
        (HEAD + '"id": y\n', ":4:1: the key 'id' stands here a second time"),
        (HEAD + "--- {id: y}\n", ":4:1: is not YAML: "),
        (HEAD + 'mode: "audit\u0085"\n', ":4:13: holds the line separator U+0085"),
        (HEAD + "# \u2028mode: audit\n", ":4:3: holds the line separator U+2028"),
        (writing("/" + "{" * 1000 + "a" + "}" * 1000), "has braces in braces, more than 8 deep"),
        (writing("/" + "{a,b}" * 10), "its braces stand for more than 1000 patterns"),
        (writing("/" + TEN * 3 + "x" * 300), "or 65536 characters"),
        (writing(*(f"/{n}" + TEN * 2 + "x" * 600 for n in range(40))), ": the braces of all patterns together stand"),
        (writing("/" + "*a" * 120), "has more than 100 wildcards"),
        (writing("/a/\\../b"), "has a component '.' or '..'"),
        (writing("/a/{..,b}/c"), "has a component '.' or '..'"),
        (writing("/a/{,b}"), "has an empty component"),
        (writing("/a/"), "has an empty component"),
        (writing("/a//b"), "has an empty component"),
    ],
)  # fmt: skip
def test_what_is_refused_at_once(text: str, says: str) -> None:
    began = time.process_time()
    with pytest.raises(ContractError) as caught:
        parse_contract(text.encode())
    assert says in str(caught.value)
    assert time.process_time() - began < 20


def test_an_anchor_that_is_set_anew_is_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contract = parse_contract((HEAD + "files: {read: &a [/x], write: &a [/y], deny: *a}\n").encode())
    assert contract.deny == ("/y",)


def test_a_character_in_two_escapes_is_one() -> None:
    text = '{"schema": "affidavit.contract/v1", "id": "x", "version": "1.0.0", "files": {"write": ["/\\ud83d\\ude00"]}}'
    assert parse_contract(text.encode()).write == ("/\U0001f600",)
    with pytest.raises(ContractError, match="half of a surrogate pair"):
        parse_contract(text.replace("\\ude00", "").encode())


def test_the_worst_pattern_against_the_worst_names() -> None:
    names = ["/" + "a" * 4000 + str(number) for number in range(200)]
    began = time.process_time()
    assert not PathMatcher(["/" + "*a" * 99 + "b"]).mask(names).any()
    assert time.process_time() - began < 10


def contract(version: str, *patterns: str) -> Any:
    return contract_of(
        {"schema": "affidavit.contract/v1", "id": "x", "version": version, "files": {"write": list(patterns)}}, "x"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([f"/{'*a' * 49}{'x' * 3900}{n}" for n in range(40)], [f"/{'*b' * 49}{'x' * 3900}{n}" for n in range(40)]),
        (
            ["/" + f"[!{chr(0x4E00 + n)}]*" * 40 for n in range(200)],
            ["/" + f"[!{chr(0x5E00 + n)}]*" * 40 for n in range(200)],
        ),
    ],
)
def test_lists_that_are_too_much_to_compare_count_as_loosening(old: list[str], new: list[str]) -> None:
    began = time.process_time()
    found = diff_contracts(contract("1.0.0", *old), contract("2.0.0", *new))
    assert "loosening" in {str(change.kind) for change in found.changes}
    assert time.process_time() - began < 30


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("/w/secret\u200b/**", "warning: '/w/secret\\u200b/**' holds what can't be seen (U+200B)"),
        ("/w/\u202etxt.exe", "(U+202E)"),
        ("/w/a\tb", "(U+0009)"),
        ("/w/caf\u00e9/**", "note: /w/caf\u00e9/** can be spelled in two ways"),
        ("/w/cafe\u0301/**", "can be spelled in two ways"),
    ],
)
def test_names_that_look_like_others_are_said(pattern: str, says: str) -> None:
    found = [one for one in lint(contract("1.0.0", pattern), datetime.now(UTC)) if one.place == "files.write[0]"]
    assert [one for one in found if says in f"{one.severity}: {one.message}"]
    # A name is its bytes: the other spelling is another file.
    plain = PathMatcher(["/w/caf\u00e9/**"])
    assert plain.mask(["/w/caf\u00e9/x", "/w/cafe\u0301/x", "/w/CAF\u00c9/x", "/W/caf\u00e9/x"]).tolist() == [
        True, False, False, False,
    ]  # fmt: skip
