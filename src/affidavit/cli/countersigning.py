"""``affidavit reproduce``: a bundle graded again and counter-signed; ``affidavit countersign``: further signatures on a
plan or a run."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, RootfsOutside, fail, print_json
from affidavit.cli.run_flags import RecorderName, RuntimeName

Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", help="Folder with the key that counter-signs; else your own.", metavar="DIR", show_default=False
    ),
]
SignersKey = Annotated[
    Path | None,
    typer.Option(
        "--key", help="Public key (PEM) that must have signed; else your own keys.", metavar="FILE", show_default=False
    ),
]


def reproduce(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder, its private part beside it.", metavar="BUNDLE")],
    task: Annotated[Path, typer.Option("--task", help="The task's folder.", metavar="FOLDER")],
    key: SignersKey = None,
    keys: Keys = None,
    runtime: RuntimeName = None,
    recorder: RecorderName = None,
    rootfs_outside: RootfsOutside = False,
    as_json: Json = False,
) -> None:
    """Grade a bundle again on this machine, and counter-sign it.

    Verifies the bundle, runs its hidden tests again over what the agent left, asks every other deterministic grader
    again, and signs only where everything comes out the same. affidavit verify reads the counter-signature, which lies
    beside the bundle.

    Exit status: 0 reproduced, 1 not, 2 usage error.
    """
    from affidavit.evaluation import RunError
    from affidavit.evaluation import reproduce as grade_again
    from affidavit.report import print_reproduction
    from affidavit.signing import EvidenceError, keys_dir, load_key

    try:
        signer = load_key(keys or keys_dir())
        result = grade_again(
            bundle,
            task,
            key,
            signer,
            runtime=runtime or "auto",
            recorder=recorder or "auto",
            rootfs_outside=rootfs_outside,
        )
    except (RunError, EvidenceError) as error:
        fail(error)
    if as_json:
        print_json(result.to_json())
    else:
        print_reproduction(result, sys.stdout)
    raise typer.Exit(0 if result.ok else 1)


def countersign(
    path: Annotated[Path, typer.Argument(help="A plan's file, or the folder of a run.", metavar="PLAN|RUN")],
    key: SignersKey = None,
    keys: Keys = None,
) -> None:
    """Add your signature to a plan, or to the plan and the statement of a run.

    A run is verified first, and signed only where everything holds. affidavit verify --trust FILE says whether there
    are as many signatures as it takes.

    Exit status: 0 signed, 1 the run does not verify, 2 usage error.
    """
    from affidavit.report import print_verification
    from affidavit.runs import countersign_plan, countersign_run, is_run
    from affidavit.signing import EvidenceError, keys_dir, load_key, load_public_key
    from affidavit.verification import own_keys

    try:
        signer = load_key(keys or keys_dir())
        if not is_run(path):
            if key is not None:
                fail("--key is for a run; whoever counter-signs a plan signs what it says")
            signed = countersign_plan(path, signer)
            names, said = [path], f"the plan {signed.plan.digest}"
        else:
            verification = countersign_run(path, [load_public_key(key)] if key is not None else own_keys(), signer)
            if not verification.ok:
                print_verification(verification, sys.stdout)
                raise typer.Exit(1)
            names, said = [path / "plan.dsse.json", path / "run.dsse.json"], f"run {path.name}"
    except EvidenceError as error:
        fail(error)
    typer.echo(f"{signer.key_id} signed {said}: {', '.join(map(str, names))}")
