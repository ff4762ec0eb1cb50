"""Twenty wrong contracts, each with its one line: file, line, column, place, what is wrong and the fix."""

import pytest

from affidavit.contracts import ContractError, parse_contract

HEAD = "schema: affidavit.contract/v1\nid: x\nversion: 1.0.0\n"

WRONG = {
    "schema: affidavit.contract/v1\nid: x\nversion: 1.0": (
        "3:10: version: must be a semantic version such as '1.0.0', not the number 1.0"
    ),
    HEAD + "file: {}": "4:1: file: unknown key; did you mean 'files'?",
    HEAD + "files: {wirte: []}": "4:9: files.wirte: unknown key; did you mean 'write'?",
    HEAD + "files: {write: [src/**]}": "4:17: files.write[0]: the pattern 'src/**' must begin with '/' or '**'",
    HEAD + "files:\n  deny:\n    - /a/../b": (
        "6:7: files.deny[0]: the pattern '/a/../b' has a component '.' or '..', which resolved paths never have"
    ),
    HEAD + "files: {deny: ['affidavit:test-infra']}": (
        "4:16: files.deny[0]: there is no built-in list 'affidavit:test-infra'; "
        "did you mean 'affidavit:test-infrastructure'?"
    ),
    HEAD + "network: {endpoints: ['https://pypi.org']}": (
        "4:23: network.endpoints[0]: 'https://pypi.org' is a URL; an endpoint is HOST:PORT"
    ),
    HEAD + "network: {endpoints: ['10.0.0.1/8:53/udp']}": (
        "4:23: network.endpoints[0]: '10.0.0.1/8:53/udp' is not a range of addresses; write 10.0.0.0/8"
    ),
    HEAD + "processes: {exec: ['sha256:12']}": (
        "4:20: processes.exec[0]: a digest is 'sha256:' and 64 digits 0-9a-f, not 'sha256:12'"
    ),
    HEAD + "syscalls: {deny: [ptrac]}": (
        "4:19: syscalls.deny[0]: there is no system call 'ptrac'; did you mean 'ptrace'?"
    ),
    HEAD + "operations: {forbid: [sytem]}": (
        "4:23: operations.forbid[0]: there is no operation 'sytem'; did you mean 'system'?"
    ),
    HEAD + "actions: [stop]": "4:11: actions[0]: must be 'flag', 'halt' or 'alert', not 'stop'",
    HEAD + "expires: soon": (
        "4:10: expires: must be a date such as '2027-01-31' or '2027-01-31T12:00:00Z', not 'soon'"
    ),
    HEAD + "attempts: ignore": "4:11: attempts: must be 'violation' or 'record', not 'ignore'",
    HEAD + "limits: {attempts: record}": "4:10: limits.attempts: unknown key",
    HEAD + "limits: {wall_ms: 30s}": "4:19: limits.wall_ms: must be a whole number, not '30s'",
    HEAD + "scopes:\n  - id: cc\n    for: [/usr/bin/cc]\n    file: {}": (
        "7:5: scopes[0].file: unknown key; did you mean 'files'?"
    ),
    HEAD + "scopes: [{id: a, for: [/a]}, {id: a, for: [/b]}]": (
        "4:9: scopes: the id 'a' stands here a second time; each needs its own"
    ),
    HEAD + "rules: [{id: a, each: {op: [exec]}}]": "4:9: rules[0]: each needs either after or before",
    HEAD + "rules: [{id: a, never: {op: [connect]}, at_most: 3}]": (
        "4:9: rules[0]: at_most goes with count, not with never"
    ),
    HEAD + "rules: [{id: a, never: {}}]": (
        "4:24: rules[0].never: selects every event; write at least one of op, path, exe, argv, addr, ok, where"
    ),
    HEAD + "rules:\n- id: a\n  forbid: |\n    e.op == 'exec' &&\n    e.pth.endsWith('/nc')": (
        "8:7: rules[0].forbid: an event has no field 'pth'; did you mean 'path'?"
    ),
    HEAD + "rules: [{id: a, require: e.ret + 1}]": (
        "4:26: rules[0].require: must be true or false in the end, not a whole number"
    ),
    HEAD + "rules: [{id: a, never: {where: 'trace.exists(e, e.ok)'}}]": (
        "4:33: rules[0].never.where: may only ask of the event e and its process here"
    ),
}


@pytest.mark.parametrize(("text", "error"), WRONG.items())
def test_each_has_one_line(text: str, error: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_contract(text.encode())
    assert str(caught.value) == f"contract.yaml:{error}"
