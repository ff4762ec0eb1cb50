"""The files that the grading of a container rests on, and those among them that an agent may change.

In a container an agent may change anything, so what grades must not rest on what it changed. A run of the verifier over
the image as it is, and one over the reference solution, show the programs, libraries, modules and settings that it
executes, opens or looks for in vain, and the folders that it lists to find them: the *footprint*. What an agent changed
of that is kept out of the grading, unless it is part of the *product*: the working directory, and what the reference
solution wrote. What programs look for without opening it, which no record shows, is a list here.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from posixpath import basename, dirname
from types import MappingProxyType
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from affidavit.contracts import matcher
from affidavit.events import Op
from affidavit.policy.accesses import leads_to
from affidavit.policy.renaming_links import resolved

# Linux, asm-generic/fcntl.h and asm/fcntl.h of x86.
_O_DIRECTORY = 0x10000

# Another one where the same footprint keeps out something else: a bundle is judged by the rules that it was made by.
_RULES = 2

_UNSEEN = (
    # The dynamic linker: access(2), and a cache in place of what it was made of.
    "/etc/{ld.so.preload,ld.so.cache,ld.so.conf,ld.so.conf.d/**}",
    # Shells, for whoever starts one as a login or interactive one.
    "/etc/{profile,profile.d/**,bash.bashrc,bash_completion.d/**,environment,inputrc,zsh/**,security/**,pam.d/**}",
    "/{home/*,root}/.{bashrc,bash_profile,bash_login,bash_aliases,bash_env,profile,zshrc,zshenv,zprofile,inputrc}",
    # What configures test frameworks in the folders above the tests; what every start of Python imports or runs; byte
    # code in place of its source.
    "affidavit:test-infrastructure",
    "!/logs/**",
    "**/{sitecustomize,usercustomize}.so",
    "**/*.{pth,pyc,egg-link}",
    # An archive of modules, the first place where Python looks.
    "**/python[0-9]*.zip",
    # Perl, Node and gcc: places before those where something was found.
    "/etc/perl/**",
    "/usr/local/{lib,share}/**/perl/**",
    "/{,home/}node_modules/**",
    "/{home/*,root}/.{node_modules,node_libraries}/**",
    "/usr/lib/gcc/**/{specs,plugin/**}",
    # Settings of tools.
    "/{home/*,root}/.{config/**,pythonrc.py,pdbrc,pypirc,pip/**,npmrc,yarnrc}",
    "/etc/{pip.conf,npmrc,python*/**}",
    # Names of machines, users and services.
    "/etc/{hosts,hostname,host.conf,nsswitch.conf,resolv.conf,gai.conf,services,protocols}",
    # git and what fetches.
    "/etc/gitconfig",
    "/{home/*,root}/.{gitconfig,curlrc,wgetrc,netrc}",
    # Which of several programs a name is.
    "/etc/alternatives/**",
    # Language, time, cryptography.
    "/etc/{locale.alias,locale.conf,locale.gen,default/**,localtime,timezone,ssl/*}",
    "/usr/lib/locale/**",
    "/usr/share/{i18n,zoneinfo}/**",
)
_UNSEEN_SINCE_2 = (
    # The kernel loads what loads a program; the dynamic linker asks once whether a folder of faster libraries is there,
    # and a conversion of characters is a library that is loaded by its name.
    "/{,usr/}lib*/**/ld-{linux*,musl-*,[0-9]*}.so*",
    "/**/{glibc-hwcaps,gconv}/**",
    "/usr/{,local/}lib/node/**",
    "/etc/{gitattributes,gemrc,mavenrc}",
    "/{home/*,root}/.{gemrc,mavenrc,m2/*,gradle/{init.gradle,init.d/**,gradle.properties}}",
    "/{,home/*/,root/}.cargo/config{,.toml}",
)
# By the rules of a footprint.
_UNSEEN_FILES = {1: matcher(_UNSEEN), 2: matcher((*_UNSEEN, *_UNSEEN_SINCE_2))}
_PROGRAM_NAMES = {1: matcher(("/**/{bin,sbin}/*",)), 2: matcher(("/**/{bin,sbin}/*", "/{usr,lib*}/**"))}
# Perl looks into a dozen folders by stat(2), and loads some of its own modules only where something asks for them.
_PERL_MODULES = matcher(("/**/*.{pm,ph,al}", "/**/auto/**/*.so"))
# What a package's scripts rewrite whatever is installed, and data: kept out, but nobody's program.
_PROGRAMS = matcher(("/{usr,bin,sbin,lib*,opt}/**", "!/usr/{share,lib/locale}/**", "!**/__pycache__/**"))
# Where Python looks for modules if the folder is there, which it finds out by stat(2).
_SEARCHED = re.compile(r"(?:/usr|/usr/local|/(?:root|home/[^/]+)/\.local)/lib/python[^/]*/(?:site|dist)-packages")
# What the kernel loads to run a program, which no record shows: by the names that glibc and musl give it.
_LOADERS = (
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
)
_COMPILED = re.compile(r"((?!.*/(?:site|dist)-packages/).*/)__pycache__/([^/.]+)\.[^/]*\.pyc")
_NODE_MODULES = (".js", ".cjs", ".mjs", ".node")
_VERSION = re.compile(r"-[^/-]+(\.(?:dist|egg)-info)(?=/|$)")


class NamedChange(Protocol):
    """A difference between the file system at the end and the pristine one; see the room `sandbox`."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def type(self) -> str: ...


@dataclass(frozen=True)
class KeptOut:
    """A change that is not carried over.

    Attributes:
        top: the topmost folder that was added and is kept out with it, or itself.
        replaced: a program, library or module was there before, which the verifier uses.
    """

    top: str
    replaced: bool


@dataclass(frozen=True)
class Footprint:
    """What verifiers use of a root file system. Names are spelled by encode_name.

    Attributes:
        workdir: the task's working directory.
        folders, files: what the reference solution made or changed.
        used: what verifiers executed, opened or looked for in vain; None: nobody looked, and everything outside of the
            product is kept out.
        programs: names under which they executed something, or look for it.
        listed: folders that they listed, or that Node looks into for a module.
        searched: folders in which they look for programs, PATH.
        gone: what the reference solution deleted.
        homes: home folders of those who run them, other than ``/root`` and those in ``/home``.
        rules: the version of the rules by which changes are kept out.
    """

    workdir: str
    folders: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()
    used: frozenset[str] | None = None
    programs: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    searched: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    homes: frozenset[str] = frozenset()
    rules: int = _RULES

    @classmethod
    def observed(
        cls,
        workdir: str,
        written: Sequence[NamedChange],
        records: Iterable[pa.RecordBatch],
        path: Sequence[str] = (),
        *,
        links: Mapping[str, str] = MappingProxyType({}),
        looked_for: Iterable[str] = (),
        homes: Iterable[str] = (),
    ) -> "Footprint":
        """What the records of verifiers show.

        Args:
            workdir: the task's working directory.
            written: the changes of the reference solution; none where there is no solution.
            records: rows of EVENT_SCHEMA, of all runs of the verifier.
            path: folders in which they look for programs.
            links: the symlinks of the root file system as it is, and their targets: a record has the names behind them.
            looked_for: of programs that the tests look for without running them.
            homes: home folders of those who run verifiers.
        """
        made = [change for change in written if change.kind != "deleted"]
        used: set[str] = set()
        programs: set[str] = set()
        listed: set[str] = set()
        for batch in records:
            op = batch.column("op").dictionary_decode()
            rows = batch.filter(pc.is_in(op, value_set=pa.array([Op.OPEN_READ, Op.OPEN_WRITE, Op.EXEC], pa.utf8())))
            for row in rows.select(["op", "path", "flags", "ret", "exe", "argv"]).to_pylist():
                name = row["path"]
                if row["op"] == Op.EXEC:
                    names = [name, row["exe"], *(row["argv"] or [])[:1]]
                    used.update(one for one in names[:2] if one)
                    programs.update(basename(one) for one in names if one)
                elif name and row["flags"] & _O_DIRECTORY:
                    listed.add(name)
                elif name:
                    used.add(name)
        folders = {change.path for change in made if change.type == "directory" and change.kind == "added"}
        files = frozenset(_unversioned(change.path) for change in made if change.type != "directory")
        own = [
            one
            for one in used
            if one.endswith(_NODE_MODULES) and _unversioned(one) not in files and not _below(one, (*folders, workdir))
        ]
        listed.update(_node_folders(own))
        # git looks for a repository in every folder above the one that it is run in.
        used.update(f"{folder.rstrip('/')}/.git" for folder in ("/", *_above([workdir])))
        # Python opens compiled code in place of the source, as long as that has the same time. What pip may have
        # upgraded is kept out for where it lies, and is no violation.
        used |= {f"{match[1]}{match[2]}.py" for one in used if (match := _COMPILED.fullmatch(one))}
        places = {link: leads_to(link, target) for link, target in links.items()}
        used.update(resolved(loader, places) for loader in _LOADERS)
        used.update(_leading_to(places, used, {*listed, *path}))
        return cls(
            workdir,
            _unsearched(folders, listed, path),
            files,
            frozenset(used),
            frozenset(programs).union(looked_for),
            frozenset(listed),
            frozenset(path),
            frozenset(change.path for change in written if change.kind == "deleted"),
            frozenset(home for home in homes if home not in ("/", "/root") and dirname(home) != "/home"),
        )

    @property
    def without_product(self) -> "Footprint":
        """The same of verifiers whose solution's product does not count."""
        return replace(self, folders=(), files=frozenset(), gone=frozenset())

    def joined(self, other: "Footprint") -> "Footprint":
        """The footprint of what has both."""
        listed, searched = self.listed | other.listed, self.searched | other.searched
        used = None if self.used is None or other.used is None else self.used | other.used
        return Footprint(
            self.workdir,
            _unsearched({*self.folders, *other.folders}, listed, searched),
            self.files | other.files,
            used,
            self.programs | other.programs,
            listed,
            searched,
            self.gone | other.gone,
            self.homes | other.homes,
            min(self.rules, other.rules),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Footprint":
        """What `to_json` wrote.

        Raises:
            ValueError: it did not.
        """
        match {"gone": [], "homes": [], "rules": 1, **value}:
            case {
                "workdir": str() as workdir,
                "folders": list() as folders,
                "files": list() as files,
                "used": list() | None as used,
                "programs": list() as programs,
                "listed": list() as listed,
                "searched": list() as path,
                "gone": list() as gone,
                "homes": list() as homes,
                "rules": int() as rules,
            } if rules in _UNSEEN_FILES and all(
                isinstance(text, str)
                for text in (*folders, *files, *(used or ()), *programs, *listed, *path, *gone, *homes)
            ):
                known = None if used is None else frozenset(used)
                return cls(
                    workdir,
                    tuple(folders),
                    frozenset(files),
                    known,
                    frozenset(programs),
                    frozenset(listed),
                    frozenset(path),
                    frozenset(gone),
                    frozenset(homes),
                    rules,
                )
        raise ValueError("is no footprint")

    def to_json(self) -> dict[str, Any]:
        """The content of ``footprint.json``."""
        return {
            "workdir": self.workdir,
            "folders": [*self.folders],
            "files": sorted(self.files),
            "used": None if self.used is None else sorted(self.used),
            "programs": sorted(self.programs),
            "listed": sorted(self.listed),
            "searched": sorted(self.searched),
            "gone": sorted(self.gone),
            "homes": sorted(self.homes),
            "rules": self.rules,
        }

    def kept_out(self, changes: Sequence[NamedChange]) -> dict[str, KeptOut]:
        """Which of an agent's changes are kept out of the grading, by their paths."""
        # What is new with all that is in it.
        new = {change.path for change in changes if change.kind == "added"}
        if self.rules > 1:
            new |= {change.path for change in changes if change.kind == "modified" and change.type == "directory"}
        paths = pa.array([change.path for change in changes], pa.utf8())
        as_at_home = pa.array([self._at_home(change.path) for change in changes], pa.utf8())
        unseen_files = _UNSEEN_FILES[self.rules].mask(as_at_home).tolist()
        if self.rules > 1 and any(name.startswith("perl") for name in self.programs):
            perl = _PERL_MODULES.mask(paths).tolist()
            unseen_files = [one or other for one, other in zip(unseen_files, perl, strict=True)]
        masks = [_PROGRAM_NAMES[self.rules].mask(paths).tolist(), _PROGRAMS.mask(paths).tolist()]
        found: dict[str, KeptOut] = {}
        for change, unseen, named, program in zip(changes, unseen_files, *masks, strict=True):
            chain = [change.path]
            while (above := dirname(chain[-1])) in new:
                chain.append(above)
            if self._is_used(change, chain, unseen, named):
                there_before = change.kind in ("modified", "deleted") and change.type in ("file", "symlink")
                # A folder that was modified was something else.
                there_before |= self.rules > 1 and change.kind == "modified"
                replaced = program and there_before and change.path in (self.used or ())
                found[change.path] = KeptOut(change.path if unseen else chain[-1], replaced)
        return found

    def _at_home(self, path: str) -> str:
        """The name, in ``/root`` where it lies in another's home folder."""
        home = next((one for one in self.homes if path.startswith(f"{one}/")), None)
        return path if home is None else f"/root{path[len(home) :]}"

    def _is_used(self, change: NamedChange, chain: Sequence[str], unseen: bool, named: bool) -> bool:
        """Whether the grading rests on a change.

        Args:
            chain: it, and the folders above it that are new with it.
            unseen: no record would show that somebody looks for it.
            named: it lies where programs do.
        """
        path = change.path
        whole = self.workdir not in ("/", "/root", *self.homes) and dirname(self.workdir) != "/home"
        in_workdir = self.workdir != "/" and f"{path}/".startswith(f"{self.workdir}/")
        if (whole and in_workdir) or _unversioned(path) in self.files:
            return False
        if change.kind == "deleted" and path in self.gone:
            return False
        if unseen:
            return True
        if in_workdir or _below(path, self.folders):
            return False
        if self.used is None or path in self.used:
            return True
        if (named or dirname(path) in self.searched) and basename(path) in self.programs:
            return True
        if any(self._is_searched(dirname(one)) for one in chain if one != path or self._is_new(change)):
            return True
        fresh = chain if change.kind == "added" else chain[1:]
        if self.rules > 1 and any(one in self._folders_above or one in self.used for one in fresh):
            # In a folder that was not there, or was another by way of a link, and in which something was looked for.
            return True
        # What is no folder any more, or leads elsewhere, takes all below it along.
        return (change.type != "directory" or change.kind == "deleted") and path in self._folders_above

    def _is_new(self, change: NamedChange) -> bool:
        """Whether a file may say something that nobody has heard: a module that the tests did not import yet."""
        other = self.rules > 1 and change.kind in ("modified", "deleted") and change.type != "directory"
        return change.kind == "added" or other

    def _is_searched(self, folder: str) -> bool:
        """Whether any new name in a folder may be found in the place of another."""
        return folder in self.listed or _SEARCHED.fullmatch(self._at_home(folder)) is not None

    @cached_property
    def _folders_above(self) -> frozenset[str]:
        folders = self.listed | self.searched
        return folders | _above((*(self.used or ()), *folders))


def _unsearched(folders: Collection[str], listed: Collection[str], path: Collection[str]) -> tuple[str, ...]:
    """Those of some folders that are not searched: one that is, is nobody's, and only what the solution put into it is
    its product."""
    searched = {one for one in folders if one in listed or one in path or _SEARCHED.fullmatch(one)}
    return tuple(sorted({*folders} - searched - _above(searched)))


def _below(path: str, folders: Iterable[str]) -> bool:
    """Whether something lies in one of some folders, or is one."""
    return any(f"{path}/".startswith(f"{folder}/") for folder in folders)


def _node_folders(modules: Iterable[str]) -> set[str]:
    """The folders into which Node looks for what some modules load: by stat(2), which no record shows."""
    modules = [*modules]
    above = {"/", *_above(modules)}
    packages = {f"{folder.rstrip('/')}/node_modules" for folder in above if basename(folder) != "node_modules"}
    return packages | {dirname(module) for module in modules}


def _leading_to(links: Mapping[str, str], used: Collection[str], folders: Collection[str]) -> frozenset[str]:
    """The symlinks by way of which something that is used is found.

    Args:
        links: the symlinks, and where each leads by the names alone.
        used: files that are opened, executed or looked for.
        folders: folders in which something is looked for.
    """
    ends = {link: resolved(link, links) for link in links}
    wanted = {*used, *folders, *_above((*used, *folders))}
    found: set[str] = set()
    while more := {link for link, end in ends.items() if link not in found and (end in wanted or link in wanted)}:
        found |= more
        # What leads to a folder in which such a link lies.
        wanted |= more | _above(more)
    return frozenset(found)


def _above(paths: Iterable[str]) -> frozenset[str]:
    """The folders above some names, without the root."""
    above: set[str] = set()
    for path in paths:
        while (path := dirname(path)) not in ("", "/") and path not in above:
            above.add(path)
    return frozenset(above)


def _unversioned(path: str) -> str:
    """The name without the version that the folder of a Python distribution bears: another one may be installed."""
    return _VERSION.sub(r"\1", path)
