"""Agents by name."""

import base64
import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from affidavit.agents import AgentError, built_in_agents, install_agent, load_agent
from affidavit.sandbox import RootFilesystem, User
from harness import Command
from http_agent import bash, http_agent

Make = Callable[..., Path]

WHOLE = """
name = "tiny-agent"
version = "1.0"
about = "A tiny agent."
dialect = "openai"
command = "true"
"""


@pytest.fixture
def define(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a definition."""

    def write(text: str) -> Path:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return path

    return write


def test_every_built_in_definition_loads_and_can_be_checked() -> None:
    agents = built_in_agents()
    assert {"mini-swe-agent", "claude-code", "codex", "gemini-cli", "opencode", "aider", "acp"} <= {*agents}
    for name, agent in agents.items():
        assert agent.name == name
        assert agent.install is not None
        assert any(agent.version in package for package in agent.install.packages), "the version is that of the package"
        assert agent.check
        assert agent.script()[-1]["repeat"]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (("dialect = ", "#"), "dialect: Field required"),
        (('"openai"', '"klingon"'), "dialect: Input should be"),
        (("tiny-agent", "oracle"), "name: oracle is an agent of Affidavit's own"),
        (("tiny-agent", "Tiny Agent"), "name: String should match"),
        (("command", "comand"), "comand: Extra inputs are not permitted|command: Field required"),
        (
            ('"true"', '"true"\n[install]\nkind = "pypi"\npackages = ["tiny>=1"]'),
            "not a package with one exact version",
        ),
        (
            ('"true"', '"true"\n[install]\nkind = "npm"\npackages = ["tiny@latest"]'),
            "not a package with one exact version",
        ),
        (
            ('"true"', '"true"\n[install]\nkind = "npm"\npackages = ["--global@1"]'),
            "not a package with one exact version",
        ),
        (("=", ":"), "is not TOML"),
    ],
)
def test_a_definition_that_can_not_be_used_is_named(
    define: Callable[[str], Path], change: tuple[str, str], wrong: str
) -> None:
    path = define(WHOLE.replace(*change))
    with pytest.raises(AgentError, match=wrong) as error:
        load_agent(path)
    assert str(error.value).startswith(f"{path}: ")


def write_wheel(folder: Path) -> None:
    """A wheel of one module, which would leave a trace if anything in it were run."""
    files = {
        "tiny.py": "import pathlib; pathlib.Path('/tmp/tiny-was-run').touch()\nWORD = 'hello'\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    files["tiny-1.0.dist-info/RECORD"] = f"{record}tiny-1.0.dist-info/RECORD,,\n"
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PyPI."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    write_wheel(folder)
    return folder


INSTALLED = WHOLE + '[install]\nkind = "pypi"\npackages = ["tiny==1.0"]\n'


def test_an_agent_is_installed_once_and_known_by_its_files(
    define: Callable[[str], Path], wheels: Path, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("layers belong to root")
    rootfs = RootFilesystem((), True, "sha256:0", User())
    agent = load_agent(define(INSTALLED))
    first = install_agent(agent, rootfs, tmp_path / "one")
    assert first.layer is not None
    module = first.layer / "opt/affidavit-agent/lib/tiny.py"
    assert "WORD" in module.read_text()
    assert module.stat().st_mode & 0o777 == 0o644
    assert not Path("/tmp/tiny-was-run").exists()
    (wheels / "tiny-1.0-py3-none-any.whl").unlink()
    assert install_agent(agent, rootfs, tmp_path / "one") == first
    write_wheel(wheels)
    other = install_agent(agent, rootfs, tmp_path / "two")
    assert (other.digest, other.files) == (first.digest, first.files)
    with pytest.raises(AgentError, match="can't be installed"):
        install_agent(load_agent(define(INSTALLED.replace("==1.0", "==2.0"))), rootfs, tmp_path / "one")


def test_what_this_machine_does_not_have_is_named(define: Callable[[str], Path], tmp_path: Path) -> None:
    agent = load_agent(define(WHOLE + 'needs = ["no-such-program"]\n'))
    with pytest.raises(AgentError, match="needs no-such-program"):
        install_agent(agent, RootFilesystem((), True, "sha256:0", User()), tmp_path)


@pytest.mark.usefixtures("nothing_left")
def test_a_users_own_agent_is_run_from_its_file(
    affidavit: Command, task: Make, define: Callable[[str], Path], wheels: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.json"
    command = "cat /opt/affidavit-agent/lib/tiny.py >/workspace/answer; echo $MARK; ls /opt/affidavit-agent/lib"
    script.write_text(json.dumps({"answers": [bash(command), {"text": "Done."}]}))
    text = INSTALLED.replace('"true"', json.dumps(http_agent())) + '[environment]\nMARK = "marked"\n'
    test = "grep -q WORD answer && [ ! -e /opt/affidavit-agent ] && r=1 || r=0\necho $r >/logs/verifier/reward.txt\n"
    contract = {"files": {"read": ["/workspace/**", "/tmp/**"], "write": ["/workspace/**", "/tmp/**"]}}
    arguments = ("--agent-file", define(text), "--model", "m", "--model-script", script, "--runtime", "runc", "--json")
    ran = affidavit("run", task(test=test, contract=contract), *arguments)
    assert ran.status == 0, ran.out + ran.err
    bundle = Path(ran.json["trials"][0]["bundle"])
    identity = json.loads((bundle / "environment.json").read_text())["identity"]
    assert (identity["name"], identity["version"], identity["environment"]) == ("tiny-agent", "1.0", {"MARK": "marked"})
    assert identity["brought"]["digest"].startswith("sha256:")
    assert identity["scan"] == {"planted": [], "opaque": [], "unread": 0, "complete": True, "failed": None}
    assert "marked" in (bundle / "agent/trajectory.json").read_text()
    assert affidavit("verify", bundle).status == 0


def test_agents_are_listed_and_shown(affidavit: Command, define: Callable[[str], Path]) -> None:
    assert "mini-swe-agent" in affidavit("agent", "list").out
    assert {agent["name"] for agent in affidavit("agent", "list", "--json").json} == {*built_in_agents()}
    shown = affidavit("agent", "show", "codex")
    assert (shown.status, "npm: @openai/codex@" in shown.out) == (0, True)
    assert affidavit("agent", "show", "nobody").status == 2
    define(WHOLE)
    mine = affidavit("agent", "show", "agent.toml")
    assert (mine.status, mine.out.splitlines()[0]) == (0, "tiny-agent 1.0: A tiny agent.")
    missing = affidavit("agent", "show", "others.toml")
    assert (missing.status, missing.err) == (2, "affidavit: others.toml: can't be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["--agent", "nobody"], "--agent nobody: no such agent; use oracle, nop, acp, aider, claude-code, codex"),
        (["--agent", "codex"], "--agent codex: asks a model: say which with --model NAME"),
        (["--agent-file", "missing.toml"], "missing.toml: can't be read"),
        (["--agent", "nop", "--agent-file", "x"], "say which agent"),
    ],
)
def test_who_can_not_be_run_is_named(affidavit: Command, task: Make, arguments: list[str], wrong: str) -> None:
    ran = affidavit("run", task(), *arguments)
    assert (ran.status, ran.err.startswith(f"affidavit: {wrong}"), len(ran.err.splitlines())) == (2, True, 1), ran.err
