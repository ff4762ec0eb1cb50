"""From tasks whose image is to be built or pulled to tasks that can run."""

from collections.abc import Callable, Iterable
from dataclasses import astuple, replace
from pathlib import Path, PurePosixPath

from affidavit.evaluation.errors import RunError
from affidavit.evaluation.service_plan import compose_of
from affidavit.images import (
    MOST_IMAGE_BYTES,
    ImageError,
    ImageStore,
    StoredImage,
    build_image,
    declared_workdir,
    stored_or_pulled,
)
from affidavit.sandbox import SandboxError, User, image_user, oci_rootfs
from affidavit.tasks import Rootfs, Task, TaskError, TaskUser, image_health_check

# What only hands on to its arguments need not run beside the agent.
_HAND_ON = ("bash", "dash", "sh", "ash", "env", "tini", "dumb-init", "init", "catatonit")


def with_images(tasks: Iterable[Task], state: Path, tell: Callable[[str], None] | None = None) -> tuple[Task, ...]:
    """The tasks, with the images of those that name or build one.

    Args:
        tasks: as they were read.
        state: the state folder, in which the image store is.
        tell: called with what is being done, a sentence each.

    Raises:
        RunError: an image can't be built or pulled, or does not have a user that a task wants.
    """
    return tuple(_finished(task, state, tell) for task in tasks)


def _finished(task: Task, state: Path, tell: Callable[[str], None] | None) -> Task:
    task = _with_main(task)
    found = _with_image(task, state, tell) if _unfinished(task) else task
    if task.grading is None:
        return found
    grading = _finished(task.grading, state, tell)
    told = [f"the verifier: {warning}" for warning in grading.warnings if warning not in task.warnings]
    return replace(found, grading=grading, warnings=(*found.warnings, *told))


def _with_main(task: Task) -> Task:
    """The task with what its compose file says of the agent's service."""
    found = compose_of(task)
    if found is None or task.tests.in_image:
        return task
    main, environment, asked = found.main, task.environment, task.environment.asked
    if task.steps:
        raise RunError(f"{found.path}: a task with steps can't have services yet; remove one of them")
    rootfs = environment.rootfs
    if rootfs.kind == "dockerfile" and main.build is not None:
        if main.build.dockerfile != "Dockerfile" or main.build.arguments:
            raise RunError(f"{main.place}.build: of main has a context alone; put the rest into its Dockerfile")
        rootfs = Rootfs("dockerfile", main.build.context)
    elif rootfs.kind == "dockerfile" and main.image is not None:
        rootfs = Rootfs("registry", None, main.image)
    if main.entrypoint:
        raise RunError(f"{main.place}.entrypoint: of main can't be replaced; put it into the image")
    checks = environment.health_checks
    if main.health is not None and not rootfs.to_be_had:
        check = image_health_check(main.health, ("/bin/sh", "-c"), f"{main.place}.healthcheck")
        checks = (*((check,) if check is not None else ()), *checks)
    changed = replace(
        environment,
        rootfs=rootfs,
        env={**main.environment, **environment.env},
        workdir=environment.workdir if asked.workdir or main.workdir is None else main.workdir,
        asked=replace(asked, workdir=asked.workdir or main.workdir, user=asked.user or main.user),
        health_checks=checks,
    )
    return replace(task, environment=changed, warnings=(*task.warnings, *found.warnings))


def with_known_workdirs(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks, with the working directories that their Dockerfiles name; nothing is built."""
    return tuple(map(_with_known_workdir, tasks))


def _with_known_workdir(task: Task) -> Task:
    environment = task.environment
    if environment.rootfs.kind != "dockerfile" or environment.rootfs.source is None:
        return task
    workdir = environment.asked.workdir or declared_workdir(environment.rootfs.source) or "/"
    return replace(task, environment=replace(environment, workdir=workdir))


def _unfinished(task: Task) -> bool:
    rootfs, asked = task.environment.rootfs, task.environment.asked
    return rootfs.to_be_had or (rootfs.kind == "oci" and (asked.user is not None or asked.verifier_user is not None))


def _with_image(task: Task, state: Path, tell: Callable[[str], None] | None) -> Task:
    environment = task.environment
    try:
        if not environment.rootfs.to_be_had:
            return _with_users(task, state, "")
        store = ImageStore(state)
        image = _image(task, store, tell)
        built = replace(
            environment,
            rootfs=Rootfs("oci", store.layout, image.name, image.digest),
            workdir=environment.asked.workdir or image.workdir or "/",
            env={**image.env, **environment.env},
            entrypoint=() if _hands_on(image.entrypoint) else image.entrypoint,
        )
        found = replace(task, environment=built, warnings=(*task.warnings, *_not_honoured(task, image)))
        return _with_users(_with_health_check(found, image), state, image.user)
    except (ImageError, TaskError) as error:
        raise RunError(str(error)) from error
    except SandboxError as error:
        raise RunError(f"{task.path}: {error}") from error


def _image(task: Task, store: ImageStore, tell: Callable[[str], None] | None) -> StoredImage:
    rootfs, timeout_s = task.environment.rootfs, task.limits.build_timeout_s
    if rootfs.kind == "dockerfile" and rootfs.source:
        say = None if tell is None else lambda text: tell(f"{task.id}: {text}")
        try:
            return build_image(store, rootfs.source, timeout_s=timeout_s, progress=say)
        except ImageError as error:
            where = task.path if rootfs.source == task.path / "environment" else rootfs.source
            text = str(error).replace("affidavit image build --network", f"affidavit image build --network {where}")
            raise ImageError(text) from None
    try:
        return stored_or_pulled(store, rootfs.reference, timeout_s=timeout_s)
    except ImageError as error:
        table, folder = ("verifier.environment", "tests") if task.tests.in_image else ("environment", "environment")
        build = task.path / folder / "Dockerfile"
        other = f"; or remove docker_image, and {build} is built" if build.is_file() else ""
        raise ImageError(f"{task.path}/task.toml: [{table}].docker_image: {error}{other}") from None


def _with_users(task: Task, state: Path, own: str) -> Task:
    """The task with its users looked up in the image.

    Args:
        task: its root file system is an image that is there.
        state: the state folder.
        own: the image's own user, for whom task.toml names nobody.
    """
    environment, rootfs = task.environment, task.environment.rootfs
    asked = (environment.asked.user, environment.asked.verifier_user)
    if rootfs.manifest is not None:
        asked = (asked[0] or own or "0", asked[1] or own or "0")
    source = rootfs.source
    assert source is not None
    most = most_bytes(task)
    # The layers are all that is wanted; who is to run in it is what is being found out.
    layers = oci_rootfs(state, source, User(), most, manifest=rootfs.manifest).layers
    origin = rootfs.reference or str(source)

    def look_up(name: str | None, there: TaskUser) -> TaskUser:
        if name is None:
            return there
        user = image_user(name, layers, origin)
        # Its home is writable in a sandbox, and that must not be the whole root file system.
        home = "/home/agent" if user.home in ("", "/") else str(PurePosixPath(user.home))
        return TaskUser(*astuple(replace(user, home=home)))

    found = replace(
        environment,
        user=look_up(asked[0], environment.user),
        image_user=look_up(own or "0", environment.user) if rootfs.manifest is not None else None,
        asked=replace(environment.asked, user=None, verifier_user=None),
    )
    return replace(task, environment=found, tests=replace(task.tests, user=look_up(asked[1], task.tests.user)))


def most_bytes(task: Task) -> int:
    """What a task's root file system may take unpacked, bytes: Harbor's ``storage_mb`` does not count the image."""
    return MOST_IMAGE_BYTES if task.environment.rootfs.manifest is not None else task.limits.storage_mb << 20


def _hands_on(entrypoint: tuple[str, ...]) -> bool:
    return all(word.startswith("-") or PurePosixPath(word).name in _HAND_ON for word in entrypoint)


def _with_health_check(task: Task, image: StoredImage) -> Task:
    """The task with its image's health check before its own. A verifier's image has none that is run."""
    if task.tests.in_image:
        return task
    compose = compose_of(task)
    config = {**(image.healthcheck or {}), **((compose.main.health if compose else None) or {})}
    if not config:
        return task
    check = image_health_check(config, image.shell, f"HEALTHCHECK of the image {image.name}")
    checks = task.environment.health_checks
    return replace(
        task, environment=replace(task.environment, health_checks=((check, *checks) if check is not None else checks))
    )


def _not_honoured(task: Task, image: StoredImage) -> list[str]:
    notes = []
    if image.healthcheck is not None and task.tests.in_image:
        notes.append("the image's HEALTHCHECK is not run: the tests begin at once")
    if not _hands_on(image.entrypoint):
        notes.append("the image's ENTRYPOINT runs beside the agent, and what it does counts as the agent's")
    return notes
