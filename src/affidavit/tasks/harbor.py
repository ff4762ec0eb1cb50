"""Keys of Harbor's task schema (1.4) that ask for what a sandbox does not do here.

A key whose neglect would change a result is an error; any other is a warning.
"""

from collections.abc import Iterator
from pathlib import Path

from affidavit.tasks.toml import TomlTable

NETWORK_MODES = ("no-network", "none", "public", "allowlist")
"""What a task may say of its network."""


def unsupported_keys(
    top: TomlTable, agent: TomlTable, verifier: TomlTable, environment: TomlTable, tests: Path
) -> Iterator[str]:
    """Take those keys.

    Args:
        top, agent, verifier, environment: the tables of task.toml.
        tests: the task's tests.

    Yields:
        a warning for each that is ignored.

    Raises:
        TaskError: one can't be ignored, or is not of its type.
    """
    _check_steps(top)
    yield from _artifacts(top)
    yield from _verifier(verifier, tests)
    yield from _environment(environment)
    if names_of(verifier, "allowed_hosts"):
        yield f"{verifier.place('allowed_hosts')} is ignored: verifiers have no network"


def _check_steps(top: TomlTable) -> None:
    if top.take("steps"):
        raise top.error("steps", "asks for a task of several steps, which are not supported yet")
    strategy = top.text("multi_step_reward_strategy")
    if strategy not in (None, "mean", "final"):
        raise top.error("multi_step_reward_strategy", f'must be "mean" or "final", not {strategy!r}')
    # Of older files; Harbor drops it, too.
    top.take("multi_step_reward_mode")


def _artifacts(top: TomlTable) -> Iterator[str]:
    value = top.take("artifacts")
    entries = value if isinstance(value, list) else [] if value is None else [value]
    for entry in entries:
        source = entry.get("source") if isinstance(entry, dict) else entry
        if not isinstance(source, str) or not source:
            raise top.error("artifacts", 'must be paths, or tables with a path as "source"')
        service = entry.get("service", "main") if isinstance(entry, dict) else "main"
        if service != "main":
            raise top.error("artifacts", f"names the service {service!r}; tasks of several services can't run yet")
    if entries:
        yield f"{top.place('artifacts')} is not supported yet and is ignored: no files are copied out of a sandbox"


def _verifier(verifier: TomlTable, tests: Path) -> Iterator[str]:
    mode = verifier.text("environment_mode")
    if mode not in (None, "shared", "separate"):
        raise verifier.error("environment_mode", f'must be "shared" or "separate", not {mode!r}')
    own = verifier.take("environment")
    if mode == "separate" and (own or (tests / "Dockerfile").exists()):
        raise verifier.error("environment_mode", "wants an image of the verifier's own, which is not supported yet")
    if mode == "separate":
        yield (
            f"{verifier.place('environment_mode')} is honoured in part: the verifier has a sandbox of its own, and all "
            "changes that the contract permits come along, not the artifacts alone"
        )
    elif own:
        yield f'{verifier.place("environment")} is ignored: environment_mode is not "separate"'
    if verifier.tables("collect"):
        raise verifier.error("collect", "wants commands to run between agent and verifier, which is not supported yet")
    network = verifier.text("network_mode")
    if network is not None and network not in NETWORK_MODES:
        raise verifier.error("network_mode", f"must be one of {', '.join(NETWORK_MODES)}, not {network!r}")
    if network in ("public", "allowlist"):
        yield f"{verifier.place('network_mode')} asks for a network; verifiers have none"


def _environment(environment: TomlTable) -> Iterator[str]:
    gpus = environment.take("gpus")
    if isinstance(gpus, bool) or not isinstance(gpus, int | None) or (gpus or 0) < 0:
        raise environment.error("gpus", f"must be a whole number, not {gpus!r}")
    if gpus:
        raise environment.error("gpus", "wants a GPU, which no sandbox has")
    names_of(environment, "gpu_types")
    if environment.take("tpu"):
        raise environment.error("tpu", "wants a TPU, which no sandbox has")
    if environment.take("mcp_servers"):
        raise environment.error("mcp_servers", "wants MCP servers for the agent, which are not supported yet")
    if environment.take("healthcheck"):
        raise environment.error(
            "healthcheck", "is not supported yet: the agent would begin before its environment is ready"
        )
    if environment.text("skills_dir"):
        yield f"{environment.place('skills_dir')} is ignored: no agent here reads skills"


def names_of(table: TomlTable, key: str) -> list[str]:
    """A list of names.

    Raises:
        TaskError: it is something else.
    """
    value = table.take(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise table.error(key, "must be a list of strings")
    return value
