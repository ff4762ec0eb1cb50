"""A task's ``environment/docker-compose.yaml``: the services that run beside its agent, read and checked."""

from affidavit.services.compose import (
    Build,
    ComposeError,
    ComposeFile,
    Condition,
    Dependency,
    Service,
    Volume,
    read_compose,
)

__all__ = [
    "Build",
    "ComposeError",
    "ComposeFile",
    "Condition",
    "Dependency",
    "Service",
    "Volume",
    "read_compose",
]
