"""The behavioural contract in JSON with the keys ``contractId``, ``allowedSyscalls`` and so on, and what it means.

Users have such documents already. One is read, checked, and translated into the schema ``affidavit.contract/v1``, which
is what is judged, signed and kept in the bundle. docs/contracts.md says field by field what becomes of it.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from affidavit.contracts.document import SCHEMA, check_operation
from affidavit.contracts.fields import check_endpoint, check_id, check_pattern
from affidavit.contracts.privileged_calls import PRIVILEGED_CALLS
from affidavit.contracts.suggestions import did_you_mean
from affidavit.contracts.yaml import Positions
from affidavit.events import SYSTEM_CALLS

# Beside the privileged calls: what an agent that may read, write, run and fork has no need of. Who means to allow one
# names it.
_UNUSUAL = (
    *PRIVILEGED_CALLS,
    "add_key",
    "keyctl",
    "perf_event_open",
    "process_vm_readv",
    "ptrace",
    "request_key",
    "userfaultfd",
)

_READ = """
read pread64 readv preadv preadv2 open openat openat2 stat lstat fstat newfstatat statx access faccessat faccessat2
readlink readlinkat getdents getdents64 lseek getxattr lgetxattr fgetxattr listxattr
"""

_WRITE = """
write pwrite64 writev pwritev pwritev2 creat rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir link linkat
symlink symlinkat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat truncate ftruncate fallocate utime utimes
utimensat futimesat setxattr lsetxattr fsetxattr removexattr mknod mknodat fsync fdatasync sendfile copy_file_range
splice
"""

GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "read": frozenset(_READ.split()),
        "write": frozenset(_WRITE.split()),
        "exec": frozenset(("execve", "execveat")),
        "fork": frozenset(("fork", "vfork", "clone", "clone3")),
    }
)
"""What an entry of ``allowedSyscalls`` that is no system call stands for. A call's own name stands for its group."""

_KEYS = (
    "contractId",
    "allowedSyscalls",
    "allowedPaths",
    "allowedNetworkHosts",
    "forbiddenOperations",
    "maxExecutionMs",
)
# What a v1 field, which a warning may speak of, is called here.
_CALLED = {
    "network.endpoints": "allowedNetworkHosts",
    "operations.forbid": "forbiddenOperations",
    "files.read": "allowedPaths",
    "files.write": "allowedPaths",
    "limits.wall_ms": "maxExecutionMs",
}


def _call(text: str) -> str:
    if text not in GROUPS and text not in SYSTEM_CALLS:
        fix = did_you_mean(text, [*GROUPS, *SYSTEM_CALLS])
        raise ValueError(f"there is no group ({', '.join(GROUPS)}) and no system call {text[:60]!r}{fix}")
    return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"must be an absolute path, not {text[:60]!r}")
    check_pattern(_below(text))
    return text


def _signature(text: str) -> str:
    if text:
        raise ValueError(
            'a signature inside of the document is not read; leave it "" and sign the file with affidavit contract '
            "sign, which puts the signature beside it"
        )
    return text


_Texts = Annotated[tuple[str, ...], Field(max_length=2000)]


class BehavioralDocument(BaseModel):
    """The document as it is written.

    Attributes:
        contract_id: what it is called.
        allowed_syscalls: groups of system calls (see :data:`GROUPS`), or system calls by name; None: all groups.
        allowed_paths: folders and files that the agent may use, with all below them.
        allowed_network_hosts: names or addresses it may reach, on any port unless one is given.
        forbidden_operations: see :data:`affidavit.contracts.OPERATIONS`.
        max_execution_ms: wall time; None: the task's.
        signature: empty; a signature stands beside the document.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)

    contract_id: Annotated[str, AfterValidator(check_id)]
    allowed_syscalls: tuple[Annotated[str, AfterValidator(_call)], ...] | None = None
    allowed_paths: Annotated[tuple[Annotated[str, AfterValidator(_path)], ...], Field(max_length=2000)]
    allowed_network_hosts: tuple[Annotated[str, AfterValidator(check_endpoint)], ...] = ()
    forbidden_operations: tuple[Annotated[str, AfterValidator(check_operation)], ...] = ()
    max_execution_ms: Annotated[int, Field(ge=1, le=2**40)] | None = None
    signature: Annotated[str, AfterValidator(_signature)] = ""

    def translated(self) -> dict[str, Any]:
        """The same promise as plain values of the schema ``affidavit.contract/v1``."""
        named = self.allowed_syscalls
        groups = set(GROUPS) if named is None else {group for group in GROUPS if _stands_in(group, named)}
        patterns = [_below(path) for path in self.allowed_paths]
        value: dict[str, Any] = {
            "schema": SCHEMA,
            "id": self.contract_id,
            # The document has none; what is changed shows in the digest.
            "version": "1.0.0",
            "files": {
                "read": patterns if "read" in groups else [],
                "write": patterns if "write" in groups else [],
            },
            "syscalls": {"deny": [call for call in _UNUSUAL if call not in (named or ())]},
            "extends": ["affidavit:base"],
        }
        processes: dict[str, Any] = {}
        if "exec" not in groups:
            # The sandbox's own first command is one; it must be able to begin.
            processes["exec"] = ["/bin/sh"]
        if "fork" not in groups:
            processes["max_processes"] = 1
        if processes:
            value["processes"] = processes
        if self.allowed_network_hosts:
            value["network"] = {"endpoints": list(self.allowed_network_hosts)}
        if self.forbidden_operations:
            value["operations"] = {"forbid": list(self.forbidden_operations)}
        if self.max_execution_ms is not None:
            value["limits"] = {"wall_ms": self.max_execution_ms}
        return value

    @staticmethod
    def translated_positions(positions: Positions) -> Positions:
        """Where the parts of the translation stand in the text, beside its own parts.

        Args:
            positions: those of the document as it is written.
        """
        values = dict(positions.values)
        for field, key in _CALLED.items():
            own = {place[1:]: position for place, position in positions.values.items() if place[:1] == (key,)}
            values |= {(*field.split("."), *rest): position for rest, position in own.items()}
        return Positions(values)

    def warnings(self, of_translation: Iterable[str]) -> tuple[str, ...]:
        """What can't be honoured, by this document's own field names.

        Args:
            of_translation: the warnings on what it was translated into.
        """
        own = ["signature: is empty, so the contract is unsigned; affidavit contract sign signs it"]
        for call in self.allowed_syscalls or ():
            if call in _UNUSUAL:
                own.append(f"allowedSyscalls: {call} is no violation, but sandboxes let nobody make it")
        for warning in of_translation:
            field, colon, rest = warning.partition(":")
            own.append(_CALLED.get(field, field) + colon + rest)
        return tuple(own)


def is_behavioral(value: Mapping[str, Any]) -> bool:
    """Whether a document is of this kind and not of ``affidavit.contract/v1``."""
    return "schema" not in value and any(key in value for key in _KEYS)


def _below(path: str) -> str:
    """A path and everything below it; what has wildcards is a pattern as it stands."""
    if any(character in path for character in "*?[{"):
        return path
    return path.rstrip("/") + "/**"


def _stands_in(group: str, named: Iterable[str]) -> bool:
    return any(name == group or name in GROUPS[group] for name in named)
