"""``affidavit serve``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import fail
from affidavit.cli.run_flags import ModelBudget, ModelPrices, Models, ModelScript, ModelUrl, ProviderTools

DEFAULT_SOCKET = Path("/run/affidavit/affidavit.sock")


def serve(
    socket: Annotated[
        Path, typer.Option("--socket", help="Unix socket that clients connect to.", metavar="PATH")
    ] = DEFAULT_SOCKET,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for each session.", metavar="DIR")] = Path(
        "runs"
    ),
    sessions: Annotated[
        int, typer.Option(help="Sessions at the same time, of all clients.", min=1, max=1024, metavar="N")
    ] = 32,
    user: Annotated[
        list[str] | None,
        typer.Option(
            "--user",
            help="Who may connect beside root, by name or number; may be repeated.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    tasks: Annotated[
        list[Path] | None,
        typer.Option(
            "--tasks",
            help="A folder with the tasks that those users may name; may be repeated.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    model: Models = None,
    model_url: ModelUrl = None,
    model_script: ModelScript = None,
    model_budget: ModelBudget = "",
    model_prices: ModelPrices = None,
    provider_tools: ProviderTools = False,
) -> None:
    """Serve sessions to clients on this machine (affidavit.client), until interrupted.

    A client's sessions end with it. SIGTERM and SIGINT end all sessions; none of them passes by that.

    Exit status: 0, or 2 where the server can't begin.
    """
    from affidavit.evaluation import RunError
    from affidavit.gateway import GatewayError, gateway_settings
    from affidavit.server import Access, ServerError, ServerOptions
    from affidavit.server import serve as serve_sessions

    try:
        access = Access.of(user or (), tasks or ())
        models = gateway_settings(
            model or (),
            os.environ,
            url=model_url,
            script=model_script,
            budget=model_budget,
            prices=model_prices,
            provider_tools=provider_tools,
        )
        options = ServerOptions(socket.absolute(), out.absolute(), access, sessions, models)
        serve_sessions(options, lambda: typer.echo(f"serving on {options.socket}", err=True))
    except (GatewayError, RunError, ServerError) as error:
        fail(error)
