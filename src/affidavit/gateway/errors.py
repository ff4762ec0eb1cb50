"""Errors of the gateways."""

from affidavit.errors import AffidavitError


class GatewayError(AffidavitError):
    """The gateway can't be made or its settings can't be used; one clear line, without a key."""
