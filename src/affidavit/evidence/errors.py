"""The error of this room."""


class EvidenceError(Exception):
    """A key, an envelope or a bundle can't be made or used; one clear line that names the file and the mend."""
