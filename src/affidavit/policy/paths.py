"""What a contract says of paths, computed once for each distinct one."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from affidavit.contracts import OPERATIONS, Contract, PathMatcher, escape, folders_above, matcher, same_programs
from affidavit.policy.attempts import evaluation_files, project_configuration
from affidavit.policy.scoping import AllOf, Lists

Bits = npt.NDArray[np.uint32]

READ = np.uint32(1 << 0)  # may be read
WRITE = np.uint32(1 << 1)  # may be written
DENIED = np.uint32(1 << 2)  # files.deny
PROTECTED = np.uint32(1 << 3)  # an exception (!) of files.write names it
EXEC = np.uint32(1 << 4)  # may be executed
CACHE = np.uint32(1 << 5)  # honest programs try to write there, and do without where they can't
ON_THE_WAY = np.uint32(1 << 6)  # a folder above one that may be read or written
OUTSIDE = np.uint32(1 << 7)  # not the working directory, /tmp or a device
SHELL = np.uint32(1 << 8)  # an executable that takes commands with -c
TO_WRITABLE = np.uint32(1 << 9)  # a folder above one that may be written
ON_EVALUATION = np.uint32(1 << 10)  # an attempt on it is a violation, whatever a contract says of attempts
# A project's own configuration that the contract lets no process write: it is never carried over (Judge.carried).
SET_ASIDE = np.uint32(1 << 11)
_FIRST_OPERATION = 12

# A row without a path breaks no rule on paths.
NO_PATH = READ | WRITE | EXEC

# Descriptors that are no files of the sandbox: pipe:[1], socket:[1], anon_inode:[eventpoll], host:[2] (gVisor), memfd
# and System V memory as d_path shows them. Only the kernel can make the latter two appear in the root.
_NO_FILE = r"\A(?:[a-z_]+:\[[^/]*\]?|(?:memfd|anon_inode|dmabuf|inotify):.*|/memfd:.*|/SYSV[0-9a-f]{8}.*)\z"

# Where programs keep what they can do without: byte code, caches, histories, settings. A *failed* attempt to write
# there is no violation. /usr/tmp and the like: Python's tempfile and others try them one after the other.
_CACHES = (
    "**/__pycache__/**",
    "**/*.py[co]",
    "/{home/*,root}",
    "/{home/*,root}/.*",
    "/{home/*,root}/.*/**",
    "/{var/tmp,usr/tmp}/**",
    "/{var/cache,var/lib/texmf,run/user}/**",
    "/dev/**",
    "/proc/*/{attr,task}/**",
    "/proc/*/{autogroup,clear_refs,loginuid,oom_adj,sched,setgroups,uid_map,gid_map}",
)

_SHELLS = ("**/{sh,bash,dash,ash,ksh,ksh93,mksh,zsh,fish,busybox,rbash,tcsh,csh,yash}",)

_FOR_EVERYONE = ("/instruction.md",)


class PathVerdicts:
    """A contract's lists, compiled, and what they said of the paths seen so far.

    Args:
        contract: has the lists and operations.
        lists: those that hold.
        workdir: the working directory, for operations.write_outside_workspace.
        given: folders and files that Affidavit itself put into the sandbox for this agent: it may read and run them.
    """

    def __init__(self, contract: Contract, lists: Lists, workdir: str, given: Sequence[str]) -> None:
        self.rules = lists.rules
        self.lists_programs = lists.exec is not None
        self._write = AllOf(lists.write)
        self._read = None if lists.read is None else AllOf(lists.read)
        self._deny = matcher(lists.deny)
        self._exec = None if lists.exec is None else AllOf(lists.exec, _programs)
        self._digests = [
            frozenset(one for one in programs if one.startswith("sha256:")) for programs in lists.exec or ()
        ]
        self._given = PathMatcher([*_FOR_EVERYONE, *(f"{escape(path)}/**" for path in given)])
        devices = ("/dev/**", "/proc/**")
        self._inside = PathMatcher([f"{escape(workdir).rstrip('/')}/**", "/{tmp,var/tmp}/**", *devices])
        self._caches = PathMatcher(_CACHES)
        self._shells = PathMatcher(_SHELLS)
        self._evaluation = evaluation_files()
        self._configuration = project_configuration(workdir)
        # What a process of any of these may write is carried over, whoever wrote it.
        written = [scope.files.write for scope in contract.document.scopes if scope.files.write is not None]
        lists_of_writers = (contract.write, *map(contract.with_write_of_packs, written))
        self._writers = [AllOf((patterns,)) for patterns in lists_of_writers]
        to_writable = folders_above([*(pattern for one in lists.write for pattern in one), escape(workdir) + "/**"])
        self._to_writable = pa.array(sorted(to_writable), pa.utf8())
        to_readable = folders_above([pattern for one in lists.read or () for pattern in one])
        self._on_the_way = pa.array(sorted(to_writable | to_readable), pa.utf8())
        forbidden = contract.document.operations.forbid
        with_paths = [name for name in forbidden if OPERATIONS[name].paths]
        self.operations: dict[str, np.uint32] = {
            name: np.uint32(1 << (_FIRST_OPERATION + index)) for index, name in enumerate(with_paths)
        }
        self._operations = [(bit, matcher(OPERATIONS[name].paths)) for name, bit in self.operations.items()]
        self._known: dict[str, int] = {}

    def allows_program(self, path: str, digest: str | None) -> bool:
        """Whether a program may run whose digest is known: each list must name it, by path or by digest."""
        if self._exec is None or not any(self._digests):
            return False
        by_path = self._exec.each(path)
        return all(named or digest in digests for named, digests in zip(by_path, self._digests, strict=True))

    # Bounded: an agent can make up names without end.
    _MAX_KNOWN = 1 << 18

    def of(self, paths: pa.Array) -> Bits:
        """The bits of distinct paths (none null)."""
        if len(paths) > self._MAX_KNOWN // 4:
            return self._evaluate(paths)
        known = self._known
        texts = paths.to_pylist()
        fresh = [text for text in texts if text not in known]
        if fresh:
            if len(known) + len(fresh) > self._MAX_KNOWN:
                known.clear()
                fresh = texts
            bits = self._evaluate(pa.array(fresh, pa.utf8()))
            known.update(zip(fresh, bits.tolist(), strict=True))
        return np.fromiter((known[text] for text in texts), np.uint32, len(texts))

    def _evaluate(self, paths: pa.Array) -> Bits:
        bits = np.zeros(len(paths), np.uint32)

        def put(bit: np.uint32, mask: npt.NDArray[np.bool_]) -> None:
            bits[mask] |= bit

        everything = np.ones(len(paths), np.bool_)
        writable = self._write.mask(paths)
        put(WRITE, writable)
        put(PROTECTED, self._write.excepted(paths))
        put(READ, everything if self._read is None else writable | self._read.mask(paths))
        put(EXEC, everything if self._exec is None else self._exec.mask(paths))
        put(DENIED, self._deny.mask(paths))
        put(CACHE, self._caches.mask(paths))
        put(OUTSIDE, ~self._inside.mask(paths))
        put(SHELL, self._shells.mask(paths))
        put(ON_THE_WAY, pc.is_in(paths, value_set=self._on_the_way).to_numpy(zero_copy_only=False))
        put(TO_WRITABLE, pc.is_in(paths, value_set=self._to_writable).to_numpy(zero_copy_only=False))
        configuration = np.logical_and.reduce([one.mask(paths) for one in self._configuration])
        put(ON_EVALUATION, self._evaluation.mask(paths) & ~configuration)
        kept_out = configuration & ~self._deny.mask(paths)
        for writer in self._writers if kept_out.any() else ():
            kept_out &= ~writer.mask(paths)
        put(SET_ASIDE, kept_out)
        for bit, operation in self._operations:
            put(bit, operation.mask(paths))
        given = self._given.mask(paths)
        if given.any():
            bits[given] = (bits[given] | READ | EXEC) & (WRITE | READ | EXEC | PROTECTED | OUTSIDE | SHELL)
        bits[pc.match_substring_regex(paths, pattern=_NO_FILE).to_numpy(zero_copy_only=False)] = NO_PATH
        return bits


def _programs(patterns: Sequence[str]) -> tuple[str, ...]:
    return same_programs(tuple(program for program in patterns if not program.startswith("sha256:")))
