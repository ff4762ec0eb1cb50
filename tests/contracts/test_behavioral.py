"""The behavioural contract in JSON that users have: every field, honoured or said."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from affidavit.contracts import (
    Contract,
    ContractError,
    canonical_bytes,
    compile_settings,
    load_contract,
    parse_contract,
    sign_contract,
    signature_path,
)
from affidavit.contracts.behavioral import GROUPS
from affidavit.events import EVENT_SCHEMA, SYSTEM_CALLS
from affidavit.policy import Judge
from affidavit.signing import TrustDocument, new_key

SPEC = Path(__file__).parents[1] / "data" / "spec" / "behavioral_contract.json"


def written(**changed: Any) -> Contract:
    """The users' document with some fields changed, or removed where None."""
    value = {**json.loads(SPEC.read_text()), **changed}
    return parse_contract(json.dumps({k: v for k, v in value.items() if v is not None}).encode(), "c.json")


def broken(contract: Contract, **event: Any) -> list[str]:
    """The rules that one event breaks."""
    row = {"seq": 0, "ts_ns": 0, "pid": 5, "tid": 5, "ppid": 1, "ret": 3, "exe": "/usr/bin/dash", "comm": "sh", **event}
    batch = pa.Table.from_pylist([row], schema=EVENT_SCHEMA).to_batches()[0]
    return [violation.rule for violation in Judge(contract).feed(batch)]


def test_the_document_loads_as_it_is() -> None:
    contract = load_contract(SPEC)
    assert (contract.id, contract.mode, contract.signed_by) == ("contract-001", "strict", None)
    settings = compile_settings(contract)
    assert settings.writable == ("/tmp/build", "/workspace/src")
    assert settings.wall_ms == 30000
    assert {"mount", "ptrace", "bpf"} <= set(settings.deny_syscalls)
    assert contract.document.network.endpoints == ("api.github.com",)
    assert contract.document.operations.forbid == ("eval", "system", "execvp")


def test_what_is_not_honoured_is_said_by_the_fields_own_name() -> None:
    said = [warning.partition(":")[0] for warning in load_contract(SPEC).warnings]
    # Hosts are reached by name where the run gives a network, see docs/network.md.
    assert "signature" in said
    assert "allowedNetworkHosts" not in said
    assert not [field for field in said if "." in field]


@pytest.mark.parametrize(
    ("event", "rules"),
    [
        ({"op": "open_read", "path": "/workspace/src/a.py"}, []),
        ({"op": "open_read", "path": "/usr/lib/python3.11/os.py"}, []),
        ({"op": "open_read", "path": "/workspace/notes"}, ["files.read"]),
        ({"op": "create", "path": "/tmp/build/x/y.o"}, []),
        ({"op": "create", "path": "/tmp/y.o"}, ["files.write"]),
        ({"op": "create", "path": "/workspace/srcs"}, ["files.write"]),
        ({"op": "exec", "path": "/usr/bin/gcc", "exe": "/usr/bin/gcc"}, []),
        ({"op": "fork", "ret": 77}, []),
        ({"op": "dns", "addr": "127.0.0.1", "port": 53, "path2": "api.github.com"}, []),
        ({"op": "dns", "addr": "127.0.0.1", "port": 53, "path2": "example.com"}, ["network.endpoints"]),
        ({"op": "connect", "addr": "1.2.3.4", "port": 443, "flags": 2, "ret": -101}, ["network.endpoints"]),
        ({"op": "denied", "flags": SYSTEM_CALLS["mount"], "ret": -1}, ["syscalls.deny"]),
    ],
)
def test_what_it_allows(event: dict[str, Any], rules: list[str]) -> None:
    assert broken(load_contract(SPEC), **event) == rules


@pytest.mark.parametrize(
    ("missing", "event", "rule"),
    [
        ("write", {"op": "create", "path": "/workspace/src/a.py"}, "files.write"),
        ("read", {"op": "open_read", "path": "/tmp/build/a"}, "files.read"),
        ("exec", {"op": "exec", "path": "/usr/bin/gcc", "exe": "/usr/bin/gcc"}, "processes.exec"),
        ("fork", {"op": "fork", "ret": 77}, "processes.max_processes"),
    ],
)
def test_a_group_that_is_not_listed_is_not_allowed(missing: str, event: dict[str, Any], rule: str) -> None:
    groups = [group for group in ("read", "write", "exec", "fork") if group != missing]
    # What may be written may be read as well.
    groups = ["exec", "fork"] if missing == "read" else groups
    assert broken(written(allowedSyscalls=groups), **event) == [rule]
    assert broken(written(allowedSyscalls=[*groups, missing]), **event) == []


def test_the_first_command_may_begin_without_exec() -> None:
    assert broken(written(allowedSyscalls=["read"]), op="exec", path="/bin/sh", exe="/usr/bin/dash") == []


def test_a_call_by_name_stands_for_its_group_or_for_itself() -> None:
    by_name = written(allowedSyscalls=["openat", "pwrite64", "execve", "clone3"])
    assert by_name.document == written().document
    assert "ptrace" not in written(allowedSyscalls=["read", "ptrace"]).document.syscalls.deny
    assert "allowedSyscalls: ptrace" in " ".join(written(allowedSyscalls=["ptrace"]).warnings)


def test_groups_hold_known_calls() -> None:
    assert not {call for calls in GROUPS.values() for call in calls} - set(SYSTEM_CALLS)


def test_only_contract_id_and_paths_must_be_there() -> None:
    contract = parse_contract(b'{"contractId": "x", "allowedPaths": ["/workspace"]}')
    assert contract.write[0] == "/workspace/**"
    assert contract.document.limits.wall_ms is None


def test_a_path_with_wildcards_is_a_pattern() -> None:
    assert written(allowedPaths=["/workspace/*.c", "/tmp/"]).document.files.write == ("/workspace/*.c", "/tmp/**")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"contractId": None}, "c.json:1:1: contractId: is missing; add contractId and a name for the contract"),
        ({"allowedPaths": None}, "c.json:1:1: allowedPaths: is missing; list the folders that the agent may use"),
        ({"allowedPaths": ["src"]}, "allowedPaths[0]: must be an absolute path, not 'src'"),
        ({"allowedPaths": ["/a/../b"]}, "allowedPaths[0]: the pattern '/a/../b/**' has a component '.' or '..'"),
        ({"allowedSyscalls": ["raed"]}, "allowedSyscalls[0]: there is no group (read, write, exec, fork)"),
        ({"allowedSyscall": []}, "allowedSyscall: unknown key; did you mean 'allowedSyscalls'?"),
        ({"allowedNetworkHosts": ["https://x"]}, "allowedNetworkHosts[0]: 'https://x' is a URL; an endpoint is"),
        ({"forbiddenOperations": ["evil"]}, "there is no operation 'evil'; did you mean 'eval'?"),
        ({"maxExecutionMs": "30s"}, "maxExecutionMs: must be a whole number, not '30s'"),
        ({"maxExecutionMs": 0}, "maxExecutionMs: must be at least 1, not 0"),
        ({"signature": "abc"}, 'signature: a signature inside of the document is not read; leave it ""'),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(change: dict[str, Any], error: str) -> None:
    with pytest.raises(ContractError) as caught:
        written(**change)
    assert error in caught.value.problems[0]
    assert caught.value.problems[0].startswith("c.json:1:")


def test_it_can_be_signed_and_kept_in_canonical_form(tmp_path: Path) -> None:
    path = tmp_path / "behavioral_contract.json"
    path.write_bytes(SPEC.read_bytes())
    key = new_key(tmp_path / "keys")
    mine = TrustDocument.of([key.public])
    contract = load_contract(path)
    signature_path(path).write_text(json.dumps(sign_contract(contract.document, key).to_json()))
    signed = load_contract(path, mine)
    assert signed.signed_by == key.key_id
    assert parse_contract(canonical_bytes(signed)).digest == contract.digest
    path.write_text(SPEC.read_text().replace("/tmp/build", "/tmp"))
    with pytest.raises(ContractError, match="does not sign this contract"):
        load_contract(path, mine)
