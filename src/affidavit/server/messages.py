"""The documents that clients send; what is not named here is refused."""

from typing import Annotated, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=256)]
Path = Annotated[str, Field(min_length=1, max_length=4096)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]
Origin = Literal["agent", "harness"]


class Message(BaseModel):
    """Whatever a client says."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Open(Message):
    """What ``POST /v1/sessions`` takes.

    Attributes:
        task: absolute path of a task folder on the server's machine.
        runtime, recorder, agent: as `affidavit.open_session` has them.
        contract: absolute path of a contract's file, in place of the task's own; None: the task's.
        models: of those that the server grants, which the session may ask, the agent's own first.
    """

    task: Path
    runtime: Name = "auto"
    recorder: Name = "auto"
    agent: Name = "session"
    contract: Path | None = None
    models: Annotated[list[Name], Field(max_length=100)] = Field(default_factory=list)


class Command(Message):
    """What both kinds of command have; the fields are those of `affidavit.Session.exec`, `input` in base64."""

    argv: Annotated[list[str], Field(min_length=1, max_length=65536)]
    user: Name | None = None
    cwd: Path | None = None
    env: dict[str, str] = Field(default_factory=dict)
    input: Base64Bytes = b""


class Setup(Command):
    """What ``POST /v1/sessions/ID/setup`` takes."""

    timeout_s: Seconds = 3600.0


class Exec(Command):
    """What ``POST /v1/sessions/ID/exec`` takes."""

    timeout_s: Seconds | None = None
    terminal: bool = False
    origin: Origin = "agent"
