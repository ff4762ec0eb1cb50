"""Sandboxes: any OCI runtime through one bundle builder."""

from affidavit.sandbox.available_runtimes import Runtime, clean_stale, runtimes
from affidavit.sandbox.changes import Change, carry_over, diff
from affidavit.sandbox.container import OciSandbox
from affidavit.sandbox.final import FileFacts, LayerFiles
from affidavit.sandbox.kernel import open_in_root
from affidavit.sandbox.packed import look_at_usr
from affidavit.sandbox.programs import Program, pristine_program
from affidavit.sandbox.protocol import (
    Availability,
    Entrance,
    ExecEnd,
    ExecSpec,
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
from affidavit.sandbox.state import Owner, state_dir

__all__ = [
    "Availability",
    "Change",
    "Entrance",
    "ExecEnd",
    "ExecSpec",
    "Exit",
    "FileFacts",
    "LayerFiles",
    "Limits",
    "Mount",
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
    "carry_over",
    "clean_stale",
    "diff",
    "host_rootfs",
    "lay_over",
    "look_at_usr",
    "oci_rootfs",
    "open_in_root",
    "pristine_program",
    "runtimes",
    "state_dir",
    "tarball_rootfs",
]
