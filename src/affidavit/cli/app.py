"""Commands, flags and exit statuses."""

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.agent import agent_app
from affidavit.cli.authoring import learn, lint, new, schema
from affidavit.cli.contract import contract_app
from affidavit.cli.countersigning import countersign, reproduce
from affidavit.cli.explain import explain
from affidavit.cli.grade import grade_app
from affidavit.cli.image import image_app
from affidavit.cli.importing import import_app
from affidavit.cli.keys import keys_app
from affidavit.cli.output import USAGE_ERROR, Json, RootfsOutside, fail, interruptible, print_json
from affidavit.cli.profiles import profiles
from affidavit.cli.redteam import redteam
from affidavit.cli.report import compare, report, view
from affidavit.cli.retention import export, prune
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
from affidavit.cli.runs import plan as plan_command
from affidavit.cli.runs import prove
from affidavit.cli.serve import serve
from affidavit.cli.task import task_app
from affidavit.cli.trust import trust_app
from affidavit.cli.verbosity import is_quiet, set_up_logging

app = typer.Typer(
    name="affidavit",
    help="Run an AI agent in a sandbox, record from outside what it really did, and sign the evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(keys_app, name="keys")
app.add_typer(contract_app, name="contract")
app.add_typer(trust_app, name="trust")
app.add_typer(task_app, name="task")
app.add_typer(image_app, name="image")
app.add_typer(import_app, name="import")
app.add_typer(grade_app, name="grade")
app.add_typer(agent_app, name="agent")
for command in (new, learn, lint, schema):
    contract_app.command()(command)
app.command()(explain)
app.command()(profiles)
app.command()(prune)
app.command()(redteam)
app.command()(report)
app.command()(compare)
app.command("plan")(plan_command)
app.command()(prove)
app.command()(reproduce)
app.command()(countersign)
app.command()(view)
app.command()(serve)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"affidavit {version('affidavit')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log what is done; -vv logs details.", show_default=False)
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    set_up_logging(verbose, quiet)


@app.command()
def run(
    path: TaskPath,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            help="oracle: the task's own solution; nop: nothing; or an agent from affidavit agent list.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    agent_file: Annotated[
        Path | None,
        typer.Option("--agent-file", help="Definition of an agent (TOML).", metavar="FILE", show_default=False),
    ] = None,
    agent_cmd: Annotated[
        str | None,
        typer.Option(
            "--agent-cmd",
            help="A shell command to run in the sandbox; the instruction is at /instruction.md and in "
            "$AFFIDAVIT_INSTRUCTION.",
            metavar="CMD",
            show_default=False,
        ),
    ] = None,
    agent_name: AgentName = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            "--predictions",
            help="SWE-bench's predictions (JSON Lines): the agent applies each task's patch.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    runtime: RuntimeName = None,
    recorder: RecorderName = None,
    trials: Trials = None,
    workers: Annotated[int, typer.Option(help="Trials that run side by side.", min=1, max=256, metavar="N")] = 1,
    profile: ProfileName = None,
    alert: Annotated[
        list[str] | None,
        typer.Option(
            "--alert",
            help="Where violations are reported: https://… (signed with $AFFIDAVIT_ALERT_SECRET), command:PROGRAM, "
            "or a URL that apprise knows; may be repeated.",
            metavar="TO",
            show_default=False,
        ),
    ] = None,
    alerts: Annotated[
        Path | None, typer.Option(help="File of alert destinations (TOML).", metavar="FILE", show_default=False)
    ] = None,
    contract: ContractFlag = None,
    registry: RegistryFlag = None,
    trust: TrustFlag = None,
    model: Models = None,
    model_url: ModelUrl = None,
    model_script: ModelScript = None,
    model_replay: Annotated[
        Path | None,
        typer.Option(
            "--model-replay",
            help="Bundle of another trial: its model answers are replayed as long as the requests are the same.",
            metavar="BUNDLE",
            show_default=False,
        ),
    ] = None,
    model_budget: ModelBudget = "",
    model_prices: ModelPrices = None,
    provider_tools: ProviderTools = False,
    network: NetworkFlag = None,
    allow: Allowed = None,
    nonce: Nonce = None,
    out: Annotated[Path, typer.Option(help="Folder that gets a folder for this run.", metavar="DIR")] = Path("runs"),
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", help="The plan that this run must follow (affidavit plan).", metavar="FILE", show_default=False
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            help="The folder of a run that was interrupted: go on with its plan; finished trials are kept.",
            metavar="RUN",
            show_default=False,
        ),
    ] = None,
    timestamp: Annotated[
        str | None,
        typer.Option(
            "--timestamp",
            help="Time-stamping authority (RFC 3161) that stamps plan and statement.",
            metavar="URL",
            show_default=False,
        ),
    ] = None,
    rootfs_outside: RootfsOutside = False,
    as_json: Json = False,
) -> None:
    """Run an agent on tasks and judge it.

    Exit status: 0 every trial passed, 1 some failed, 2 usage error, 3 some violated their contract, 4 some were
    inconclusive or in error; the highest that applies.
    """
    from affidavit.agents import AgentError, load_agent
    from affidavit.alerts import AlertError, read_destination, read_destinations
    from affidavit.evaluation import (
        AccessOptions,
        Agent,
        PlanOptions,
        PolicyOptions,
        Predictions,
        RunError,
        RunOptions,
        run_suite,
    )
    from affidavit.evidence import EvidenceError, recorded_answers
    from affidavit.gateway import GatewayError, gateway_settings, network_named, read_allowed
    from affidavit.report import Progress, print_run
    from affidavit.trace import TraceError

    given = sum(one is not None for one in (agent, agent_cmd, agent_file, predictions))
    if given > 1 or (given == 0 and plan is resume is None):
        fail("say which agent: --agent NAME, --agent-file FILE, --agent-cmd CMD, or --predictions FILE (one of them)")
    if agent_name is not None and (given == 0 or predictions is not None):
        fail("--agent-name is for --agent, --agent-file or --agent-cmd")
    try:
        told = (*(read_destinations(alerts) if alerts else ()), *(read_destination(one) for one in alert or ()))
        chosen: Agent | Predictions | None = Agent.named(agent) if agent is not None else None
        if predictions is not None:
            chosen = Predictions(predictions)
        elif agent_file is not None:
            chosen = Agent.defined(load_agent(agent_file))
        elif agent_cmd is not None:
            chosen = Agent.shell(agent_cmd)
        if agent_name is not None and isinstance(chosen, Agent):
            chosen = chosen.called(agent_name)
        gateway = gateway_settings(
            model or (),
            os.environ,
            url=model_url,
            script=model_script,
            recording=None if model_replay is None else recorded_answers(model_replay),
            budget=model_budget,
            prices=model_prices,
            provider_tools=provider_tools,
        )
        options = RunOptions(
            runtime=runtime,
            recorder=recorder,
            trials=trials,
            workers=workers,
            out=out,
            policy=PolicyOptions(profile, contract, registry, trust),
            access=AccessOptions(gateway, network_named(network), read_allowed(allow or ())),
            plan=PlanOptions(plan, nonce=checked_nonce(nonce), timestamp=timestamp),
            resume=resume,
            alerts=told,
            rootfs_outside=rootfs_outside,
        )
        with (
            interruptible(", finished trials keep their bundles"),
            Progress(sys.stderr, quiet=as_json, silent=is_quiet()) as progress,
        ):
            result = run_suite(path, chosen, options, progress)
    except (RunError, AlertError, AgentError, GatewayError, EvidenceError, TraceError) as error:
        fail(error)
    if as_json:
        print_json(result.to_json())
    else:
        print_run(result, sys.stdout)
    raise typer.Exit(result.exit_status if export(result) else max(result.exit_status, 4))


@app.command()
def verify(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="A bundle folder, or the folder of a run.", metavar="BUNDLE|RUN", show_default=False),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option("--proof", help="Check this proof (affidavit prove) instead.", metavar="FILE", show_default=False),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            help="Public key (PEM) that must have signed; by default your own.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        Path | None,
        typer.Option(
            "--task",
            help="The task's folder: every deterministic grader then runs again.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            help="Trust file: who must have signed a bundle's contract, or a run's plan and statement.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    reproduced_by: Annotated[
        list[Path] | None,
        typer.Option(
            "--reproduced-by",
            help="Public key (PEM) that must have counter-signed every bundle (affidavit reproduce); may be repeated.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    expect_agent: Annotated[
        str | None,
        typer.Option(
            "--expect-agent",
            help="Who must have been evaluated, by name or by digest.",
            metavar="NAME[@VERSION]|sha256:…",
            show_default=False,
        ),
    ] = None,
    expect_model: Annotated[
        list[str] | None,
        typer.Option(
            "--expect-model",
            help="The model that must have been asked and have answered; may be repeated: all that may.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    expect_task: Annotated[
        str | None,
        typer.Option(
            "--expect-task",
            help="The task that must have been tried, by id or digest.",
            metavar="ID|sha256:…",
            show_default=False,
        ),
    ] = None,
    nonce: Annotated[
        str | None,
        typer.Option(
            "--nonce",
            help="The challenge that the plan must contain (32 bytes in hex).",
            metavar="HEX",
            show_default=False,
        ),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="For a run: allow its unpublished parts to be missing.")
    ] = False,
    tsa: Annotated[
        Path | None,
        typer.Option(
            "--tsa",
            help="Certificates (PEM) of the time-stamping authority that must have stamped a run.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    memory: Annotated[int, typer.Option("--memory", help="Memory limit.", metavar="MIB", min=256, max=1 << 20)] = 8192,
    as_json: Json = False,
) -> None:
    """Check a bundle or a run offline.

    For a bundle, the signature, files, Merkle roots, contract, grades, score and verdict are checked and recomputed.
    For a run, every bundle is checked, that none is missing or extra, and the totals.

    Exit status: 0 verified, 1 not verified, 2 usage error.
    """
    from affidavit.cli.memory import bounded_memory
    from affidavit.evidence import EvidenceError
    from affidavit.report import print_verification
    from affidavit.runs import ProofVerification, RunVerification, is_run, load_certificates, verify_proof, verify_run
    from affidavit.signing import load_public_key, read_trust
    from affidavit.tasks import TaskError
    from affidavit.verification import Expected, Verification, own_keys, verify

    if bundle is None:
        if proof is None:
            fail("name what to check: a BUNDLE, a RUN, or --proof FILE")
        bundle = proof
    elif proof is not None:
        fail("--proof is checked on its own; leave the bundle or run out")
    run = proof is None and is_run(bundle)
    if proof is not None and (task is not None or trust is not None or reproduced_by):
        fail("--task, --trust and --reproduced-by are not for a proof")
    expected = Expected(expect_agent, tuple(expect_model or ()), expect_task, checked_nonce(nonce))
    if proof is not None and expected:
        fail("--expect-agent, --expect-model, --expect-task and --nonce are not for a proof")
    if run and task is not None:
        fail("--task is for a bundle; give one of the run's bundles")
    if (public or tsa is not None) and not run:
        fail("--public and --tsa are for a run")
    try:
        with bounded_memory(memory):
            verification: Verification | RunVerification | ProofVerification
            keys = [load_public_key(key)] if key is not None else own_keys()
            reproducers = [load_public_key(one) for one in reproduced_by or ()]
            if proof is not None:
                verification = verify_proof(proof, keys)
            elif run:
                trusted = None if trust is None else read_trust(trust)
                authorities = [] if tsa is None else load_certificates(tsa)
                verification = verify_run(
                    bundle,
                    keys,
                    trusted,
                    public=public,
                    authorities=authorities,
                    reproduced_by=reproducers,
                    expected=expected,
                )
            else:
                verification = verify(bundle, key, task, trust, reproducers, expected)
    except (EvidenceError, TaskError) as error:
        fail(error)
    except MemoryError:
        fail(f"{bundle}: can't be checked in {memory} MiB of memory; allow more with --memory if you trust it", 1)
    if as_json:
        print_json(verification.to_json())
    else:
        print_verification(verification, sys.stdout)
        if isinstance(verification, ProofVerification) and verification.ok:
            print_json(verification.shown)
    raise typer.Exit(0 if verification.ok else 1)


@app.command()
def trace(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.", metavar="BUNDLE")],
    sql: Annotated[
        str | None,
        typer.Option(
            "--sql",
            help="A query over the tables events, grader_events, counts and model.",
            metavar="QUERY",
            show_default=False,
        ),
    ] = None,
    tree: Annotated[bool, typer.Option("--process-tree", help="Show the processes as a tree.")] = False,
    turn: Annotated[
        int | None,
        typer.Option(
            "--turn",
            help="Show what the model said in a turn, and what the agent did next.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    why: Annotated[
        int | None,
        typer.Option(
            "--why", help="Show which turn and which processes led to an event.", metavar="EVENT", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Query the record of a trial.

    Shows a summary by operation, the result of an SQL query, the process tree, or what a model turn led to.
    """
    from affidavit.evidence import beside
    from affidavit.report import print_process_tree, print_table, process_list
    from affidavit.trace import TraceError, query, read_trace

    if sum((sql is not None, tree, turn is not None, why is not None)) > 1:
        fail("--sql, --process-tree, --turn and --why exclude each other")
    if not bundle.is_dir():
        fail(f"{bundle}: no such bundle folder")
    default = (
        "SELECT op, count(*) AS events, count(*) FILTER (ret < 0) AS failed, count(DISTINCT path) AS paths "
        "FROM events GROUP BY op ORDER BY events DESC, op"
    )
    if turn is not None or why is not None:
        _trace_turns(bundle, turn, why, as_json)
        return
    try:
        if tree:
            events = read_trace(bundle / "agent" / "events.parquet")
            if as_json:
                print_json(process_list(events))
            else:
                print_process_tree(events, sys.stdout)
            return
        table = query(bundle, default if sql is None else sql, beside(bundle.absolute()))
    except TraceError as error:
        fail(error)
    if as_json:
        print_json(json.loads(json.dumps(table.to_pylist(), default=str)))
    else:
        print_table(table, sys.stdout)


def _trace_turns(bundle: Path, turn: int | None, why: int | None, as_json: bool) -> None:
    """``affidavit trace --turn N`` and ``--why EVENT``."""
    from affidavit.evidence import MODEL_LOG, BundleReader, EvidenceError
    from affidavit.report import print_turn, print_why, turn_facts, why_facts
    from affidavit.trace import TraceError

    try:
        with BundleReader(bundle) as reader:
            if MODEL_LOG not in reader.names():
                fail(f"{bundle}: holds no {MODEL_LOG}: the agent had no model")
            facts = turn_facts(reader, turn) if turn is not None else why_facts(reader, why or 0)
    except (EvidenceError, TraceError) as error:
        fail(error)
    if as_json:
        print_json(facts)
    elif turn is not None:
        print_turn(facts, sys.stdout)
    else:
        print_why(facts, sys.stdout)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show which runtimes and recorders work on this machine.

    Also shows what each recorder can't see, and how to get what is missing.
    """
    from affidavit.evaluation import try_backends
    from affidavit.report import print_doctor

    found = try_backends()
    if as_json:
        print_json(found.to_json())
    else:
        print_doctor(found, sys.stdout)


def main() -> None:
    """Entry point of the command ``affidavit``."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # As standard error always does: whatever a terminal or a name may be, there is something to print.
        sys.stdout.reconfigure(errors="backslashreplace")
    with _ended_at_once():
        _main()


@contextmanager
def _ended_at_once() -> Iterator[None]:
    """An interrupt ends the process without ado, until a command has something to clean up and says otherwise: raised
    while libraries load, it may be lost in them."""
    before = signal.getsignal(signal.SIGINT)
    changes = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if changes:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if changes:
            signal.signal(signal.SIGINT, before)


def _main() -> None:
    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        text = error.format_message()
        # A bare `affidavit` or `affidavit keys` comes here with its help.
        typer.echo(text if text.startswith("Usage:") else f"affidavit: {text.rstrip('.')}; see --help", err=True)
        sys.exit(USAGE_ERROR)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo("affidavit: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; say nothing, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    sys.exit(status)
