"""deploy/Containerfile, as far as it can be tested without a base image: its form, and that what it names is there."""

import json
import subprocess
from pathlib import Path

import pytest

from affidavit.images.dockerfile import Instruction, parse, read_dockerfile
from harness import Command

TOP = Path(__file__).parents[2]
FILE = TOP / "deploy/Containerfile"
STEPS = parse(read_dockerfile(FILE), FILE)


def steps(word: str) -> list[Instruction]:
    return [step for step in STEPS if step.word == word]


def test_what_set_up_needs_is_copied_and_nothing_else(tmp_path: Path) -> None:
    copied = {source for step in steps("COPY") for source in step.rest.split()[:-1]}
    assert copied == {
        *("scripts/debian-packages.txt", "scripts/install-debian", "Makefile", "pyproject.toml", "requirements.lock"),
        *("README.md", "LICENSE", "src"),
    }
    assert all((TOP / source).exists() for source in copied)
    # Without one of them, make has no rule for what it needs.
    for source in copied:
        (tmp_path / source).parent.mkdir(exist_ok=True)
        (tmp_path / source).symlink_to(TOP / source)
    done = subprocess.run(["make", "--dry-run", "setup"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("step", steps("RUN"), ids=lambda step: f"line {step.line}")
def test_a_step_is_a_shell_command(step: Instruction) -> None:
    done = subprocess.run(["/bin/sh", "-n"], input=step.rest, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_serves_and_keeps_what_lasts_in_volumes(affidavit: Command) -> None:
    ((program, command, *options),) = (json.loads(step.rest) for step in steps("ENTRYPOINT"))
    (workdir,) = (step.rest for step in steps("WORKDIR"))
    assert (program, command) == (f"{workdir}/.venv/bin/affidavit", "serve")
    known = affidavit("serve", "--help").out
    assert all(option in known for option in options[::2])
    volumes = [Path(one) for step in steps("VOLUME") for one in json.loads(step.rest)]
    variables = dict(one.split("=", 1) for step in steps("ENV") for one in step.rest.split())
    lasting = [*options[1::2], variables["AFFIDAVIT_STATE"], variables["AFFIDAVIT_KEYS"]]
    assert all(any(Path(path).is_relative_to(volume) for volume in volumes) for path in lasting)
