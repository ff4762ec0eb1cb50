"""Sandboxes: any OCI runtime through one bundle builder."""

from affidavit.sandbox.cache import cached_layer
from affidavit.sandbox.changes import Change, carry_over, diff
from affidavit.sandbox.container import OciSandbox
from affidavit.sandbox.final import FileFacts, LayerFiles
from affidavit.sandbox.network import NetworkNamespace
from affidavit.sandbox.packed import look_at_usr
from affidavit.sandbox.programs import Program, pristine_program
from affidavit.sandbox.protocol import (
    Availability,
    Exit,
    Limits,
    Mount,
    Output,
    RuntimeHooks,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Streams,
    User,
)
from affidavit.sandbox.rootfs import RootFilesystem, host_rootfs, lay_over, oci_rootfs, tarball_rootfs
from affidavit.sandbox.runtimes import Runtime, clean_stale, runtimes
from affidavit.sandbox.state import Owner, state_dir

__all__ = [
    "Availability",
    "Change",
    "Exit",
    "FileFacts",
    "LayerFiles",
    "Limits",
    "Mount",
    "NetworkNamespace",
    "OciSandbox",
    "Output",
    "Owner",
    "Program",
    "RootFilesystem",
    "Runtime",
    "RuntimeHooks",
    "Sandbox",
    "SandboxError",
    "SandboxSpec",
    "Streams",
    "User",
    "cached_layer",
    "carry_over",
    "clean_stale",
    "diff",
    "host_rootfs",
    "lay_over",
    "look_at_usr",
    "oci_rootfs",
    "pristine_program",
    "runtimes",
    "state_dir",
    "tarball_rootfs",
]
