"""``affidavit image``: building, pulling and listing images."""

import sys
import typing
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.output import Json, fail, print_json

if typing.TYPE_CHECKING:
    from affidavit.images import StoredImage

image_app = typer.Typer(help="Images: build, pull and list them.", no_args_is_help=True, rich_markup_mode=None)


@image_app.command()
def build(
    path: Annotated[Path, typer.Argument(help="A task folder, or a folder with a Dockerfile in it.", metavar="PATH")],
    network: Annotated[
        bool, typer.Option("--network", help="Let the build use this machine's network; by default it has none.")
    ] = False,
    build_arg: Annotated[
        list[str] | None,
        typer.Option("--build-arg", help="NAME=VALUE for an ARG of the Dockerfile; may be repeated.", metavar="ARG"),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds the build may take.", min=1, metavar="S")] = 3600,
    as_json: Json = False,
) -> None:
    """Build the image of a Dockerfile into the image store.

    The build sees a copy of the Dockerfile's folder and nothing else of this machine. Base images come from the image
    store; missing ones are pulled.

    Exit status: 0 built, or already in the store; 2 it can't be built.
    """
    from affidavit.images import ImageError, ImageStore, build_image
    from affidavit.sandbox import state_dir

    folder = path if (path / "Dockerfile").is_file() else path / "environment"
    arguments = dict(_pair(argument) for argument in build_arg or ())
    try:
        if not (folder / "Dockerfile").is_file():
            raise ImageError(f"{path}: holds no Dockerfile and no environment/Dockerfile")
        image = build_image(
            ImageStore(state_dir()),
            folder.absolute(),
            network=network,
            arguments=arguments,
            timeout_s=timeout,
            progress=None if as_json or not sys.stderr.isatty() else _tell,
        )
    except ImageError as error:
        fail(error)
    _show(image, as_json)


@image_app.command()
def pull(
    name: Annotated[str, typer.Argument(help="[REGISTRY/]PATH[:TAG][@sha256:DIGEST]", metavar="NAME")],
    timeout: Annotated[float, typer.Option(help="Seconds the pull may take.", min=1, metavar="S")] = 3600,
    as_json: Json = False,
) -> None:
    """Pull an image into the image store, replacing one of the same name.

    Tasks that name the image use the one that was pulled last, by digest. Credentials come from skopeo login or podman
    login (auth.json).

    Exit status: 0 pulled, 2 it can't be pulled.
    """
    from affidavit.images import ImageError, ImageStore, pull_image
    from affidavit.sandbox import state_dir

    try:
        image = pull_image(ImageStore(state_dir()), name, timeout_s=timeout)
    except ImageError as error:
        fail(error)
    _show(image, as_json)


@image_app.command("list")
def list_images(as_json: Json = False) -> None:
    """List the images of the image store.

    Exit status: 0, or 2 where the store can't be read.
    """
    from affidavit.images import ImageError, ImageStore
    from affidavit.report import printable
    from affidavit.sandbox import state_dir

    try:
        images = ImageStore(state_dir()).images()
    except ImageError as error:
        fail(error)
    if as_json:
        print_json({"images": [_facts(image) for image in images]})
        return
    for image in images:
        title = f"  {image.title}" if image.title else ""
        line = f"{image.name}  {image.digest[:19]}  {image.size / 1e6:.0f} MB  {image.added}{title}"
        sys.stdout.write(printable(line) + "\n")
    if not images:
        sys.stdout.write("no images\n")


def _pair(argument: str) -> tuple[str, str]:
    name, equals, value = argument.partition("=")
    if not name or not equals:
        fail(f"--build-arg {argument}: must be NAME=VALUE")
    return name, value


def _tell(text: str) -> None:
    from affidavit.report import printable

    typer.echo(f"affidavit: {printable(text, 120)}", err=True)


def _facts(image: "StoredImage") -> dict[str, object]:
    return {
        "name": image.name,
        "digest": image.digest,
        "bytes": image.size,
        "built_from": image.title or None,
        "added": image.added,
    }


def _show(image: "StoredImage", as_json: bool) -> None:
    from affidavit.report import printable

    if as_json:
        print_json(_facts(image))
    else:
        sys.stdout.write(printable(f"{image.name}  {image.digest}  {image.size / 1e6:.0f} MB") + "\n")
