"""What goes wrong with the model gateway."""


class GatewayError(Exception):
    """The gateway can't be made or its settings can't be used; one clear line, without a key."""
