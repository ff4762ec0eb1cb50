"""Settings of the ``performance`` grader."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator

from affidavit.grading.settings import GraderSettings, ReferencePath
from affidavit.tasks import GraderSpec

LEAST_REPETITIONS: Final = 6
"""With fewer there is no interval of 95 % confidence for a median that supposes no distribution."""

_Text = Annotated[str, Field(min_length=1, max_length=4096)]
_Command = Annotated[tuple[_Text, ...], Field(min_length=1, max_length=100)]


class Settings(GraderSettings):
    """How a task's performance is measured.

    Attributes:
        command: run in the solution's sandbox; it reads an input on standard input and writes the result to standard
            output.
        baseline: what it is compared with, run in the pristine root file system; None: `command` over the start state.
        inputs: a program below ``tests/`` that writes an input to its standard output, made from the seed (a whole
            number) that is its argument.
        check: a program below ``tests/`` that ends with status 0 where a result is right; its arguments are files with
            the input, the result, and the baseline's result. None: a result must be the baseline's, byte for byte.
        bench: a folder below ``tests/`` that both sandboxes see at ``/run/affidavit``; None: they see none.
        repetitions: how often each of the two is timed.
        speedup: how many times as fast as the baseline the solution must be at least.
        source: where `speedup` comes from, in a sentence.
        timeout_sec: of each run, seconds.
    """

    command: _Command
    inputs: ReferencePath
    speedup: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    source: _Text
    baseline: _Command | None = None
    check: ReferencePath | None = None
    bench: ReferencePath | None = None
    repetitions: Annotated[int, Field(ge=LEAST_REPETITIONS, le=50)] = 9
    timeout_sec: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 60.0

    @field_validator("source")
    @classmethod
    def _says_something(cls, source: str) -> str:
        if not source.strip():
            raise ValueError("is empty; say where the threshold comes from")
        return source

    def check_files(self, spec: GraderSpec, tests: Path) -> None:
        """Whether all that is named is there.

        Args:
            spec: the grader's table.
            tests: the task's folder ``tests/``.

        Raises:
            TaskError: something is missing.
        """
        for key, name in (("inputs", self.inputs), ("check", self.check)):
            if name is not None and not (tests / name).is_file():
                raise spec.error(key, f"names tests/{name}, which is no file")
        if self.bench is not None and not (tests / self.bench).is_dir():
            raise spec.error("bench", f"names tests/{self.bench}, which is no folder")
