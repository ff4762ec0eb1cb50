"""Keys of Harbor's task schema (1.4) that ask for what a sandbox does not do here.

A key whose neglect would change a result is an error; any other is a warning.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from affidavit.tasks.toml import TomlTable

COMPOSE_NAMES = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml")
_MOST_ARTIFACTS = 1000
_NO_NETWORK = "gradings have none; what tests download is answered from a cache that affidavit task warm fills"


@dataclass(frozen=True)
class Artifact:
    """Files of a sandbox that those who grade get.

    Attributes:
        path: absolute path of a file or a folder in that sandbox.
        exclude: patterns of names, or of paths below it, that are left out.
        service: whose sandbox it is; ``main``: the agent's.
    """

    path: str
    exclude: tuple[str, ...] = ()
    service: str = "main"

    @property
    def of_agent(self) -> bool:
        """Whether it is the agent's."""
        return self.service == "main"


NETWORK_MODES = ("no-network", "none", "public", "allowlist")
"""What a task may say of a network."""
_NETWORKED = ("public", "allowlist")


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
    separate = is_separate(verifier)
    if any(one.of_agent for one in read_artifacts(top, separate)) and not separate:
        yield f"{top.place('artifacts')} is ignored: all changes that the contract permits come along to the grading"
    yield from _verifier(verifier, tests)
    yield from _environment(environment)
    for table in (verifier, *((verifier.table("environment"),) if separate else ())):
        if names_of(table, "allowed_hosts"):
            yield f"{table.place('allowed_hosts')} is ignored: {_NO_NETWORK}"


def is_separate(verifier: TomlTable) -> bool:
    """Whether the verifier gets a root file system of its own, with artifacts alone. Raises TaskError."""
    mode = verifier.text("environment_mode")
    if mode not in (None, "shared", "separate"):
        raise verifier.error("environment_mode", f'must be "shared" or "separate", not {mode!r}')
    return mode == "separate"


def read_artifacts(top: TomlTable, separate: bool) -> tuple[Artifact, ...]:
    """The artifacts of a task.

    Args:
        top: of task.toml.
        separate: the agent's are what the verifier gets, so that wrong ones change what it says.

    Raises:
        TaskError: they are none.
    """
    value = top.take("artifacts")
    entries = value if isinstance(value, list) else [] if value is None else [value]
    if len(entries) > _MOST_ARTIFACTS:
        raise top.error("artifacts", f"may be {_MOST_ARTIFACTS} at most")
    found = []
    for entry in entries:
        source = entry.get("source") if isinstance(entry, dict) else entry
        if not isinstance(source, str) or not source:
            raise top.error("artifacts", 'must be paths, or tables with a path as "source"')
        service = entry.get("service", "main") if isinstance(entry, dict) else "main"
        if not isinstance(service, str) or not service:
            raise top.error("artifacts", "has a service that is no name")
        exclude = entry.get("exclude") or [] if isinstance(entry, dict) else []
        if not isinstance(exclude, list) or not all(isinstance(one, str) and one for one in exclude):
            raise top.error("artifacts", "has an exclude that is no list of patterns")
        parts = source.split("/")
        wrong = not source.startswith("/") or ".." in parts or "\0" in source or not any(parts)
        if wrong and (separate or service != "main"):
            raise top.error("artifacts", f"must be absolute paths without '..', not {source!r}")
        path = "/" + "/".join(part for part in parts if part not in ("", "."))
        found.append(Artifact(path, tuple(exclude), service))
    return tuple(found)


def _verifier(verifier: TomlTable, tests: Path) -> Iterator[str]:
    if is_separate(verifier):
        yield from _verifiers_own(verifier.table("environment"), tests)
    elif verifier.take("environment"):
        yield f'{verifier.place("environment")} is ignored: environment_mode is not "separate"'
    if verifier.tables("collect"):
        raise verifier.error("collect", "wants commands to run between agent and verifier, which is not supported yet")
    network = verifier.text("network_mode")
    if network is not None and network not in NETWORK_MODES:
        raise verifier.error("network_mode", f"must be one of {', '.join(NETWORK_MODES)}, not {network!r}")
    if network in _NETWORKED:
        yield f"{verifier.place('network_mode')} asks for a network; {_NO_NETWORK}"


def _verifiers_own(own: TomlTable, tests: Path) -> Iterator[str]:
    """Keys of a verifier's own environment that are not honoured."""
    for name in COMPOSE_NAMES:
        if (tests / name).exists():
            raise own.error(None, f"has {tests / name}: verifiers of several services are not supported yet")
    if own.take("healthcheck"):
        raise own.error("healthcheck", "is not supported yet: the tests would begin before their sandbox is ready")
    if own.take("mcp_servers"):
        yield f"{own.place('mcp_servers')} is ignored: MCP servers are the agent's"
    yield from _environment(own)
    network = own.text("network_mode")
    if network is not None and network not in NETWORK_MODES:
        raise own.error("network_mode", f"must be one of {', '.join(NETWORK_MODES)}, not {network!r}")
    if own.boolean("allow_internet") or network in _NETWORKED:
        key = "network_mode" if network else "allow_internet"
        yield f"{own.place(key)} asks for a network; {_NO_NETWORK}"
    if (own.text("os") or "linux").lower() != "linux":
        raise own.error("os", 'must be "linux": there are no other sandboxes')


def _environment(environment: TomlTable) -> Iterator[str]:
    gpus = environment.take("gpus")
    if isinstance(gpus, bool) or not isinstance(gpus, int | None) or (gpus or 0) < 0:
        raise environment.error("gpus", f"must be a whole number, not {gpus!r}")
    if gpus:
        raise environment.error("gpus", "wants a GPU, which no sandbox has")
    names_of(environment, "gpu_types")
    if environment.take("tpu"):
        raise environment.error("tpu", "wants a TPU, which no sandbox has")
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
