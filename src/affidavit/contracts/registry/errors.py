"""Errors of registries."""

from affidavit.errors import AffidavitError


class RegistryError(AffidavitError):
    """A registry can't be used or does not take what is published; one clear line that names it and the fix."""
