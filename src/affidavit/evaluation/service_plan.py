"""The services of a task, ready to run: their images built or pulled, and what runs in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from affidavit.evaluation.errors import RunError
from affidavit.images import MOST_IMAGE_BYTES, ImageError, ImageStore, StoredImage, build_image, stored_or_pulled
from affidavit.sandbox import RootFilesystem, SandboxError, User, host_rootfs, image_user, oci_rootfs
from affidavit.services import ComposeError, ComposeFile, Dependency, Service, Volume, read_compose
from affidavit.tasks import HealthCheck, Task, TaskError, image_health_check

MAIN = "main"
_SHELL = ("/bin/sh", "-c")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class PlannedService:
    """One service.

    Attributes:
        name: its name.
        names: all names by which others reach it.
        place: where it is written, for errors.
        rootfs: its root file system, with its user.
        argv, env, cwd: what runs in it.
        check: that tells whether it is healthy; None: nothing does.
        depends_on: what it waits for.
        volumes: folders that it shares.
        tmpfs: folders that are empty at its start and its own.
        reaches: the services that it reaches, MAIN among them.
    """

    name: str
    names: tuple[str, ...]
    place: str
    rootfs: RootFilesystem
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    check: HealthCheck | None
    depends_on: tuple[Dependency, ...]
    volumes: tuple[Volume, ...]
    tmpfs: tuple[str, ...]
    reaches: tuple[str, ...]


@dataclass(frozen=True)
class ServicePlan:
    """The services of a task.

    Attributes:
        services: each after those that it waits for.
        main_names: by which they reach the agent's sandbox.
        main_volumes: folders that the agent's sandbox shares.
        main_reaches: the services that the agent's sandbox reaches.
        start_s: how long a service may take to complete where another one waits for that, seconds.
        memory_mb, storage_mb: limits of each sandbox, and of each volume, MiB.
        cpus: cores' worth of time for each; None for no limit.
    """

    services: tuple[PlannedService, ...]
    main_names: tuple[str, ...]
    main_volumes: tuple[Volume, ...] = ()
    main_reaches: tuple[str, ...] = ()
    start_s: float = 600.0
    memory_mb: int = 2048
    storage_mb: int = 2048
    cpus: float | None = None

    @property
    def shared(self) -> bool:
        """Whether there is anything that sandboxes joined to them share."""
        return bool(self.services or self.main_volumes)

    def names_reached(self, reaches: Sequence[str]) -> dict[str, str]:
        """The names of some services, each with its service."""
        known = {one.name: one.names for one in self.services} | {MAIN: self.main_names}
        return {name.lower(): service for service in reaches for name in known[service]}


def compose_of(task: Task) -> ComposeFile | None:
    """The compose file of a task; None where it has none.

    Raises:
        RunError: it can't be used.
    """
    path = task.environment.compose
    try:
        found = None if path is None else read_compose(path, task.environment.env)
    except ComposeError as error:
        raise RunError(str(error)) from error
    for asked in task.tests.service_files:
        if found is None or asked.service not in {one.name for one in found.services}:
            where = f"{task.path}/task.toml: artifacts names the service {asked.service!r}"
            raise RunError(f"{where}, which {path or 'environment/docker-compose.yaml'} does not have")
    return found


def service_names(task: Task) -> tuple[str, ...]:
    """The names of the services that a task's agent reaches. Raises RunError."""
    found = compose_of(task)
    if found is None:
        return ()
    reached = [one for one in found.services if found.main.reaches(one)]
    return tuple(dict.fromkeys(name.lower() for one in reached for name in (one.name, *one.aliases)))


def plan_services(task: Task, state: Path, tell: Callable[[str], None] | None = None) -> ServicePlan | None:
    """Build or pull the images of a task's services; None where it has none.

    Args:
        task: the task.
        state: the state folder.
        tell: called with what is being done, a sentence each.

    Raises:
        RunError: an image can't be had, or does not fit.
    """
    found = compose_of(task)
    if found is None:
        return None
    everybody = (found.main, *found.services)

    def reached(service: Service) -> tuple[str, ...]:
        return tuple(one.name for one in everybody if one.name != service.name and service.reaches(one))

    try:
        planned = tuple(_planned(task, one, state, reached(one), tell) for one in found.services)
    except (ImageError, SandboxError, TaskError) as error:
        raise RunError(str(error)) from error
    limits = task.limits
    return ServicePlan(
        planned,
        (MAIN, *found.main.aliases),
        found.main.volumes,
        reached(found.main),
        limits.build_timeout_s,
        limits.memory_mb,
        limits.storage_mb,
        limits.cpus,
    )


def _planned(
    task: Task, service: Service, state: Path, reaches: tuple[str, ...], tell: Callable[[str], None] | None
) -> PlannedService:
    store = ImageStore(state)
    image = None
    if not service.on_host:
        try:
            image = _image(task, service, store, tell)
        except ImageError as error:
            raise ImageError(f"{service.place}: {error}") from None
    origin = service.place if image is None else f"{service.place}: {image.name}"

    def root_of(user: User) -> RootFilesystem:
        if image is None:
            return host_rootfs(state, user)
        return oci_rootfs(state, store.layout, user, MOST_IMAGE_BYTES, manifest=image.digest)

    user = image_user(service.user or (image and image.user) or "0", root_of(User()).layers, origin)
    rootfs = root_of(user)
    entrypoint = service.entrypoint
    if entrypoint is None:
        entrypoint = () if image is None else image.entrypoint
    command = service.command
    if command is None:
        command = rootfs.command if service.entrypoint is None else ()
    argv = (*entrypoint, *command)
    if not argv:
        raise SandboxError(f"{origin}: has neither a command nor an entrypoint; write command")
    if not argv[0].startswith("/"):
        # Looked up on its PATH, in the sandbox.
        argv = ("/bin/sh", "-c", 'exec "$@"', "sh", *argv)
    home = user.home if user.home != "/" else "/root"
    env = {"PATH": _PATH, "HOME": home, **(image.env if image else {}), **service.environment}
    return PlannedService(
        name=service.name,
        names=(service.name, *service.aliases),
        place=service.place,
        rootfs=rootfs,
        argv=argv,
        env=env,
        cwd=service.workdir or (image and image.workdir) or "/",
        check=service_check(service, image),
        depends_on=service.depends_on,
        volumes=service.volumes,
        tmpfs=service.tmpfs,
        reaches=reaches,
    )


def _image(task: Task, service: Service, store: ImageStore, tell: Callable[[str], None] | None) -> StoredImage:
    if service.build is not None:
        build = service.build
        say = None if tell is None else lambda text: tell(f"{task.id}: {service.name}: {text}")
        return build_image(
            store,
            build.context,
            arguments=build.arguments,
            timeout_s=task.limits.build_timeout_s,
            progress=say,
            dockerfile=build.dockerfile,
        )
    assert service.image is not None
    return stored_or_pulled(store, service.image, timeout_s=task.limits.build_timeout_s)


def service_check(service: Service, image: StoredImage | None) -> HealthCheck | None:
    """The health check of a service: what the compose file says goes before what the image says.

    Args:
        service: as the compose file has it.
        image: its image; None: it has none.

    Raises:
        TaskError: it is none.
    """
    config = {**((image.healthcheck if image else None) or {}), **(service.health or {})}
    if not config:
        return None
    if "Test" not in config:
        raise TaskError(f"{service.place}: its healthcheck has no test, and its image has none either; write test")
    return image_health_check(config, image.shell if image else _SHELL, f"healthcheck of the service {service.name}")
