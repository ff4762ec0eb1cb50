"""Where a run may read from and write to: what a task names is its author's choice, and folders have owners."""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from affidavit.evaluation.errors import RunError
from affidavit.tasks import Task

# Sandboxes have copies of these, or of parts of them.
_SHOWN = (Path("/usr"), Path("/etc"))


def check_places(tasks: Sequence[Task], state: Path, out: Path, *, rootfs_outside: bool) -> None:
    """Whether tasks stay in their own folders, out of agents' sight, and the run's folders out of others' reach.

    Args:
        tasks: what is run.
        state: the state folder.
        out: the folder that gets a folder for the run.
        rootfs_outside: root file systems may come from outside of the tasks' folders.

    Raises:
        RunError: something does not.
    """
    for task in tasks:
        _check_task(task, outside=rootfs_outside)
    _check_out_of_sight([state, out, *(task.path for task in tasks)])
    for place in (state, out):
        check_owners(place)


def _check_task(task: Task, *, outside: bool) -> None:
    """Whether a task stays in its own folder.

    Args:
        task: the task.
        outside: its root file system may come from elsewhere.

    Raises:
        RunError: it does not.
    """
    rootfs, folder = task.environment.rootfs, task.path.resolve()
    # What has a manifest was built or pulled into the store by affidavit itself.
    source, own = rootfs.source, rootfs.manifest is not None
    if source is not None and not own and not outside and not source.resolve().is_relative_to(folder):
        raise RunError(
            f"{task.path}/task.toml: [affidavit].rootfs names {source.resolve()}, which is not in the task's folder: "
            "put it there, or allow it with --rootfs-outside if you know what is in it"
        )
    published = task.contract.published
    if published is not None and published.registry.startswith("git+") and not published.allowed:
        raise RunError(
            f"{task.path}/task.toml: [affidavit].registry names {published.registry}, which is asked only when "
            "you say so: give --registry with that address"
        )


def _check_out_of_sight(places: Iterable[Path]) -> None:
    """Whether folders lie where no sandbox sees them: each has copies of /usr and of parts of /etc.

    Raises:
        RunError: one does not.
    """
    for place in places:
        for shown in _SHOWN:
            if place.resolve().is_relative_to(shown):
                raise RunError(f"{place}: lies below {shown}, which agents can read; move it elsewhere")


def check_owners(place: Path) -> None:
    """Whether nobody else can put another folder, or a link, in the place of one that is written to.

    Args:
        place: a folder that there may not be yet.

    Raises:
        RunError: somebody can.
    """
    mine = {0, os.geteuid()}
    if (sudo := os.environ.get("SUDO_UID", "")).isdecimal():
        # Who may be root anyway.
        mine.add(int(sudo))
    full, real = Path.cwd() / place, place.resolve()
    for folder in dict.fromkeys((full, *full.parents, real, *real.parents)):
        try:
            about = folder.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RunError(f"{folder}: can't be looked at: {error.strerror}") from error
        if about.st_uid not in mine:
            raise RunError(
                f"{place}: {folder} belongs to the user {about.st_uid}, who could put links to other files there; "
                "choose a folder of your own"
            )
        others = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(about.st_mode) and others and not about.st_mode & stat.S_ISVTX:
            raise RunError(
                f"{place}: others may write to {folder}, and could put links to other files there; choose a folder of "
                "your own, or take that away (chmod go-w)"
            )
