"""The error of this room and of the evidence that rests on it."""

from affidavit.errors import AffidavitError


class EvidenceError(AffidavitError):
    """A key, an envelope, a trust document or a bundle can't be made or used; one clear line that names the file and
    the fix."""
