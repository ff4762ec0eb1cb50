"""A memory limit for this process, for work on untrusted files."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAGE = resource.getpagesize()


@contextmanager
def bounded_memory(mib: int) -> Iterator[None]:
    """Let this process have at most so many MiB of address space more than it has (RLIMIT_AS, setrlimit(2)): what would
    take more raises MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
    wanted = now + (mib << 20)
    limits = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
