import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts import (
    OPERATIONS,
    PACKS,
    Contract,
    ContractError,
    canonical_bytes,
    compile_settings,
    contract_for,
    contract_of,
    default_contract,
    default_for,
    load_contract,
    matcher,
    parse_contract,
    sign_contract,
    signature_path,
)
from affidavit.events import SYSTEM_CALLS
from affidavit.signing import TrustDocument, new_key
from affidavit.tasks import load_task

HEAD = "schema: affidavit.contract/v1\nid: fix-the-parser\nversion: 1.2.0\n"

DESIGN = (
    HEAD
    + """mode: strict
actions: [flag, halt]
files:
  read:  ["/workspace/**", "/usr/**"]
  write: ["/workspace/src/**", "/tmp/build/**"]
  deny:  ["**/conftest.py", "/tests/**", "/solution/**"]
network:
  endpoints: ["api.github.com:443"]
processes:
  exec: ["/usr/bin/python3*", "/usr/bin/sh"]
  max_processes: 64
syscalls:
  deny: [ptrace, mount]
operations:
  forbid: [eval, system, modify_test_runner, read_answer_key]
limits: {wall_ms: 30000, cpu_ms: 20000, memory_mb: 512}
extends: ["affidavit:base"]
"""
)


def parse(text: str) -> Contract:
    return parse_contract(text.encode())


def test_the_contract_of_the_design() -> None:
    contract = parse(DESIGN)
    assert (contract.id, contract.version, contract.mode, contract.actions) == (
        "fix-the-parser",
        "1.2.0",
        "strict",
        ("flag", "halt"),
    )
    settings = compile_settings(contract)
    assert settings.writable == ("/tmp/build", "/workspace/src")
    assert settings.deny_syscalls == ("ptrace", "mount")
    assert (settings.wall_ms, settings.cpu_ms, settings.memory_mb, settings.pids) == (30000, 20000, 512, 64)
    assert contract.signed_by is None
    assert list(contract.packs) == ["affidavit:base@1.0.0"]
    assert contract.warnings == ()


def test_an_address_that_is_allowed_is_said_to_be_out_of_reach() -> None:
    contract = parse(HEAD + "network: {endpoints: ['x.org:443', '10.0.0.5:5432']}")
    assert contract.warnings == ("network.endpoints: 10.0.0.5:5432: hosts are reached by name only, never by address",)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "contract.yaml:1:1: is empty"),
        ("- a", "contract.yaml:1:1: must be a mapping with the keys schema, id and version"),
        ("a: [", "contract.yaml:1:5: is not YAML: "),
        ("id: x\nversion: 1.0.0", "contract.yaml:1:1: schema: is missing; add schema: affidavit.contract/v1"),
        ("schema: affidavit.contract/v2\nid: x\nversion: 1.0.0", "contract.yaml:1:9: schema: must be 'affidavit.contr"),
        (HEAD + "files:\n  wirte: []", "contract.yaml:5:3: files.wirte: unknown key; did you mean 'write'?"),
        (HEAD + "file: {}", "contract.yaml:4:1: file: unknown key; did you mean 'files'?"),
        (HEAD + "id: y", "contract.yaml:4:1: the key 'id' stands here a second time"),
        (HEAD.replace("1.2.0", "1.2"), "contract.yaml:3:10: version: must be a semantic version such as '1.0.0', not"),
        (HEAD.replace("1.2.0", "v1.2.0"), "contract.yaml:3:10: version: must be a semantic version such as '1.0.0', n"),
        (HEAD.replace("fix-the-parser", "a b"), "contract.yaml:2:5: id: must be 1 to 128 letters"),
        (HEAD + "mode: stict", "contract.yaml:4:7: mode: must be 'strict' or 'audit', not 'stict'; did you mean 'stri"),
        (HEAD + "actions: [flag, stop]", "contract.yaml:4:17: actions[1]: must be 'flag', 'halt' or 'alert', not 'sto"),
        (HEAD + "actions: []", "contract.yaml:4:10: actions: must have an entry at least"),
        (HEAD + "files: {write: /tmp}", "contract.yaml:4:16: files.write: must be a list, not '/tmp'"),
        (HEAD + "files: {write: [1]}", "contract.yaml:4:17: files.write[0]: must be text, not 1"),
        (HEAD + "files: {write: [tmp/x]}", "contract.yaml:4:17: files.write[0]: the pattern 'tmp/x' must begin with '"),
        (HEAD + "files:\n  deny:\n  - '/{a'", "contract.yaml:6:5: files.deny[0]: the pattern '/{a' has a '{' without"),
        (HEAD + "files: {deny: ['affidavit:tests']}", "contract.yaml:4:16: files.deny[0]: there is no built-in list"),
        (HEAD + "files: [a]", "contract.yaml:4:8: files: must be a mapping, not ['a']"),
        (HEAD + "network: {endpoints: ['https://x.org']}", "contract.yaml:4:23: network.endpoints[0]: 'https://x.org'"),
        (HEAD + "network: {endpoints: ['x.org:99999']}", "contract.yaml:4:23: network.endpoints[0]: 'x.org:99999' has"),
        (HEAD + "processes: {max_processes: 0}", "contract.yaml:4:28: processes.max_processes: must be at least 1, no"),
        (HEAD + "limits: {wall_ms: 1.5}", "contract.yaml:4:19: limits.wall_ms: must be a whole number, not 1.5"),
        (HEAD + "limits: {wall_ms: yes}", "contract.yaml:4:19: limits.wall_ms: must be a whole number, not 'yes'"),
        (HEAD + "limits: {wall_ms: .inf}", "contract.yaml:4:19: '.inf' can't be read as float"),
        (HEAD + "syscalls: {deny: [moutn]}", "contract.yaml:4:19: syscalls.deny[0]: there is no system call 'moutn';"),
        (HEAD + "operations: {forbid: [evil]}", "contract.yaml:4:23: operations.forbid[0]: there is no operation 'evi"),
        (HEAD + "extends: ['affidavit:bas']", "contract.yaml:4:11: extends[0]: 'affidavit:bas': only built-in packs"),
        (HEAD + "rules: [{id: x}]", "contract.yaml:4:9: rules[0]: a rule has exactly one of forbid, require, never, e"),
        (HEAD + "rules: [{id: x, forbid: 'e.pth == 1'}]", "contract.yaml:4:28: rules[0].forbid: an event has no fi"),
        (HEAD + "rules:\n- id: x\n  forbid: |\n    e.ok &&\n    e.pth == 1", "contract.yaml:8:7: rules[0].forbid: an "),
        (HEAD + "rules:\n- id: x\n  require: trace.exists(e, e.op == 'x')", "contract.yaml:6:28: rules[0].require: th"),
        (HEAD + "signature: ''", "contract.yaml:4:1: signature: unknown key"),
        (HEAD + "mode: !!python/object:os.system x", "contract.yaml:4:7: the tag 'tag:yaml.org,2002:python/object:os."),
        (HEAD + "mode: &a [*a]", "contract.yaml:4:7: is nested too deep; an alias of itself is"),
        (HEAD + "mode: " + "[" * 2000, "contract.yaml"),
        (HEAD + "mode: \"\\ud800\"", "contract.yaml:4:7: holds half of a surrogate pair, which is not a character"),
        ("x" * (1 << 20 | 1), "contract.yaml: is larger than 1 MiB"),
        (HEAD + "? [a]\n: b", "contract.yaml:4:3: a key must be a word"),
    ],
)  # fmt: skip
def test_wrong_contracts_give_one_line(text: str, error: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse(text)
    assert str(caught.value).startswith(error)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_aliases_can_not_blow_up() -> None:
    levels = "\n".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 10)}]" for n in range(9))
    with pytest.raises(ContractError, match="more than 50000 values"):
        parse(f"l0: &l0 [a]\n{levels}")


def test_every_problem_is_kept() -> None:
    with pytest.raises(ContractError) as caught:
        parse(HEAD + "mode: x\nlimits: {wall_ms: 0}\n")
    assert len(caught.value.problems) == 2
    assert str(caught.value).endswith("(and 1 more problem)")


def test_text_that_is_not_utf_8() -> None:
    with pytest.raises(ContractError, match=r"contract.yaml: is not UTF-8 \(byte 0\)"):
        parse_contract(b"\xff\xfe")


_PATTERN = st.sampled_from(["/a/**", "!**/conftest.py", "affidavit:test-infrastructure", "/{x,y}/é*"])
_DOCUMENT = st.fixed_dictionaries(
    {
        "schema": st.just("affidavit.contract/v1"),
        "id": st.just("x"),
        "version": st.sampled_from(["0.1.0", "1.0.0-rc.1+b"]),
    },
    optional={
        "mode": st.sampled_from(["strict", "audit"]),
        "actions": st.lists(st.sampled_from(["flag", "halt", "alert"]), min_size=1),
        "files": st.fixed_dictionaries({}, optional=dict.fromkeys(("read", "write", "deny"), st.lists(_PATTERN))),
        "network": st.fixed_dictionaries(
            {}, optional={"endpoints": st.lists(st.sampled_from(["a.b:1", "10.0.0.0/8"]))}
        ),
        "processes": st.fixed_dictionaries(
            {}, optional={"exec": st.none() | st.lists(_PATTERN), "max_processes": st.none()}
        ),
        "operations": st.fixed_dictionaries({"forbid": st.lists(st.sampled_from(sorted(OPERATIONS)))}),
        "syscalls": st.fixed_dictionaries({"deny": st.lists(st.sampled_from(sorted(SYSTEM_CALLS)))}),
        "limits": st.fixed_dictionaries({}, optional=dict.fromkeys(("wall_ms", "cpu_ms"), st.integers(1, 2**40))),
        "extends": st.lists(st.sampled_from(sorted(PACKS))),
    },
)


@given(_DOCUMENT)
def test_the_canonical_form_is_stable(document: dict[str, object]) -> None:
    contract = contract_of(document, "x")
    again = parse_contract(canonical_bytes(contract))
    assert canonical_bytes(again) == canonical_bytes(contract)
    assert again == contract
    assert again.digest == contract.digest
    # What is written, neither more nor less.
    assert json.loads(canonical_bytes(contract)) == document


def test_the_digest_depends_on_content_only() -> None:
    reordered = "version: '1.2.0'\n# a comment\nid: \"fix-the-parser\"\nschema: affidavit.contract/v1\n"
    assert parse(HEAD).digest == parse(reordered).digest
    assert parse(HEAD).digest != parse(HEAD.replace("1.2.0", "1.2.1")).digest


def write(folder: Path, text: str) -> Path:
    path = folder / "contract.yaml"
    path.write_text(text)
    return path


def test_signatures(tmp_path: Path) -> None:
    path = write(tmp_path, DESIGN)
    key, other = new_key(tmp_path / "k1"), new_key(tmp_path / "k2")
    ours, theirs = TrustDocument.of([key.public]), TrustDocument.of([other.public])
    both = TrustDocument.of([key.public, other.public], threshold=2)
    assert load_contract(path, ours).signed_by is None
    envelope = sign_contract(load_contract(path).document, key)
    signature_path(path).write_text(json.dumps(envelope.to_json()))

    assert load_contract(path, ours).signed_by == key.key_id
    unchecked = load_contract(path)
    assert unchecked.signed_by is None
    assert "no public key is known" in unchecked.warnings[-1]

    with pytest.raises(ContractError, match=rf"0 of 1 good signatures \({key.key_id}: unknown key\)"):
        load_contract(path, theirs)
    with pytest.raises(ContractError, match="1 of 2 good signatures"):
        load_contract(path, both)
    again = sign_contract(load_contract(path).document, other, envelope)
    signature_path(path).write_text(json.dumps(again.to_json()))
    assert set(load_contract(path, both).examined.good) == {key.key_id, other.key_id}

    write(tmp_path, DESIGN.replace("wall_ms: 30000", "wall_ms: 30001"))
    with pytest.raises(ContractError, match="does not sign this contract"):
        load_contract(path, ours)
    # A change that means nothing leaves the signature alone.
    write(tmp_path, "# nice\n" + DESIGN)
    assert load_contract(path, ours).signed_by == key.key_id


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"payload": 1, "payloadType": "x", "signatures": []}', "[" * 100000]
)
def test_what_is_no_signature(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, DESIGN)
    signature_path(path).write_text(content)
    with pytest.raises(ContractError, match=r"contract\.sig\.json: "):
        load_contract(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"contract\.yaml: can't be read: No such file"):
        load_contract(tmp_path / "contract.yaml")


def make_task(folder: Path, toml: str = "[agent]\ntimeout_sec = 5.0\n[affidavit]\nrootfs = 'host'\n") -> Path:
    (folder / "tests").mkdir()
    (folder / "tests" / "test.sh").write_text("true\n")
    (folder / "instruction.md").write_text("Do it.\n")
    (folder / "task.toml").write_text(toml)
    return folder


@pytest.mark.parametrize("profile", ["strict", "container"])
def test_the_default_contract_tells_hooks_from_the_samples_of_a_new_repository(
    profile: Literal["strict", "container"],
) -> None:
    writable = matcher(default_for("/workspace", profile).write)
    hooks = (
        "pre-commit",
        "pre-rebase",
        "post-update",
        "post-merge",
        "p4-pre-submit",
        "commit-msg",
        "update",
        "pre-xample",
    )
    for hook in hooks:
        assert not writable.matches(f"/workspace/.git/hooks/{hook}"), hook
        assert writable.matches(f"/workspace/.git/hooks/{hook}.sample"), hook


def test_the_default_contract(tmp_path: Path) -> None:
    task = load_task(make_task(tmp_path))
    contract = contract_for(task)
    assert contract == default_contract(task)
    assert contract.warnings == ()
    settings = compile_settings(contract)
    assert settings.writable == ("/tmp", "/workspace")
    # The task's own limit is none of the contract's.
    assert settings.wall_ms is None
    assert contract.written_attempts == {"": "record"}
    assert "mount" in settings.deny_syscalls
    writable = matcher(contract.write)
    honest = [
        "/workspace/src/a.py",
        "/workspace/tests/test_a.py",
        "/workspace/tests/__init__.py",
        "/workspace/Makefile",
        "/workspace/package.json",
        "/workspace/model.pth",
        "/workspace/.git/index.lock",
        "/workspace/.git/hooks/pre-commit.sample",
        "/workspace/.pytest_cache/v/cache/lastfailed",
        "/workspace/__pycache__/a.cpython-311.pyc",
        "/workspace/.venv/lib/python3.11/site-packages/distutils-precedence.pth",
        "/workspace/src/x.egg-info/PKG-INFO",
        "/tmp/own/conftest.py",
        "/tmp/pytest-of-agent/pytest-0",
        "/dev/null",
        "/dev/shm/sem.x",
    ]
    cheats = [
        "/workspace/conftest.py",
        "/workspace/tests/conftest.py",
        "/workspace/pytest.ini",
        "/workspace/pyproject.toml",
        "/workspace/sitecustomize.py",
        "/workspace/pytest.py",
        "/workspace/_pytest/__init__.py",
        "/workspace/evil.egg-info/entry_points.txt",
        "/workspace/.git/hooks/pre-commit",
        "/home/agent/.local/lib/python3.11/site-packages/x.pth",
        "/usr/bin/python3",
        "/usr/local/bin/curl",
        "/tests/test.sh",
        "/logs/verifier/reward.txt",
        "/etc/passwd",
        "/workspace2/x",
    ]
    assert [path for path, ok in zip(honest, writable.mask(honest), strict=True) if not ok] == []
    assert [path for path, ok in zip(cheats, writable.mask(cheats), strict=True) if ok] == []
    assert matcher(contract.deny).mask(["/tests", "/solution/solve.sh", "/workspace/tests/x"]).tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("workdir", ["/", "/tests/here", "/a*b{c}"])
def test_the_default_contract_of_odd_working_directories(tmp_path: Path, workdir: str) -> None:
    toml = f"[environment]\nworkdir = '{workdir}'\n[affidavit]\nrootfs = 'host'\n"
    contract = default_contract(load_task(make_task(tmp_path, toml)))
    inside = f"{workdir.rstrip('/')}/x"
    assert matcher(contract.write).matches(inside) == (workdir != "/tests/here")
    assert not matcher(contract.deny).matches(inside)
    assert workdir in compile_settings(contract).writable


def test_a_tasks_own_contract(tmp_path: Path) -> None:
    make_task(tmp_path)
    write(tmp_path, DESIGN)
    assert contract_for(load_task(tmp_path)).id == "fix-the-parser"


def test_settings_name_no_folder_twice_and_no_device() -> None:
    contract = contract_of(
        {
            "schema": "affidavit.contract/v1",
            "id": "x",
            "version": "1.0.0",
            "files": {
                "write": ["/a/**", "/a/b/**", "/{c,d/e}/x.txt", "/f*/g", "**/__pycache__/**", "!/h/**", "/dev/null"]
            },
        },
        "x",
    )
    assert compile_settings(contract).writable == ("/a", "/c", "/d/e")


def test_operations_and_packs_are_well_formed() -> None:
    for operation in OPERATIONS.values():
        matcher(operation.paths)
        assert set(operation.syscalls) <= set(SYSTEM_CALLS)
        assert operation.sees
        assert operation.misses
    assert (SYSTEM_CALLS["read"], SYSTEM_CALLS["mount"], SYSTEM_CALLS["clone3"]) == (0, 165, 435)


@pytest.mark.parametrize(
    ("lines", "acts"),
    [
        ("", False),
        ("actions: [flag]\n", False),
        ("actions: [halt]\n", True),
        ("files: {actions: [alert]}\n", True),
        ("rules: [{id: a, never: {op: [exec]}, actions: [halt]}]\n", True),
        ("scopes: [{id: a, for: [/usr/bin/gcc], files: {write: [/tmp/**]}, actions: [halt]}]\n", True),
    ],
)
def test_whether_a_violation_has_consequences_at_once(lines: str, acts: bool) -> None:
    assert parse(HEAD + lines).acts is acts
