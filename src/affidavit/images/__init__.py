"""Images: pulled, built, and kept by their digests."""

from affidavit.images.build import build_image
from affidavit.images.dockerfile import declared_workdir
from affidavit.images.errors import ImageError
from affidavit.images.pull import pull_image, stored_or_pulled
from affidavit.images.reference import Reference, parse_reference
from affidavit.images.store import MOST_IMAGE_BYTES, ImageStore, StoredImage

__all__ = [
    "MOST_IMAGE_BYTES",
    "ImageError",
    "ImageStore",
    "Reference",
    "StoredImage",
    "build_image",
    "declared_workdir",
    "parse_reference",
    "pull_image",
    "stored_or_pulled",
]
