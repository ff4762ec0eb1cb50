"""Errors of images."""

from affidavit.errors import AffidavitError


class ImageError(AffidavitError):
    """An image can't be built, pulled or read; one line with what is wrong, where, and what to do."""
