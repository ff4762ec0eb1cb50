"""The part of a contract that a sandbox enforces: it prevents what it can of what is forbidden."""

from dataclasses import dataclass

from affidavit.contracts.contract import Contract
from affidavit.contracts.patterns import expand_braces, literal_folder

# Kernel file systems and devices: writable as far as the kernel allows, whatever the settings.
_KERNEL = ("/dev", "/proc", "/sys")


@dataclass(frozen=True)
class SandboxSettings:
    """A contract, compiled for a sandbox.

    Attributes:
        writable: folders that must be writable, none inside another, sorted. They cover every file that may be written;
            what else lies in them is only detected.
        deny_syscalls: calls to refuse beside those that no sandbox allows.
        wall_ms, cpu_ms, memory_mb, pids: bounds; None: the task's or the sandbox's own.
    """

    writable: tuple[str, ...]
    deny_syscalls: tuple[str, ...]
    wall_ms: int | None
    cpu_ms: int | None
    memory_mb: int | None
    pids: int | None


def compile_settings(contract: Contract) -> SandboxSettings:
    """Compile a contract for a sandbox.

    A pattern that begins with ``**`` makes no folder writable (it would make all of them so), but ``/**`` does.
    """
    folders = {
        literal_folder(pattern)
        for written in (*contract.write, *_written_in_scopes(contract))
        if not written.startswith(("!", "affidavit:", "**"))
        for pattern in expand_braces(written)
        if literal_folder(pattern) != "/" or pattern == "/**"
    }
    kept = [folder for folder in folders if not _inside(folder, _KERNEL)]
    limits = contract.document.limits
    return SandboxSettings(
        writable=tuple(sorted(folder for folder in kept if not _inside(folder, [f for f in kept if f != folder]))),
        deny_syscalls=contract.document.syscalls.deny,
        wall_ms=limits.wall_ms,
        cpu_ms=limits.cpu_ms,
        memory_mb=limits.memory_mb,
        pids=contract.document.processes.max_processes,
    )


def _written_in_scopes(contract: Contract) -> list[str]:
    return [pattern for scope in contract.document.scopes for pattern in scope.files.write or ()]


def _inside(folder: str, others: "list[str] | tuple[str, ...]") -> bool:
    return any(folder == other or folder.startswith(other.rstrip("/") + "/") for other in others)
