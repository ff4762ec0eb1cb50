"""``affidavit agent``: agents that have a definition."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affidavit.cli.output import Json, fail, print_json

if TYPE_CHECKING:
    from affidavit.agents import AgentDefinition

agent_app = typer.Typer(help="Agents by name: list, show, check.", no_args_is_help=True, rich_markup_mode=None)

_Name = Annotated[
    str,
    typer.Argument(help="An agent from affidavit agent list, or a file that defines one.", metavar="NAME|FILE.toml"),
]


def _definition(name: str) -> "AgentDefinition":
    """The definition of a built-in agent, or the one that a file holds. Raises AgentError."""
    from affidavit.agents import find_agent, load_agent

    return load_agent(Path(name)) if name.endswith(".toml") else find_agent(name)


@agent_app.command("list")
def list_agents(as_json: Json = False) -> None:
    """List the agents that --agent accepts, besides oracle and nop."""
    from affidavit.agents import built_in_agents
    from affidavit.report import print_agents

    agents = [agent.model_dump(mode="json") for agent in built_in_agents().values()]
    if as_json:
        print_json(agents)
    else:
        print_agents(agents, sys.stdout)


@agent_app.command()
def show(name: _Name, as_json: Json = False) -> None:
    """Show an agent's definition."""
    from affidavit.agents import AgentError

    try:
        agent = _definition(name)
    except AgentError as error:
        fail(error)
    if as_json:
        print_json(agent.model_dump(mode="json"))
        return
    packages = f"{agent.install.kind}: {', '.join(agent.install.packages)}" if agent.install else "in the image"
    typer.echo(f"{agent.name} {agent.version}: {agent.about}")
    typer.echo(f"installed from {packages}; speaks {agent.dialect}; needs {', '.join(agent.needs) or 'nothing'}")
    for variable, value in agent.environment.items():
        typer.echo(f"  {variable}={value}")
    typer.echo(agent.command.strip())


@agent_app.command()
def check(
    name: _Name,
    runtime: Annotated[str, typer.Option(help="auto, runc or gvisor.", metavar="R")] = "auto",
    recorder: Annotated[str, typer.Option(help="auto, ebpf, gvisor or ptrace.", metavar="R")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder to keep the trial in.", metavar="DIR", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Install an agent and run it on a small task with a scripted model.

    Exit status: 0 the agent works here, 1 it does not, 2 usage error.
    """
    from affidavit.agents import AgentError
    from affidavit.evaluation import RunError, check_agent
    from affidavit.report import Progress

    try:
        agent = _definition(name)
        with (
            tempfile.TemporaryDirectory(prefix="affidavit-check-") as folder,
            Progress(sys.stderr, quiet=as_json) as progress,
        ):
            trial = check_agent(agent, Path(folder), out or Path(folder) / "runs", runtime, recorder, progress)
    except (AgentError, RunError) as error:
        fail(error, 1 if "can't be installed" in str(error) else 2)
    judgement = trial.judgement
    facts: dict[str, Any] = {
        "agent": agent.name,
        "version": agent.version,
        "works": judgement.verdict == "pass",
        "verdict": str(judgement.verdict),
        "reasons": list(judgement.reasons),
        "violations": [violation.message for violation in judgement.violations],
        "duration_ms": trial.duration_ms,
    }
    if as_json:
        print_json(facts)
    else:
        from affidavit.report import printable

        typer.echo(f"{agent.name} {agent.version}: {judgement.verdict} in {trial.duration_ms / 1000:.1f} s")
        for line in (*facts["violations"], *facts["reasons"]):
            typer.echo(f"  {printable(line)}")
    raise typer.Exit(0 if facts["works"] else 1)
