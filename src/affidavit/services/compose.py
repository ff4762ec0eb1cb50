"""Reading a compose file (compose-spec.io), as far as it can be honoured.

What would change a result and can't be done is an error that names file, line, key and a fix; whatever else is left out
is a warning. The file is a task's, and so hostile: it is bounded, and nothing outside of its folder is taken.
"""

import os
import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from affidavit.contracts import ContractError, Positions, read_yaml
from affidavit.errors import AffidavitError, read_input

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]
"""What a service waits for in another one."""

MAIN = "main"
"""The service whose sandbox is the agent's, as in Harbor."""

ROOTFS = "x-affidavit-rootfs"
"""The key of a service that needs no image; Docker and Harbor leave keys that begin with ``x-`` alone."""

_MAX_BYTES = 1 << 20
_MOST_SERVICES = 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,61}[A-Za-z0-9_])?")
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:?[-?+])(?P<rest>[^{}]*))?\}|(?P<wrong>))"
)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
# What Harbor puts into a compose file by variables, all of which it does by itself here.
_HARBORS = {"CONTEXT_DIR": ".", "MAIN_IMAGE_NAME": "main", "CPUS": "1", "MEMORY": "1g", "NETWORK_MODE": "bridge"}
_HARBORS_MOUNTS = ("LOGS_PATH", "TEST_DIR", "_LOGS")
_IDLE = re.compile(r"\bsleep\s+(infinity|inf|[0-9]{4,}[smhd]?)\b|\btail\s+-f\s+/dev/null\b")

# Without an effect on what a service does here.
_IDLE_KEYS = frozenset((
    "annotations", "attach", "container_name", "cap_drop", "expose", "hostname", "init", "labels", "logging",
    "oom_score_adj", "pids_limit", "platform", "ports", "pull_policy", "scale", "security_opt", "stdin_open",
    "stop_grace_period", "stop_signal", "tty",
))  # fmt: skip
# Each with what a warning says.
_IGNORED = {
    "restart": "a service that ends is not started again",
    "deploy": "every service has the task's own limits",
    "mem_limit": "every service has the task's own limits",
    "mem_reservation": "every service has the task's own limits",
    "memswap_limit": "every service has the task's own limits",
    "cpus": "every service has the task's own limits",
    "cpu_shares": "every service has the task's own limits",
    "cpuset": "every service has the task's own limits",
    "ulimits": "every service has the task's own limits",
    "shm_size": "/dev/shm holds 64 MiB",
    "read_only": "its root file system can be written",
    "develop": "nothing is watched",
}
_REFUSED = {
    "cap_add": "a sandbox has Docker's default capabilities and no more; remove it",
    "devices": "a sandbox has no devices of the machine; remove it",
    "device_cgroup_rules": "a sandbox has no devices of the machine; remove it",
    "gpus": "no sandbox has a GPU; remove it",
    "runtime": "every service runs as the agent does; remove it",
    "pid": "no sandbox shares processes; remove it",
    "ipc": "no sandbox shares memory; remove it",
    "uts": "no sandbox shares its name; remove it",
    "userns_mode": "every sandbox has users of its own; remove it",
    "cgroup": "every sandbox has a control group of its own; remove it",
    "cgroup_parent": "every sandbox has a control group of its own; remove it",
    "sysctls": "a sandbox can't change the kernel's settings; remove it",
    "extends": "is not supported; write the keys out",
    "configs": "is not supported; use a read-only volume of a file beside the compose file",
    "secrets": "is not supported; use a read-only volume of a file beside the compose file",
    "volumes_from": "is not supported; name the volumes",
    "links": "is not supported; services reach each other by their names",
    "network_mode": "is not supported; services reach each other by their names",
    "dns": "the name server is Affidavit's own; remove it",
    "group_add": "is not supported; set user: UID:GID",
    "profiles": "is not supported: every service runs; remove it, or the service",
    "post_start": "is not supported; put it into the service's command",
    "pre_stop": "is not supported; remove it",
}
_SEEN = frozenset((
    "build", "command", "depends_on", "entrypoint", "env_file", "environment", "extra_hosts", "healthcheck", "image",
    "networks", "privileged", "tmpfs", "user", "volumes", "working_dir",
))  # fmt: skip


class ComposeError(AffidavitError):
    """A compose file can't be used; one line with file, place and fix."""


@dataclass(frozen=True)
class Build:
    """A service's image, to be built.

    Attributes:
        context: the folder.
        dockerfile: its path in it.
        arguments: values for its ``ARG``.
    """

    context: Path
    dockerfile: str = "Dockerfile"
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Volume:
    """A folder that services share, or a file that one of them reads.

    Attributes:
        name: of the volume; the same name is the same folder.
        target: where it is in the sandbox, absolute.
        read_only: whether the sandbox can't write it.
        source: what it holds at the start, a folder or file beside the compose file; None: what the image has there.
    """

    name: str
    target: str
    read_only: bool = False
    source: Path | None = None


@dataclass(frozen=True)
class Dependency:
    """What a service waits for: another service's name, and in which state."""

    service: str
    condition: Condition = "service_started"


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes:
        name: its name, by which others reach it.
        place: where it is written, for errors.
        image, build: where its image comes from; both None for a main service that does not say, and with `on_host`.
        on_host: its root file system is the machine's own /usr, as that of a task without an image.
        command, entrypoint: in place of the image's; None: the image's.
        environment: beside the image's.
        workdir, user: in place of the image's; None: the image's.
        health: ``Healthcheck`` as an image's configuration has it, in place of the image's; None: the image's.
        depends_on: what it waits for.
        volumes: folders that it shares.
        tmpfs: folders that are empty at its start and its own.
        networks: names of those that it is in.
        aliases: further names by which others reach it.
    """

    name: str
    place: str
    image: str | None = None
    build: Build | None = None
    on_host: bool = False
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    user: str | None = None
    health: Mapping[str, Any] | None = None
    depends_on: tuple[Dependency, ...] = ()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[str, ...] = ()
    networks: tuple[str, ...] = ("default",)
    aliases: tuple[str, ...] = ()

    def reaches(self, other: "Service") -> bool:
        """Whether they are in one network."""
        return not set(self.networks).isdisjoint(other.networks)


@dataclass(frozen=True)
class ComposeFile:
    """A compose file.

    Attributes:
        path: the file.
        main: the agent's service.
        services: the others, each after those that it waits for.
        warnings: what has no effect here, a sentence each.
    """

    path: Path
    main: Service
    services: tuple[Service, ...]
    warnings: tuple[str, ...] = ()


def read_compose(path: Path, variables: Mapping[str, str] | None = None) -> ComposeFile:
    """Read a compose file.

    Args:
        path: the file, in the folder that its paths are relative to.
        variables: what ``${NAME}`` stands for; nothing is taken from this machine's environment.

    Raises:
        ComposeError: it can't be used.
    """
    if path.is_symlink():
        raise ComposeError(f"{path}: is a link; put the file itself there")
    try:
        value, positions = read_yaml(read_input(path, _MAX_BYTES, ComposeError), str(path))
    except ContractError as error:
        raise ComposeError(str(error)) from None
    return _Reader(path, positions, {**(variables or {}), **_HARBORS}).file(value)


_Place = tuple[str | int, ...]


class _Reader:
    def __init__(self, path: Path, positions: Positions, variables: Mapping[str, str]) -> None:
        self._path = path
        self._folder = path.parent
        self._positions = positions
        self._variables = variables
        self._warnings: list[str] = []

    def file(self, value: object) -> ComposeFile:
        top = self._mapping((), value)
        for key in top:
            if key not in ("version", "name", "services", "volumes", "networks") and not key.startswith("x-"):
                raise self._error((key,), "is not supported; remove it")
        named = self._named_volumes(top.get("volumes"))
        networks = self._networks(top.get("networks"))
        found = self._mapping(("services",), top.get("services"))
        if len(found) > _MOST_SERVICES:
            raise self._error(("services",), f"may be {_MOST_SERVICES} at most, not {len(found)}")
        for name in found:
            if not _NAME.fullmatch(name):
                raise self._error(("services", name), "must be a name of up to 41 letters, digits, '-' and '_'")
        read = {name: self._service(name, body, named, networks) for name, body in found.items()}
        main = read.pop(MAIN, None) or Service(MAIN, f"{self._path}: services.{MAIN}")
        names: dict[str, str] = {}
        for service in (main, *read.values()):
            for name in (service.name, *service.aliases):
                if names.setdefault(name.lower(), service.name) != service.name:
                    place = ("services", service.name)
                    raise self._error(place, f"bears a name of {names[name.lower()]} too: {name}; change one of them")
        for service in (main, *read.values()):
            for dependency in service.depends_on:
                where = ("services", service.name, "depends_on")
                if dependency.service == MAIN:
                    raise self._error(where, "names main, which begins when all others are there; remove it")
                if dependency.service not in read:
                    raise self._error(where, f"names {dependency.service!r}, and there is no such service")
        return ComposeFile(self._path, main, tuple(self._in_order(read)), tuple(self._warnings))

    def _in_order(self, services: Mapping[str, Service]) -> list[Service]:
        """Each after those that it waits for."""
        done: dict[str, Service] = {}
        waiting = dict(services)
        while waiting:
            ready = [one for one in waiting.values() if all(other.service in done for other in one.depends_on)]
            if not ready:
                raise self._error(("services", next(iter(waiting)), "depends_on"), "is a circle: no service can begin")
            for one in ready:
                done[one.name] = waiting.pop(one.name)
        return [*done.values()]

    # --- a service ---

    def _service(
        self, name: str, value: object, named: Mapping[str, object], networks: Mapping[str, object]
    ) -> Service:
        place: _Place = ("services", name)
        body = self._mapping(place, value if value is not None else {})
        for key in body:
            self._see((*place, key), body[key], name)
        build = self._build((*place, "build"), body.get("build"))
        image = self._text((*place, "image"), body.get("image"))
        if name == MAIN and (build is not None or image == _HARBORS["MAIN_IMAGE_NAME"]):
            # As in Harbor's own file: the name that a built image gets.
            image = None
        on_host = self._on_host((*place, ROOTFS), body.get(ROOTFS), name)
        if on_host:
            build = image = None
        elif name != MAIN and build is None and image is None:
            raise self._error(place, f"needs an image, a build or {ROOTFS}: host")
        command = self._words((*place, "command"), body.get("command"))
        if name == MAIN and command:
            if not _IDLE.search(" ".join(command)):
                raise self._error(
                    (*place, "command"), "of main would run beside the agent; put it into the image's ENTRYPOINT"
                )
            command = None
        environment = {
            **self._env_files((*place, "env_file"), body.get("env_file")),
            **self._environment((*place, "environment"), body.get("environment")),
        }
        in_networks, aliases = self._in_networks((*place, "networks"), body.get("networks"), networks)
        for key in ("container_name", "hostname"):
            alias = self._text((*place, key), body.get(key))
            if alias is not None and _HOST.fullmatch(alias) and alias != name:
                aliases.append(alias)
        return Service(
            name=name,
            place=self._at(place),
            image=None if build is not None else image,
            build=build,
            on_host=on_host,
            command=command,
            entrypoint=self._words((*place, "entrypoint"), body.get("entrypoint")),
            environment=environment,
            workdir=self._absolute((*place, "working_dir"), body.get("working_dir")),
            user=self._text((*place, "user"), body.get("user")),
            health=self._health((*place, "healthcheck"), body.get("healthcheck")),
            depends_on=tuple(self._depends((*place, "depends_on"), body.get("depends_on"))),
            volumes=tuple(self._volumes((*place, "volumes"), body.get("volumes"), named, name)),
            tmpfs=tuple(self._tmpfs((*place, "tmpfs"), body.get("tmpfs"))),
            networks=in_networks,
            aliases=tuple(dict.fromkeys(aliases)),
        )

    def _see(self, place: _Place, value: object, service: str) -> None:
        """Refuse or note a key that is not honoured."""
        key = str(place[-1])
        if key == "network_mode" and self._text(place, value) in ("bridge", "default"):
            return
        if key == "privileged":
            if value not in (False, None):
                raise self._error(place, "is refused: a sandbox has no privileges on the machine; remove it")
            return
        if key in _REFUSED and value not in (None, [], {}, False):
            raise self._error(place, _REFUSED[key])
        if key in _IGNORED:
            # Harbor fills in the task's own limits by variables.
            if not (key == "restart" and value in ("no", False)) and not (key == "deploy" and service == MAIN):
                self._warn(place, f"has no effect: {_IGNORED[key]}")
            return
        if key == "extra_hosts" and value:
            for text in self._pairs(place, value):
                if text[1] not in ("127.0.0.1", "::1", "host-gateway"):
                    raise self._error(place, "can't be honoured: hosts are reached by name only, never by address")
                self._warn(place, f"has no effect: {text[0]} would be the machine or the sandbox itself")
            return
        known = key in _SEEN or key in _IDLE_KEYS or key in _REFUSED or key.startswith("x-")
        if not known:
            raise self._error(place, "is not known here; remove it")

    def _on_host(self, place: _Place, value: object, service: str) -> bool:
        if value is None:
            return False
        if service == MAIN:
            raise self._error(place, "of main is set by rootfs under [affidavit] in task.toml; remove it")
        if value != "host":
            raise self._error(place, "must be host; for anything else, name an image")
        return True

    def _build(self, place: _Place, value: object) -> Build | None:
        if value is None:
            return None
        if isinstance(value, str):
            return Build(self._inside(place, value, folder=True))
        body = self._mapping(place, value)
        idle = ("tags", "labels", "pull", "no_cache", "cache_from", "cache_to", "provenance", "sbom", "platforms")
        for key in body:
            if key == "network" and body[key] in ("default", None):
                continue
            if key not in ("context", "dockerfile", "args", *idle):
                raise self._error((*place, key), "is not supported; put it into the Dockerfile")
        context = self._text((*place, "context"), body.get("context")) or "."
        dockerfile = self._text((*place, "dockerfile"), body.get("dockerfile")) or "Dockerfile"
        folder = self._inside((*place, "context"), context, folder=True)
        path = self._inside((*place, "dockerfile"), str(Path(context) / dockerfile))
        if path == folder or not path.is_relative_to(folder):
            raise self._error((*place, "dockerfile"), "must be a file in the context")
        arguments = self._environment((*place, "args"), body.get("args"))
        return Build(folder, str(path.relative_to(folder)), arguments)

    def _health(self, place: _Place, value: object) -> Mapping[str, Any] | None:
        """As an image's configuration has it."""
        if value is None:
            return None
        body = self._mapping(place, value)
        if body.get("disable") is True:
            return {"Test": ["NONE"]}
        test = body.get("test")
        if isinstance(test, str):
            test = ["CMD-SHELL", self._text((*place, "test"), test)]
        elif test is not None:
            test = [self._text((*place, "test", n), one) for n, one in enumerate(self._list((*place, "test"), test))]
            if not test or test[0] not in ("CMD", "CMD-SHELL", "NONE"):
                raise self._error((*place, "test"), "must be a text, or a list that begins with CMD, CMD-SHELL or NONE")
        found: dict[str, Any] = {} if test is None else {"Test": test}
        for key, name in _TIMES.items():
            if body.get(key) is not None:
                found[name] = self._duration((*place, key), body[key])
        if (retries := body.get("retries")) is not None:
            number = int(retries) if isinstance(retries, str) and retries.isdecimal() else retries
            if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= 10_000:
                raise self._error((*place, "retries"), "must be a whole number from 1 to 10000")
            found["Retries"] = number
        for key in body:
            if key not in (*_TIMES, "test", "retries", "disable"):
                raise self._error((*place, key), "is not known here; remove it")
        return found

    def _depends(self, place: _Place, value: object) -> Iterator[Dependency]:
        if value is None:
            return
        if isinstance(value, list):
            for number, one in enumerate(value):
                yield Dependency(self._text((*place, number), one) or "")
            return
        for name, body in self._mapping(place, value).items():
            said = self._mapping((*place, name), body if body is not None else {})
            condition = said.get("condition", "service_started")
            for known in get_args(Condition):
                if condition == known:
                    yield Dependency(name, known)
                    break
            else:
                raise self._error((*place, name, "condition"), f"must be one of {', '.join(get_args(Condition))}")

    def _volumes(self, place: _Place, value: object, named: Mapping[str, object], service: str) -> Iterator[Volume]:
        for number, entry in enumerate(self._list(place, value)):
            here = (*place, number)
            raw = entry if isinstance(entry, str) else " ".join(map(str, self._mapping(here, entry).values()))
            if service == MAIN and "$" in raw and any(word in raw for word in _HARBORS_MOUNTS):
                # Harbor's own folders, which are there anyway.
                continue
            if isinstance(entry, str):
                text = self._text(here, entry) or ""
                source, *rest = text.split(":")
                if not rest:
                    yield Volume(f"{service}:{source}", self._absolute(here, source) or "")
                    continue
                kind, target, modes = "", rest[0], rest[1].split(",") if len(rest) > 1 else []
                if self._is_tests(service, source):
                    self._warn(here, "has no effect: the tests are there when they run, and no agent sees them")
                    continue
                if len(rest) > 2 or not set(modes) <= {"ro", "rw", "z", "Z", "cached", "delegated", "consistent", ""}:
                    raise self._error(here, "must be SOURCE:TARGET, SOURCE:TARGET:ro or TARGET")
                read_only = "ro" in modes
            else:
                body = self._mapping(here, entry)
                kind = self._text((*here, "type"), body.get("type")) or "volume"
                source = self._text((*here, "source"), body.get("source")) or ""
                target = self._text((*here, "target"), body.get("target")) or ""
                read_only = body.get("read_only") is True
                if kind not in ("volume", "bind"):
                    raise self._error((*here, "type"), "must be volume or bind; for a tmpfs use the key tmpfs")
            yield self._volume(here, kind, source, self._absolute(here, target) or "", read_only, named, service)

    def _is_tests(self, service: str, source: str) -> bool:
        """Whether a volume is of the task's tests, which some tasks mount by themselves."""
        path = Path(os.path.normpath(self._folder / source))
        return service == MAIN and path == self._folder.parent / "tests"

    def _volume(
        self, place: _Place, kind: str, source: str, target: str, read_only: bool, named: Mapping[str, object], of: str
    ) -> Volume:
        if target == "/":
            raise self._error(place, "can't be mounted at /; name a folder")
        if kind != "bind" and not source:
            return Volume(f"{of}:{target}", target, read_only)
        if kind == "volume" or (not kind and not source.startswith((".", "/", "~"))):
            if source not in named:
                raise self._error(place, f"names the volume {source!r}, which is not among the file's volumes")
            return Volume(source, target, read_only)
        found = self._inside(place, source)
        if not found.exists():
            raise self._error(place, f"names {source}, which is not there")
        if found.is_file() and not read_only:
            raise self._error(place, "is a file, and a service can only read it; write SOURCE:TARGET:ro")
        return Volume(f"./{found.relative_to(self._folder)}", target, read_only, found)

    def _tmpfs(self, place: _Place, value: object) -> Iterator[str]:
        for number, one in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            text = self._text((*place, number), one) or ""
            yield self._absolute(place, text.partition(":")[0]) or ""

    def _in_networks(
        self, place: _Place, value: object, networks: Mapping[str, object]
    ) -> tuple[tuple[str, ...], list[str]]:
        """The networks that a service is in, and its further names in them."""
        if value is None:
            return ("default",), []
        listed: Mapping[str, object] = dict.fromkeys(map(str, value)) if isinstance(value, list) else {}
        bodies = listed or self._mapping(place, value if not isinstance(value, list) else {})
        aliases: list[str] = []
        for name, body in bodies.items():
            if name not in networks and name != "default":
                raise self._error(place, f"names the network {name!r}, which is not among the file's networks")
            for key, said in self._mapping((*place, name), body if body is not None else {}).items():
                if key == "aliases":
                    aliases += [str(one) for one in self._list((*place, name, key), said)]
                elif key not in ("priority", "gw_priority"):
                    raise self._error((*place, name, key), "can't be honoured: services have names, not addresses")
        for alias in aliases:
            if not _HOST.fullmatch(alias):
                raise self._error(place, f"has {alias[:60]!r} among its aliases, which is no host's name")
        return tuple(bodies), aliases

    def _named_volumes(self, value: object) -> Mapping[str, object]:
        found = self._mapping(("volumes",), value if value is not None else {})
        for name, body in found.items():
            said = self._mapping(("volumes", name), body if body is not None else {})
            for key in said:
                if key not in ("name", "labels") and said[key] not in (None, False, "local", {}):
                    raise self._error(("volumes", name, key), "can't be honoured: volumes are empty at the start")
        return found

    def _networks(self, value: object) -> Mapping[str, object]:
        found = self._mapping(("networks",), value if value is not None else {})
        for name, body in found.items():
            said = self._mapping(("networks", name), body if body is not None else {})
            if said.get("external") not in (None, False):
                raise self._error(("networks", name, "external"), "can't be honoured: there are no other networks")
        return found

    # --- values ---

    def _env_files(self, place: _Place, value: object) -> dict[str, str]:
        found: dict[str, str] = {}
        for number, one in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            here = (*place, number)
            name = one.get("path") if isinstance(one, dict) else one
            path = self._inside(here, self._text(here, name) or "")
            if not path.is_file():
                if isinstance(one, dict) and one.get("required") is False:
                    continue
                raise self._error(place, f"names {name}, which is not there")
            lines = read_input(path, _MAX_BYTES, ComposeError).decode("utf-8", "replace").splitlines()
            for line in lines:
                key, equals, text = line.strip().removeprefix("export ").partition("=")
                if equals and not key.startswith("#"):
                    found[key.strip()] = self._filled(place, text.strip().strip("\"'"))
        return found

    def _environment(self, place: _Place, value: object) -> dict[str, str]:
        """A mapping, or a list of ``NAME=VALUE``; a name without a value would be this machine's."""
        if value is None:
            return {}
        found: dict[str, str] = {}
        if isinstance(value, list):
            pairs = [str(one).partition("=") for one in value]
            items: list[tuple[str, object]] = [(name, text if equals else None) for name, equals, text in pairs]
        else:
            items = [*self._mapping(place, value).items()]
        for name, text in items:
            if not name or "=" in name or "\0" in name:
                raise self._error(place, f"has {name[:60]!r}, which is not the name of a variable")
            if text is None:
                text = self._variables.get(name)
                if text is None:
                    self._warn((*place, name), "asks for a variable of this machine, which a sandbox never gets")
                    continue
            if isinstance(text, bool):
                text = "true" if text else "false"
            if not isinstance(text, str | int | float):
                raise self._error((*place, name), "must be a text or a number")
            found[name] = self._filled((*place, name), str(text))
        return found

    def _pairs(self, place: _Place, value: object) -> list[tuple[str, str]]:
        if isinstance(value, dict):
            return [(name, str(text)) for name, text in value.items()]
        found = []
        for one in self._list(place, value):
            name, *text = re.split("[=:]", str(one), maxsplit=1)
            found.append((name, "".join(text)))
        return found

    def _words(self, place: _Place, value: object) -> tuple[str, ...] | None:
        """A list of words, or a text that a shell would split."""
        if value is None:
            return None
        if isinstance(value, list):
            return tuple(self._text((*place, number), one) or "" for number, one in enumerate(value))
        try:
            return tuple(shlex.split(self._text(place, value) or ""))
        except ValueError as error:
            raise self._error(place, f"can't be split into words: {error}") from None

    def _duration(self, place: _Place, value: object) -> int:
        """Nanoseconds."""
        text = self._text(place, value) or ""
        parts = _PART.findall(text)
        if not parts or "".join(map("".join, parts)) != text or len(text) > 30:
            raise self._error(place, f"must be a time such as 1m30s, not {text[:40]!r}")
        return round(sum(float(number) * _UNITS[unit] for number, unit in parts))

    def _text(self, place: _Place, value: object) -> str | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._error(place, "must be a text")
        return self._filled(place, str(value))

    def _filled(self, place: _Place, text: str) -> str:
        """The text with its variables filled in."""
        if "\0" in text:
            raise self._error(place, "holds a NUL character")

        def fill(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "$"
            name, how, rest = match["plain"] or match["braced"], match["how"] or "", match["rest"] or ""
            if not name:
                raise self._error(place, "has a '$' without a variable's name; write '$$' for the character")
            value = self._variables.get(name)
            there = bool(value) if how.startswith(":") else value is not None
            if how.endswith("+"):
                return rest if there else ""
            if there:
                return value or ""
            if how.endswith("?"):
                raise self._error(place, f"demands this machine's {name}, which a sandbox never gets; write the value")
            if not how:
                self._warn(place, f"asks for this machine's {name}, which a sandbox never gets: it is empty")
            return rest

        return _VARIABLE.sub(fill, text)

    def _absolute(self, place: _Place, value: object) -> str | None:
        text = self._text(place, value)
        if text is None:
            return None
        if not text.startswith("/") or ".." in text.split("/"):
            raise self._error(place, f"must be an absolute path without '..', not {text[:60]!r}")
        return posixpath.normpath("/" + text.lstrip("/"))

    def _inside(self, place: _Place, text: str, *, folder: bool = False) -> Path:
        """A path beside the compose file; links lead out of it no more than '..' does."""
        filled = self._filled(place, text)
        if "://" in filled or filled.startswith(("git@", "~")):
            raise self._error(place, f"must be in the task's environment/, not {filled[:60]!r}")
        path = Path(os.path.normpath(self._folder / filled))
        if not path.is_relative_to(self._folder) or not path.resolve().is_relative_to(self._folder.resolve()):
            raise self._error(place, f"must be in the task's environment/, and {filled[:60]!r} leads out of it")
        if folder and not path.is_dir():
            raise self._error(place, f"names {filled[:60]!r}, which is no folder")
        return path

    def _list(self, place: _Place, value: object) -> Sequence[Any]:
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self._error(place, "must be a list")
        return value

    def _mapping(self, place: _Place, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._error(place, "must be a mapping")
        if "<<" not in value:
            return value
        # A merge key (yaml.org/type/merge.html).
        merged: dict[str, Any] = {}
        wanted = value["<<"]
        for one in reversed(wanted if isinstance(wanted, list) else [wanted]):
            merged |= self._mapping((*place, "<<"), one)
        return {**merged, **{key: one for key, one in value.items() if key != "<<"}}

    def _at(self, place: _Place) -> str:
        line, column = self._positions.of(place, key=True)
        named = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        return f"{self._path}:{line}:{column}: {named}"

    def _error(self, place: _Place, message: str) -> ComposeError:
        return ComposeError(f"{self._at(place) if place else self._path}: {message}")

    def _warn(self, place: _Place, message: str) -> None:
        warning = f"{self._at(place).replace(str(self._path), self._path.name, 1)}: {message}"
        if warning not in self._warnings:
            self._warnings.append(warning)


_TIMES = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
}
