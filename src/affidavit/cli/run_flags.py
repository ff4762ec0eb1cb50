"""Flags shared by affidavit run and affidavit plan."""

import re
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import fail

TaskPath = Annotated[
    Path, typer.Argument(help="A task folder, a folder of task folders, or a suite file.", metavar="PATH")
]
AgentName = Annotated[
    str | None,
    typer.Option(
        "--agent-name",
        help="What the agent is called in reports and evidence, in place of cmd or of its definition's name.",
        metavar="NAME",
        show_default=False,
    ),
]
RuntimeName = Annotated[str | None, typer.Option(help="auto, runc or gvisor.", metavar="R", show_default="auto")]
RecorderName = Annotated[
    str | None, typer.Option(help="auto, ebpf, gvisor or ptrace.", metavar="R", show_default="auto")
]
Trials = Annotated[
    int | None, typer.Option(help="Trials of each task.", min=1, max=10_000, metavar="N", show_default="1")
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        help="rnd, procurement, leaderboard or compliance: the defaults and demands of the run (affidavit profiles).",
        metavar="NAME",
        show_default=False,
    ),
]
ContractFlag = Annotated[
    str | None,
    typer.Option(
        "--contract",
        help="Contract that replaces every task's own: a file, or ID@VERSION in a registry.",
        metavar="FILE|REF",
        show_default=False,
    ),
]
RegistryFlag = Annotated[
    str | None,
    typer.Option(
        "--registry", help="Where contracts are published: a folder or git+URL.", metavar="R", show_default=False
    ),
]
TrustFlag = Annotated[
    Path | None,
    typer.Option("--trust", help="Trust file: who must have signed the contract.", metavar="FILE", show_default=False),
]
NetworkFlag = Annotated[
    str | None,
    typer.Option(
        "--network",
        help="allowlist: the agent reaches the hosts that its contract, task, suite and --allow list; none: none, "
        "whatever they say (docs/network.md).",
        metavar="none|allowlist",
        show_default=False,
    ),
]
Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        help="A host that the agent may reach, as far as its contract allows it; =ADDRESS says where it is, also "
        "privately; may be repeated.",
        metavar="HOST[:PORT][=ADDRESS]",
        show_default=False,
    ),
]
Nonce = Annotated[
    str | None,
    typer.Option(
        "--nonce",
        help="Challenge of whoever will accept the evidence (32 bytes in hex), in the plan and in every bundle.",
        metavar="HEX",
        show_default="random",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="Model that the agent may use, at http://127.0.0.1:8080 in its sandbox (docs/models.md), and what the "
        "upstream calls it, where that differs; may be repeated, the agent's main model first.",
        metavar="NAME[=UPSTREAM]",
        show_default=False,
    ),
]
ModelUrl = Annotated[
    str | None,
    typer.Option(
        "--model-url",
        help="Base URL of the model; by default $AFFIDAVIT_MODEL_URL, or the provider whose key is in $OPENAI_API_KEY, "
        "$ANTHROPIC_API_KEY or $GEMINI_API_KEY.",
        metavar="URL",
        show_default=False,
    ),
]
ModelScript = Annotated[
    Path | None,
    typer.Option(
        "--model-script",
        help="File of scripted answers that replace the model (JSON).",
        metavar="FILE",
        show_default=False,
    ),
]
ModelBudget = Annotated[
    str,
    typer.Option(
        "--model-budget",
        help="Limits for each trial.",
        metavar="requests=N,tokens=N,seconds=N,cost=DOLLARS",
        show_default=False,
    ),
]
ModelPrices = Annotated[
    Path | None,
    typer.Option(
        "--model-prices",
        help="File with what models cost (TOML; docs/models.md), for cost=DOLLARS and for the record.",
        metavar="FILE",
        show_default=False,
    ),
]
ProviderTools = Annotated[
    bool,
    typer.Option("--provider-tools", help="Allow tools that the provider runs, and media that it fetches."),
]


def checked_nonce(text: str | None) -> str | None:
    """A nonce as a plan takes it; ends the program where it is none."""
    if text is not None and not re.fullmatch(r"[0-9a-f]{64}", text):
        fail(f"--nonce {text[:80]!r}: must be 64 digits of hex in lower case (openssl rand -hex 32)")
    return text
