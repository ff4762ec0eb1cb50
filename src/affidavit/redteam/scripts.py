"""The battery as scripts, for harnesses that play them by themselves."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from affidavit.evaluation import RunError, check_has_no_steps, load_tasks
from affidavit.redteam.briefing import brief
from affidavit.redteam.exploit import chosen_exploits


def write_scripts(path: Path, folder: Path, names: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Write every exploit that applies to a task as a shell script, ``TASK/EXPLOIT.sh``. None is played.

    Args:
        path: a task folder, a folder of task folders, or a suite file. Images are not built: what lies in one is not
            known to the exploits beforehand.
        folder: is made, whole or not at all.
        names: exploits to write; all where empty.

    Returns:
        The exploits that were written, by task.

    Raises:
        RunError: it can't be done as asked.
    """
    exploits = chosen_exploits(names)
    tasks, _ = load_tasks(path)
    check_has_no_steps(tasks, "redteam")
    if folder.exists():
        raise RunError(f"--scripts {folder}: is there already; name a folder that is not")
    written: dict[str, tuple[str, ...]] = {}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
        made.mkdir()
        try:
            for task in tasks:
                briefing = brief(task)
                applied = [exploit for exploit in exploits if exploit.unmet(briefing) is None]
                (made / task.id).mkdir()
                for exploit in applied:
                    script = made / task.id / f"{exploit.name}.sh"
                    script.write_text(f"#!/bin/sh\n# {exploit.description}\n{exploit.agent(briefing).command}")
                written[task.id] = tuple(exploit.name for exploit in applied)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(f"--scripts {folder}: can't be written: {error.strerror}") from None
    return written
