"""What of the agent's changes goes on to the grading."""

import pytest

from affidavit.contracts import contract_of
from affidavit.policy import Judge
from policy.remains import Change


def judge() -> Judge:
    files = {"write": ["/workspace/**", "!**/conftest.py", "/tmp/**"], "deny": ["/tests/**"]}
    value = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": files}
    return Judge(contract_of({**value, "extends": ["affidavit:base"]}, "t"))


@pytest.mark.parametrize(
    "change",
    [
        Change("/workspace/a.py"),
        Change("/workspace/a", kind="deleted"),
        Change("/workspace/d", type="directory"),
        Change("/workspace/venv/bin/python", type="symlink", target="/usr/bin/python3"),
        Change("/workspace/a/b", type="symlink", target="../c/d"),
        Change("/workspace/null", type="symlink", target="/dev/null"),
        Change("/workspace/" + "n" * 254),
        Change("/workspace" + "/n" * 1700),
    ],
)
def test_what_the_contract_allows_goes_on(change: Change) -> None:
    assert judge().carried([change]) == {change.path}


@pytest.mark.parametrize(
    "change",
    [
        Change("/workspace/conftest.py"),
        Change("/etc/passwd", kind="modified"),
        Change("/workspace/f", type="fifo"),
        Change("/workspace/s", type="socket"),
        Change("/workspace/d", type="device"),
        Change("/workspace/su", mode=0o4755),
        Change("/workspace/__pycache__/a.cpython-311.pyc"),
        # No image can be made of these: an agent would have an error instead of a failure.
        Change("/tmp/" + "n" * 255),
        Change("/tmp/" + "\N{GRINNING FACE}" * 64),
        Change("/tmp/" + "n" * 255 + "/a", type="directory"),
        Change("/tmp" + "/\N{GRINNING FACE}" * 800),
    ],
)
def test_what_could_deceive_the_grading_stays_behind(change: Change) -> None:
    assert judge().carried([change]) == frozenset()


@pytest.mark.parametrize(
    "target",
    [
        "/tests/expected.json",
        "../tests/expected.json",
        "/",
        "/workspace/..",
        "/logs/verifier/reward.txt",
        # By its name it stays inside; by way of another symlink, to /usr/bin, it does not.
        "sub/link/../../tests/expected.json",
        "/workspace/sub/link/../../tests/expected.json",
        "/proc/self/root/tests/expected.json",
        "/proc/self/fd/3",
        "/home",
    ],
)
def test_no_symlink_leads_out(target: str) -> None:
    assert judge().carried([Change("/workspace/out.json", type="symlink", target=target)]) == frozenset()


SCRATCH = ["/workspace/**", "/tmp/**", "!affidavit:test-infrastructure"]


def carried(*changes: Change) -> set[str]:
    value = {"schema": "affidavit.contract/v1", "id": "t", "version": "1.0.0", "files": {"write": SCRATCH}}
    return {*Judge(contract_of({**value, "extends": ["affidavit:base"]}, "t")).carried(changes)}


def link(path: str, target: str) -> Change:
    return Change(path, type="symlink", target=target)


CONFTEST = Change("/tmp/y/tests/conftest.py")


@pytest.mark.parametrize(
    "links",
    [
        [link("/workspace/x", "/tmp/y")],
        [link("/workspace/tests", "../tmp/y/tests")],
        [link("/workspace/conf", "/tmp")],
        # By way of another, which is harmless by itself.
        [link("/tmp/m", "y"), link("/workspace/x", "/tmp/m/tests")],
        [link("/tmp/z/sub", "/tmp/y"), link("/workspace/x", "/tmp/z")],
        [link("/tmp/a", "/tmp/b"), link("/tmp/b", "/tmp/y"), link("/workspace/x", "/tmp/a")],
    ],
)
def test_no_symlink_gives_scratch_a_name_that_it_may_not_have(links: list[Change]) -> None:
    harmless = {change.path for change in links if change.path.startswith("/tmp/")}
    assert carried(CONFTEST, *links) == {CONFTEST.path} | harmless


def test_a_symlink_to_other_scratch_goes_on() -> None:
    loop = [link("/workspace/here", "/workspace"), link("/tmp/one", "/tmp/two"), link("/tmp/two", "/tmp/one")]
    data = [Change("/tmp/data/a.csv"), link("/workspace/data", "/tmp/data")]
    assert carried(CONFTEST, *loop, *data) == {CONFTEST.path, *(change.path for change in (*loop, *data))}
