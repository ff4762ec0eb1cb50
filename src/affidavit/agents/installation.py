"""Installing an agent into a layer that lies over a task's root file system.

Nothing of the agent runs for that: wheels are unpacked, npm runs no scripts. The agent first runs in its sandbox.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from affidavit.agents.definition import AgentDefinition, AgentError, Installation
from affidavit.sandbox import RootFilesystem, cached_layer

AGENT_FOLDER = "/opt/affidavit-agent"
"""Where an agent's files are in its sandbox."""

_INSTALL_S = 1800.0
_VERSION_S = 30.0
# How a registry's client finds its registry.
_PASSED = ("PIP_", "NPM_CONFIG_", "npm_config_", "SSL_CERT_", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True)
class InstalledAgent:
    """An agent, ready to run.

    Attributes:
        layer: its files, to lie over a root file system; None where it brings none.
        digest: of all of them: SHA-256 over the name, kind and content of each; empty where there are none.
        files: how many.
    """

    layer: Path | None
    digest: str
    files: int


def install_agent(definition: AgentDefinition, rootfs: RootFilesystem, state: Path) -> InstalledAgent:
    """Install an agent, once for each version and kind of machine.

    Args:
        definition: the agent.
        rootfs: that it will run over.
        state: the state folder.

    Raises:
        AgentError: it can't be installed here.
        SandboxError: the state folder can't be written.
    """
    if rootfs.host_usr and (missing := [name for name in definition.needs if shutil.which(name) is None]):
        raise AgentError(
            f"--agent {definition.name}: needs {', '.join(missing)}, which this machine's /usr does not have"
        )
    if definition.install is None:
        return InstalledAgent(None, "", 0)
    install = definition.install
    made_for = _python_version(definition, rootfs) if install.kind == "pypi" else os.uname().machine
    key = f"agent 1 {install.kind} {made_for} {' '.join(install.packages)}"
    layer = cached_layer(state, key, lambda folder: _build(definition, install, made_for, folder))
    return InstalledAgent(layer, *_digest(layer))


def _python_version(definition: AgentDefinition, rootfs: RootFilesystem) -> str:
    """Version of the root file system's Python, which the packages must fit."""
    if not rootfs.host_usr:
        raise AgentError(
            f"--agent {definition.name}: is a Python program, and which Python the task's image has is not known; put "
            "the agent into the image and run it with --agent-cmd"
        )
    ask = [shutil.which("python3", path="/usr/bin") or "", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=_VERSION_S, env={}, cwd="/")
    except (OSError, subprocess.SubprocessError):
        raise AgentError(f"--agent {definition.name}: the machine's /usr/bin/python3 does not run") from None
    return done.stdout.strip()


def _build(definition: AgentDefinition, install: Installation, made_for: str, folder: Path) -> None:
    target = folder / AGENT_FOLDER.lstrip("/")
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="affidavit-agent-") as scratch:
        if install.kind == "pypi":
            _run(definition, _pip(install, made_for, target / "lib"), scratch)
        else:
            npm = shutil.which("npm")
            if npm is None:
                raise AgentError(
                    f"--agent {definition.name}: npm is not installed; install it (Debian: apt install npm)"
                )
            _run(definition, [npm, *_NPM, "--prefix", str(target), *install.packages], scratch)
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            os.chown(path, 0, 0)
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


_NPM = ("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def _pip(install: Installation, version: str, target: Path) -> list[str]:
    # Only wheels: building from source would run what comes.
    flags = ["--only-binary=:all:", "--no-compile", "--quiet", "--disable-pip-version-check", "--no-input"]
    return [
        *(sys.executable, "-m", "pip", "install", *flags, "--python-version", version),
        *("--target", str(target), *install.packages),
    ]


def _run(definition: AgentDefinition, command: list[str], home: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_PASSED) or name in _PROXIES}
    env = {**kept, "PATH": os.environ.get("PATH", os.defpath), "HOME": home, "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=env, cwd=home, timeout=_INSTALL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"--agent {definition.name}: can't be installed: {type(error).__name__}") from None
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        why = lines[-1].strip()[:300] if lines else f"status {done.returncode}"
        raise AgentError(f"--agent {definition.name}: can't be installed: {why}")


def _digest(layer: Path) -> tuple[str, int]:
    """Digest and number of the files of a layer, looked at once: a layer never changes."""
    kept = layer.parent / "digests" / layer.name
    try:
        digest, count = kept.read_text().split()
        return digest, int(count)
    except (FileNotFoundError, ValueError):
        pass
    whole, files = hashlib.sha256(), 0
    for path in sorted(layer.rglob("*")):
        name = os.fsencode(path.relative_to(layer))
        if path.is_symlink():
            whole.update(b"link %d %s " % (len(name), name) + hashlib.sha256(os.fsencode(path.readlink())).digest())
        elif path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            whole.update(b"file %d %s %o " % (len(name), name, path.stat().st_mode & 0o777) + content)
            files += 1
    digest = f"sha256:{whole.hexdigest()}"
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = kept.with_name(f".{kept.name}.{os.getpid()}")
    fresh.write_text(f"{digest} {files}")
    fresh.replace(kept)
    return digest, files
