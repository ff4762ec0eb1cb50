"""What was timed for a ``performance`` grader, as ``grade.json`` holds it under ``timings``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from affidavit.errors import first_problem


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


def speed_up(solution_ns: int, baseline_ns: int) -> float:
    """How many times as fast as the baseline a solution is."""
    return baseline_ns / max(1, solution_ns)


class TimedRun(_Part):
    """One timed run of one command.

    Attributes:
        ns: nanoseconds from its beginning to the end of its standard output.
        output: SHA-256 of what it wrote, in hex.
        fault: why it is no result, in a sentence; None where it is one.
    """

    ns: int
    output: str
    fault: str | None


class TimedPair(_Part):
    """One repetition: the solution and the baseline with the same input.

    Attributes:
        input: SHA-256 of the input, in hex.
        first: which of the two ran first.
    """

    input: str
    first: Literal["solution", "baseline"]
    solution: TimedRun
    baseline: TimedRun


class Timings(_Part):
    """All repetitions of one grader.

    Attributes:
        secret: hex; with the task's digest and the digest of the submission, it seeds the inputs.
        error: why nothing can be said, through no fault of the agent's; None where something can.
        runs: the repetitions, in order.
    """

    secret: str
    error: str | None = None
    runs: Annotated[tuple[TimedPair, ...], Field(strict=False)] = ()

    @classmethod
    def read(cls, value: object) -> "Timings":
        """What `to_json` wrote. Raises ValueError for anything else."""
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise ValueError(f"timings: {first_problem(error)}") from None

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``grade.json``."""
        return self.model_dump(mode="json")
