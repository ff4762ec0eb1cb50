"""The configuration in ``sandbox=("affidavit", …)``."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class AffidavitConfig(BaseModel):
    """A sandbox by Affidavit.

    Attributes:
        task: the folder of an Affidavit task on the server's machine, or the task.toml in it.
        contract: a contract's file, in place of the task's own; None: the task's.
        runtime, recorder: as `affidavit.open_session` has them.
        agent: the agent's name, for the evidence.
        models: that an agent in the sandbox may ask through the session's gateway, of those that the server grants.
        socket: the server's; None: ``$AFFIDAVIT_SOCKET``, or where `affidavit serve` puts it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    contract: str | None = None
    runtime: str = "auto"
    recorder: str = "auto"
    agent: str = "inspect"
    models: tuple[str, ...] = ()
    socket: str | None = None

    @classmethod
    def of(cls, config: BaseModel | str | None) -> "AffidavitConfig":
        """From what Inspect has.

        Raises:
            ValueError: it names no task.
        """
        match config:
            case AffidavitConfig():
                return config
            case str():
                return cls(task=config)
        raise ValueError(
            'the affidavit sandbox needs a task: sandbox=("affidavit", "TASK FOLDER"), or a task.toml beside the file '
            "of the Inspect task"
        )

    @property
    def folder(self) -> Path:
        """The task's folder."""
        path = Path(self.task)
        return path.parent if path.name == "task.toml" else path
