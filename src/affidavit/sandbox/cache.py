"""Layers by key: made once, shared by all sandboxes, never written to afterwards."""

import contextlib
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from affidavit.sandbox import kernel
from affidavit.sandbox.archive import NAME_BYTES, too_large
from affidavit.sandbox.protocol import SandboxError
from affidavit.sandbox.state import Owner, locked, owner_gone


def layers_dir(state: Path) -> Path:
    """The folder that holds a folder for each layer."""
    return state / "layers"


def cached_layer(state: Path, key: str, build: Callable[[Path], None]) -> Path:
    """The layer of a key; `build` fills an empty folder where there is none yet. Two runs that want the same layer at
    the same time make it once; one that is killed meanwhile leaves no half layer.

    Args:
        state: the state folder.
        key: what the layer is made from, any text.
        build: raises SandboxError where it can't.

    Raises:
        SandboxError: `build` did, or the state folder can't be written.
    """
    name = hashlib.sha256(key.encode()).hexdigest()
    folder = layers_dir(state)
    layer = folder / name
    if layer.is_dir():
        return layer
    try:
        # Layers hold set-id programs of whoever made an image.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / "locks" / name):
            if not layer.is_dir():
                owner = Owner.me()
                fresh = folder / f".new.{owner.pid}.{owner.start}.{uuid.uuid4().hex}"
                fresh.mkdir(mode=0o755)
                fresh.chmod(0o755)
                try:
                    build(fresh)
                    # A machine that loses power must not find a layer of empty files.
                    kernel.sync_file_system(fresh)
                    fresh.rename(layer)
                except BaseException:
                    shutil.rmtree(fresh, ignore_errors=True)
                    raise
    except OSError as problem:
        raise SandboxError(f"{folder}: no layer can be made there: {problem}") from None
    return layer


def image_layer_key(digest: str) -> str:
    """The key of an image's layer, by the digest of the blob that it is unpacked from."""
    return f"oci:{digest}"


def remove_image_layers(state: Path, digests: Iterable[str]) -> None:
    """Remove what was unpacked of an image's layers, and packed of that. Nobody may be using them.

    Args:
        state: the state folder.
        digests: of the blobs that they were unpacked from.

    Raises:
        OSError: something can't be removed.
    """
    for digest in digests:
        name = hashlib.sha256(image_layer_key(digest).encode()).hexdigest()
        layer = layers_dir(state) / name
        if layer.is_dir():
            shutil.rmtree(layer)
        (layers_dir(state) / "sizes" / name).unlink(missing_ok=True)
        (state / "images" / f"layer-{name}.erofs").unlink(missing_ok=True)


def bound_layers(layers: Sequence[Path], origin: str, most_bytes: int) -> None:
    """Hold layers, which somebody with more storage may have made, to what a task may take.

    Args:
        layers: made by `cached_layer`.
        origin: what they come from, for an error.
        most_bytes: what all of them may take.

    Raises:
        SandboxError: they take more.
    """
    left = most_bytes
    for layer in layers:
        left -= _size(layer)
        if left < 0:
            raise SandboxError(too_large(origin, most_bytes))


def _size(layer: Path) -> int:
    """What a layer takes, as `unpack` counts it; looked at once, since a layer never changes."""
    kept = layer.parent / "sizes" / layer.name
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(kept.read_text())
    found = everything_below(os.fsencode(layer))
    size = sum(NAME_BYTES + (info.st_size if stat.S_ISREG(info.st_mode) else 0) for _, info in found)
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = kept.with_name(f".{kept.name}.{uuid.uuid4().hex}")
    fresh.write_text(str(size))
    fresh.replace(kept)
    return size


def remove_unfinished_layers(state: Path) -> None:
    """Remove what runs that were killed left of layers they were making."""
    folder = layers_dir(state)
    if folder.is_dir():
        for entry in os.scandir(folder):
            if entry.name.startswith(".new.") and owner_gone(folder / entry.name):
                shutil.rmtree(entry.path, ignore_errors=True)


def everything_below(top: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Everything below a folder, by its path."""
    waiting = [top]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [*entries]
        except FileNotFoundError:
            # A package manager is at work.
            continue
        for entry in found:
            try:
                yield entry.path, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
