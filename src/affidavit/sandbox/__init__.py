"""Sandboxes: any OCI runtime through one bundle builder."""

from affidavit.sandbox.available_runtimes import Runtime, clean_stale, runtimes
from affidavit.sandbox.cache import cached_layer, remove_image_layers
from affidavit.sandbox.cgroups import cgroup_path, remove_cgroups
from affidavit.sandbox.changed_layer import write_layer, write_points
from affidavit.sandbox.changes import Change, carry_over, changes_since, diff
from affidavit.sandbox.cleaning import unmount_below
from affidavit.sandbox.container import OciSandbox
from affidavit.sandbox.copied import CopiedPath, copy_paths
from affidavit.sandbox.disk import bounded_folder
from affidavit.sandbox.final import FileFacts, LayerFiles
from affidavit.sandbox.kernel import open_in_root, sync_file_system
from affidavit.sandbox.network import JoinedNamespace, NetworkNamespace
from affidavit.sandbox.packed import look_at_usr
from affidavit.sandbox.programs import Program, pristine_program
from affidavit.sandbox.protocol import (
    Availability,
    EarlierChanges,
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
    SharedFolder,
    Streams,
    User,
)
from affidavit.sandbox.root_links import symlinks
from affidavit.sandbox.rootfs import (
    RootFilesystem,
    files_layer,
    host_rootfs,
    image_user,
    lay_over,
    oci_rootfs,
    tarball_rootfs,
)
from affidavit.sandbox.state import Owner, locked, no_room, owner_gone, state_dir
from affidavit.sandbox.stirring import NUMBERED, Counters, read_counters, stir_counters

__all__ = [
    "NUMBERED",
    "Availability",
    "Change",
    "CopiedPath",
    "Counters",
    "EarlierChanges",
    "Entrance",
    "ExecEnd",
    "ExecSpec",
    "Exit",
    "FileFacts",
    "JoinedNamespace",
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
    "SharedFolder",
    "Streams",
    "User",
    "bounded_folder",
    "cached_layer",
    "carry_over",
    "cgroup_path",
    "changes_since",
    "clean_stale",
    "copy_paths",
    "diff",
    "files_layer",
    "host_rootfs",
    "image_user",
    "lay_over",
    "locked",
    "look_at_usr",
    "no_room",
    "oci_rootfs",
    "open_in_root",
    "owner_gone",
    "pristine_program",
    "read_counters",
    "remove_cgroups",
    "remove_image_layers",
    "runtimes",
    "state_dir",
    "stir_counters",
    "symlinks",
    "sync_file_system",
    "tarball_rootfs",
    "unmount_below",
    "write_layer",
    "write_points",
]
