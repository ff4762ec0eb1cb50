"""From tasks whose image is to be built or pulled to tasks that can run."""

from collections.abc import Callable, Iterable
from dataclasses import astuple, replace
from pathlib import Path, PurePosixPath

from affidavit.evaluation.errors import RunError
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
from affidavit.tasks import Rootfs, Task, TaskUser

# What only hands on to its arguments need not run beside the agent.
_HAND_ON = ("bash", "dash", "sh", "ash", "env", "tini", "dumb-init", "init", "catatonit")


def with_images(tasks: Iterable[Task], state: Path, tell: Callable[[str], None] | None = None) -> tuple[Task, ...]:
    """The tasks, with the images of those that name or build one.

    Args:
        tasks: as they were read.
        state: the state folder, in which the image store is.
        tell: is told what is being done.

    Raises:
        RunError: an image can't be built or pulled, or does not have a user that a task wants.
    """
    return tuple(_finished(task, state, tell) for task in tasks)


def _finished(task: Task, state: Path, tell: Callable[[str], None] | None) -> Task:
    found = _with_image(task, state, tell) if _unfinished(task) else task
    if task.grading is None:
        return found
    grading = _finished(task.grading, state, tell)
    told = [f"the verifier: {warning}" for warning in grading.warnings if warning not in task.warnings]
    return replace(found, grading=grading, warnings=(*found.warnings, *told))


def with_known_workdirs(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks, with the working directories that their Dockerfiles name; nothing is built."""
    return tuple(
        replace(task, workdir=task.asked_workdir or declared_workdir(task.rootfs.source) or "/")
        if task.rootfs.kind == "dockerfile" and task.rootfs.source
        else task
        for task in tasks
    )


def _unfinished(task: Task) -> bool:
    return task.rootfs.to_be_had or (
        task.rootfs.kind == "oci" and (task.asked_user is not None or task.asked_verifier_user is not None)
    )


def _with_image(task: Task, state: Path, tell: Callable[[str], None] | None) -> Task:
    try:
        if not task.rootfs.to_be_had:
            return _with_users(task, state, "")
        store = ImageStore(state)
        image = _image(task, store, tell)
        found = replace(
            task,
            rootfs=Rootfs("oci", store.layout, image.name, image.digest),
            workdir=task.asked_workdir or image.workdir or "/",
            env={**image.env, **task.env},
            entrypoint=() if _hands_on(image.entrypoint) else image.entrypoint,
            warnings=(*task.warnings, *_not_honoured(image)),
        )
        return _with_users(found, state, image.user)
    except ImageError as error:
        raise RunError(str(error)) from error
    except SandboxError as error:
        raise RunError(f"{task.path}: {error}") from error


def _image(task: Task, store: ImageStore, tell: Callable[[str], None] | None) -> StoredImage:
    if task.rootfs.kind == "dockerfile" and task.rootfs.source:
        say = None if tell is None else lambda text: tell(f"{task.id}: {text}")
        try:
            return build_image(store, task.rootfs.source, timeout_s=task.build_timeout_s, progress=say)
        except ImageError as error:
            where = task.path if task.rootfs.source == task.path / "environment" else task.rootfs.source
            text = str(error).replace("affidavit image build --network", f"affidavit image build --network {where}")
            raise ImageError(text) from None
    try:
        return stored_or_pulled(store, task.rootfs.reference, timeout_s=task.build_timeout_s)
    except ImageError as error:
        table, folder = ("verifier.environment", "tests") if task.owns_tests else ("environment", "environment")
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
    asked = (task.asked_user, task.asked_verifier_user)
    if task.rootfs.manifest is not None:
        asked = (task.asked_user or own or "0", task.asked_verifier_user or own or "0")
    source = task.rootfs.source
    assert source is not None
    most = most_bytes(task)
    # The layers are all that is wanted; who is to run in it is what is being found out.
    layers = oci_rootfs(state, source, User(), most, manifest=task.rootfs.manifest).layers
    origin = task.rootfs.reference or str(source)

    def look_up(name: str | None, there: TaskUser) -> TaskUser:
        if name is None:
            return there
        user = image_user(name, layers, origin)
        # Its home is writable in a sandbox, and that must not be the whole root file system.
        home = "/home/agent" if user.home in ("", "/") else str(PurePosixPath(user.home))
        return TaskUser(*astuple(replace(user, home=home)))

    return replace(
        task,
        user=look_up(asked[0], task.user),
        verifier_user=look_up(asked[1], task.verifier_user),
        asked_user=None,
        asked_verifier_user=None,
    )


def most_bytes(task: Task) -> int:
    """What a task's root file system may take unpacked, bytes: Harbor's ``storage_mb`` does not count the image."""
    return MOST_IMAGE_BYTES if task.rootfs.manifest is not None else task.storage_mb << 20


def _hands_on(entrypoint: tuple[str, ...]) -> bool:
    return all(word.startswith("-") or PurePosixPath(word).name in _HAND_ON for word in entrypoint)


def _not_honoured(image: StoredImage) -> list[str]:
    notes = []
    if image.healthcheck:
        notes.append("the image's HEALTHCHECK is not run: the agent begins at once")
    if not _hands_on(image.entrypoint):
        notes.append("the image's ENTRYPOINT runs beside the agent, and what it does counts as the agent's")
    return notes
