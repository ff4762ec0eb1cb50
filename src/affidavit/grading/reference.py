"""Files below a task's ``tests/`` that hold what a grader expects."""

import stat

from affidavit.grading.grader import Material

MOST_BYTES = 16 << 20


class ReferenceFault(Exception):
    """A file of the task's that a grader needs can't be used: the task's fault."""


def read_reference(material: Material, path: str) -> bytes:
    """The content of a file below ``tests/``.

    Raises:
        ReferenceFault: it is not there, is no regular file, or is larger than 16 MiB.
    """
    if material.reference is None:
        raise ReferenceFault(f"tests/{path} is needed, but the task's folder is not at hand")
    file = material.reference / path
    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ReferenceFault(f"tests/{path}: is no regular file")
        if info.st_size > MOST_BYTES:
            raise ReferenceFault(f"tests/{path}: is larger than {MOST_BYTES >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise ReferenceFault(f"tests/{path}: can't be read: {error.strerror}; a grader needs it") from None
