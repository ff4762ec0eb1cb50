"""``affidavit plan``: what a run will try, signed before its first trial; ``affidavit prove``: one event or one trial,
shown without the rest."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json
from affidavit.cli.run_flags import (
    AgentName,
    Allowed,
    ContractFlag,
    ModelBudget,
    ModelPrices,
    Models,
    ModelScript,
    ModelUrl,
    NetworkFlag,
    Nonce,
    ProfileName,
    ProviderTools,
    RecorderName,
    RegistryFlag,
    RuntimeName,
    TaskPath,
    Trials,
    TrustFlag,
    checked_nonce,
)


def plan(
    path: TaskPath,
    out: Annotated[Path, typer.Option("--out", help="File to write the plan to.", metavar="FILE")],
    agent: Annotated[
        str | None, typer.Option("--agent", help="oracle or nop.", metavar="NAME", show_default=False)
    ] = None,
    agent_cmd: Annotated[
        str | None,
        typer.Option("--agent-cmd", help="A shell command to run in the sandbox.", metavar="CMD", show_default=False),
    ] = None,
    agent_name: AgentName = None,
    trials: Trials = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed from which each trial's $AFFIDAVIT_SEED is derived.",
            min=0,
            max=(1 << 53) - 1,
            metavar="N",
            show_default="random",
        ),
    ] = None,
    pass_rate: Annotated[
        float | None,
        typer.Option(help="The share of trials that must pass.", min=0, max=1, metavar="SHARE", show_default="1"),
    ] = None,
    runtime: RuntimeName = None,
    recorder: RecorderName = None,
    profile: ProfileName = None,
    contract: ContractFlag = None,
    registry: RegistryFlag = None,
    trust: TrustFlag = None,
    model: Models = None,
    model_url: ModelUrl = None,
    model_script: ModelScript = None,
    model_budget: ModelBudget = "",
    model_prices: ModelPrices = None,
    provider_tools: ProviderTools = False,
    network: NetworkFlag = None,
    allow: Allowed = None,
    nonce: Nonce = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            "--timestamp",
            help="Time-stamping authority (RFC 3161) that stamps the plan; the token goes beside it, in FILE.tsr.",
            metavar="URL",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Plan a run, and sign the plan before the first trial.

    Publish the file, then hand it to affidavit run --plan.
    """
    from affidavit.evaluation import AccessOptions, Agent, PlanOptions, PolicyOptions, RunError, RunOptions, plan_suite
    from affidavit.gateway import GatewayError, gateway_settings, network_named, read_allowed
    from affidavit.report import plan_document, print_plan
    from affidavit.runs import request_timestamp, token_beside
    from affidavit.signing import EvidenceError, write_whole

    if (agent is None) == (agent_cmd is None):
        fail("say which agent: --agent oracle, --agent nop, or --agent-cmd CMD (one of them)")
    if out.exists():
        fail(f"{out}: already exists; a published plan is not replaced")
    try:
        chosen = Agent.named(agent) if agent is not None else Agent.shell(agent_cmd or "")
        if agent_name is not None:
            chosen = chosen.called(agent_name)
        gateway = gateway_settings(
            model or (),
            os.environ,
            url=model_url,
            script=model_script,
            budget=model_budget,
            prices=model_prices,
            provider_tools=provider_tools,
        )
        options = RunOptions(
            runtime=runtime,
            recorder=recorder,
            trials=trials,
            policy=PolicyOptions(profile, contract, registry, trust),
            access=AccessOptions(gateway, network_named(network), read_allowed(allow or ())),
            plan=PlanOptions(seed=seed, pass_rate=pass_rate, nonce=checked_nonce(nonce)),
        )
        signed, made = plan_suite(path, chosen, options)
        if timestamp is not None:
            token = request_timestamp(timestamp, signed.envelope, signed.plan.signer)
            write_whole(token_beside(out), token)
        write_whole(out, signed.data())
    except (RunError, EvidenceError, GatewayError) as error:
        fail(error)
    if made:
        typer.echo(f"affidavit: made the signing key {signed.plan.signer}", err=True)
    if as_json:
        print_json(plan_document(signed.plan, out))
    else:
        print_plan(signed.plan, out, sys.stdout)


def prove(
    source: Annotated[Path, typer.Argument(help="A bundle folder, or the folder of a run.", metavar="BUNDLE|RUN")],
    out: Annotated[Path, typer.Option("--out", help="File to write the proof to.", metavar="FILE")],
    event: Annotated[
        int | None, typer.Option("--event", help="Of a bundle: the event's number.", min=0, metavar="SEQ")
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Whose record the event is in.", metavar="NAME")] = "agent",
    trial: Annotated[
        str | None,
        typer.Option("--trial", help="Of a run: the trial.", metavar="TASK/AGENT/NUMBER", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="Public key (PEM) of the run; else your own keys.", metavar="FILE", show_default=False
        ),
    ] = None,
) -> None:
    """Prove that one event is in a bundle, or one trial in a run, and show nothing else.

    An event is shown with its neighbours: up to 1,024 events that share a leaf of the Merkle tree. affidavit verify
    --proof checks the file with the public key alone.
    """
    from affidavit.runs import prove_event, prove_trial
    from affidavit.signing import EvidenceError, load_public_key, write_whole
    from affidavit.trace import TraceError
    from affidavit.verification import own_keys

    if (event is None) == (trial is None):
        fail("name what to prove: --event SEQ of a bundle, or --trial NAME of a run (one of them)")
    try:
        if event is not None:
            data, shown = prove_event(source, event, part)
            typer.echo(f"{out}: shows the events {shown.start} to {shown.stop - 1} of {part}", err=True)
        else:
            data = prove_trial(source, trial or "", [load_public_key(key)] if key is not None else own_keys())
        write_whole(out, data)
    except (EvidenceError, TraceError) as error:
        fail(error)
