"""Root file systems, as layers for an overlay."""

import contextlib
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from affidavit.sandbox.archive import HashedReader, unpack
from affidavit.sandbox.cache import bound_layers, cached_layer, image_layer_key
from affidavit.sandbox.host import NAMES, host_layer
from affidavit.sandbox.image import Descriptor, Layout
from affidavit.sandbox.merged import find_path
from affidavit.sandbox.packed import look_at_usr
from affidavit.sandbox.protocol import SandboxError, User


@dataclass(frozen=True)
class RootFilesystem:
    """A root file system, ready to be a sandbox's.

    Attributes:
        layers: lower layers, topmost first, for SandboxSpec.rootfs; never to be written to.
        host_usr: for SandboxSpec.host_usr.
        digest: the same for the same content.
        user: who is to run in it.
        env: the image's environment variables; none for others.
        workdir: the image's working directory, None where it names none.
        entrypoint, command: the image's; empty for others.
    """

    layers: tuple[Path, ...]
    host_usr: bool
    digest: str
    user: User
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


def host_rootfs(state: Path, user: User) -> RootFilesystem:
    """The machine's /usr and a made-up rest. Raises SandboxError."""
    # Done by the time that a sandbox wants it.
    look_at_usr()
    layer, key = host_layer(state, user)
    return RootFilesystem((layer,), True, f"sha256:{hashlib.sha256(key.encode()).hexdigest()}", user)


def tarball_rootfs(state: Path, source: Path, user: User, most_bytes: int) -> RootFilesystem:
    """The files of a tar archive: plain or compressed with gzip, bzip2, xz or zstd.

    Args:
        state: the state folder.
        source: the archive.
        user: who is to run in it.
        most_bytes: what it may take unpacked.

    Raises:
        SandboxError: it is none, takes more, or a name in it leads out of it.
    """
    try:
        with source.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            file.seek(0)

            def build(folder: Path) -> None:
                reader = HashedReader(file, "sha256")
                unpack(reader, folder, str(source), most_bytes, whiteouts=False)
                if f"sha256:{reader.hexdigest()}" != digest:
                    raise SandboxError(f"{source}: was changed while it was read")

            layer = cached_layer(state, f"tarball:{digest}", build)
            bound_layers([layer], str(source), most_bytes)
    except OSError as problem:
        raise SandboxError(f"{source}: can't be read: {problem.strerror}") from None
    return RootFilesystem((_names_layer(state), layer), False, digest, user)


def oci_rootfs(
    state: Path, source: Path, user: User | None, most_bytes: int, *, manifest: str | None = None
) -> RootFilesystem:
    """An OCI image layout, a folder or a tar archive of one.

    Args:
        state: the state folder.
        source: the layout.
        user: who is to run in it; the image's user where None.
        most_bytes: what all its layers may take unpacked.
        manifest: digest of the image's manifest, where the layout may hold several images.

    Raises:
        SandboxError: the layout is damaged, takes more, holds no image for this machine or several, or its user is
            unknown.
    """
    with contextlib.closing(Layout(source)) as layout:
        image = layout.image(manifest)
        layers: list[Path] = []
        for descriptor in image.layers:

            def build(folder: Path, descriptor: Descriptor = descriptor) -> None:
                with layout.blob(descriptor) as stream:
                    unpack(stream, folder, f"{source}: layer {descriptor.digest}", most_bytes, whiteouts=True)

            layers.insert(0, cached_layer(state, image_layer_key(descriptor.digest), build))
            bound_layers(layers, str(source), most_bytes)
    config = image.config
    try:
        return RootFilesystem(
            layers=(_names_layer(state), *layers),
            host_usr=False,
            digest=image.digest,
            user=user or image_user(str(config.get("User") or "0"), layers, str(source)),
            env=dict(entry.split("=", 1) for entry in config.get("Env") or [] if "=" in entry),
            workdir=config.get("WorkingDir") or None,
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
        )
    except (TypeError, AttributeError):
        raise SandboxError(f"{source}: the image's config has a field of the wrong type") from None


def image_user(wanted: str, layers: Sequence[Path], origin: str) -> User:
    """The user that an image names: ``user``, ``uid``, ``user:group``, ``uid:gid`` and mixtures, looked up in its own
    /etc/passwd and /etc/group.

    Args:
        wanted: what the image says.
        layers: the image's, topmost first.
        origin: what the image is called in an error.

    Raises:
        SandboxError: a name is not to be found there.
    """
    user, _, group = wanted.partition(":")
    uid, gid, name, home = int(user) if user.isdecimal() else -1, 0, user, "/"
    for fields in _table(layers, b"etc/passwd", 6):
        if fields[0] == user or (fields[2] == user and user.isdecimal()):
            uid, gid, name, home = int(fields[2]), int(fields[3]), fields[0], fields[5] or "/"
            break
    if uid < 0:
        raise SandboxError(f"{origin}: the image's user {user!r} is not in its /etc/passwd")
    if group.isdecimal():
        gid = int(group)
    elif group:
        gids = [int(fields[2]) for fields in _table(layers, b"etc/group", 3) if fields[0] == group]
        if not gids:
            raise SandboxError(f"{origin}: the image's group {group!r} is not in its /etc/group")
        gid = gids[0]
    return User(uid, gid, name, home)


def _table(layers: Sequence[Path], path: bytes, columns: int) -> list[list[str]]:
    """The well-formed lines of an account file."""
    with contextlib.ExitStack() as stack:
        entry = find_path(layers, path, stack)
        if entry is None or not stat.S_ISREG(entry.info.st_mode):
            return []
        with os.fdopen(os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=entry.folder), "rb") as file:
            lines = file.read(1 << 20).decode("utf-8", "replace").splitlines()
    rows = [line.split(":") for line in lines]
    return [row for row in rows if len(row) >= columns and all(field.isdecimal() for field in row[2 : min(columns, 4)])]


def _names_layer(state: Path) -> Path:
    """What images leave to whoever runs them: the names of the sandbox itself."""

    def build(folder: Path) -> None:
        etc = folder / "etc"
        etc.mkdir()
        etc.chmod(0o755)
        for name, text in NAMES.items():
            (etc / name).write_text(text)
            (etc / name).chmod(0o644)

    return cached_layer(state, f"names:{sorted(NAMES.items())}", build)


def lay_over(rootfs: RootFilesystem, source: Path, state: Path) -> RootFilesystem:
    """`rootfs` with the files of a folder laid over it. They belong to the root file system's user; folders that are
    there already keep their owner and mode.

    Args:
        rootfs: what is below.
        source: a folder of regular files, folders and symbolic links.
        state: the state folder.

    Raises:
        SandboxError: something else is in `source`, it can't be read, or it hides what is below.
    """
    user = rootfs.user
    if rootfs.host_usr and os.path.lexists(source / "usr"):
        raise SandboxError(f"{source / 'usr'}: nothing can be laid over the machine's /usr; use /opt, or give an image")
    digest = hashlib.sha256(f"{rootfs.digest} {user.uid} {user.gid}\n".encode())
    try:
        for path, info in _walk(source):
            name = os.fsencode(path.relative_to(source))
            digest.update(b"%d %o %s\0" % (len(name), info.st_mode, name) + _content_digest(path, info))
    except OSError as problem:
        raise SandboxError(f"{problem.filename}: can't be read: {problem.strerror}") from None
    key = f"over:{digest.hexdigest()}"
    layer = cached_layer(state, key, lambda folder: _build(folder, source, rootfs.layers, user))
    return replace(rootfs, layers=(layer, *rootfs.layers), digest=f"sha256:{digest.hexdigest()}")


def files_layer(source: Path, target: str, below: Sequence[Path], user: User, into: Path) -> Path:
    """Make a layer of the files of a folder, for one trial. They belong to a user; folders that are there already keep
    their owner and mode.

    Args:
        source: a folder of regular files, folders and symbolic links.
        target: where they are to be, an absolute path.
        below: the layers that the new one is put on, topmost first.
        user: who they belong to.
        into: the layer's folder, made here; its parent exists and it does not.

    Raises:
        SandboxError: something else is in `source`, it can't be read, or it hides what is below.
    """
    try:
        into.mkdir()
        into.chmod(0o755)
        place = Path()
        for part in filter(None, target.split("/")):
            place /= part
            _make_folder(into / place, _folder_below(below, os.fsencode(place), source), user, 0o755)
        _build(into, source, below, user, place)
    except OSError as problem:
        raise SandboxError(f"{problem.filename}: can't be laid over {target}: {problem.strerror}") from None
    return into


def _walk(source: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below a folder in a fixed order, each folder before what is in it."""
    for path in sorted(source.iterdir()):
        info = path.lstat()
        yield path, info
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(path)


def _content_digest(path: Path, info: os.stat_result) -> bytes:
    if stat.S_ISREG(info.st_mode):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    if stat.S_ISLNK(info.st_mode):
        return hashlib.sha256(os.fsencode(path.readlink())).digest()
    if stat.S_ISDIR(info.st_mode):
        return b""
    raise SandboxError(f"{path}: only files, folders and symbolic links can be laid over a root file system")


def _build(root: Path, source: Path, below: Sequence[Path], user: User, place: Path | None = None) -> None:
    """`place`: the folder in `root` that they are put into; None: `root` itself."""
    for path, info in _walk(source):
        relative = (place or Path()) / path.relative_to(source)
        target = root / relative
        if stat.S_ISDIR(info.st_mode):
            _make_folder(target, _folder_below(below, os.fsencode(relative), path), user, info.st_mode & 0o777)
        elif stat.S_ISLNK(info.st_mode):
            target.symlink_to(path.readlink())
            os.lchown(target, user.uid, user.gid)
        else:
            shutil.copyfile(path, target, follow_symlinks=False)
            os.chown(target, user.uid, user.gid)
            target.chmod(info.st_mode & 0o777)


def _make_folder(target: Path, there: os.stat_result | None, user: User, mode: int) -> None:
    """Make a folder with the attributes of the one that is `there`; where none is, with those given."""
    target.mkdir()
    target.chmod(stat.S_IMODE(there.st_mode) if there else mode)
    os.chown(target, there.st_uid if there else user.uid, there.st_gid if there else user.gid)


def _folder_below(layers: Sequence[Path], path: bytes, source: Path) -> os.stat_result | None:
    """Status of the folder of that path, None where there is nothing of that name. Raises SandboxError where it is
    something else than a folder: /bin is a link to usr/bin, and a folder in its stead would take all programs away."""
    with contextlib.ExitStack() as stack:
        entry = find_path(layers, path, stack)
        if entry is not None and not entry.is_folder():
            raise SandboxError(
                f"{source}: /{os.fsdecode(path)} is not a folder in the root file system but a link or file; "
                "put the files where it leads"
            )
        return None if entry is None else entry.info
