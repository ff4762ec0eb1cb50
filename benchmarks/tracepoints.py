"""The least that looking at every system call costs: eBPF programs that do nothing, on the tracepoints where a recorder
has to have its own (there are no others on kernels without fentry)."""

import subprocess
from pathlib import Path

ATTACHED = "attached"

_EMPTY = r"""
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
char LICENSE[] SEC("license") = "GPL";
SEC("raw_tp/sys_enter") int on_enter(void *context) { return 0; }
SEC("raw_tp/sys_exit") int on_exit(void *context) { return 0; }
"""
_LOADER = r"""
#include <bpf/libbpf.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 1 ? bpf_object__open(argv[1]) : NULL;
	struct bpf_program *program;
	if (!object || bpf_object__load(object))
		return 1;
	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			return 1;
	printf("attached\n");
	fflush(stdout);
	pause();
	return 0;
}
"""


def empty_programs(folder: Path) -> list[str]:
    """Compile them into `folder`; the command that has them attached once it has said `ATTACHED`, until it ends."""
    loader, programs = folder / "attach", folder / "empty.bpf.o"
    if not loader.exists():
        # Where Debian has <asm/types.h>, which clang does not look for when it compiles for eBPF.
        system = subprocess.run(["gcc", "-print-multiarch"], check=True, capture_output=True, text=True).stdout.strip()
        bpf = ["clang", "-g", "-O2", "-target", "bpf", f"-I/usr/include/{system}", "-x", "c", "-c", "-o", str(programs)]
        subprocess.run([*bpf, "-"], input=_EMPTY, text=True, check=True)
        command = ["gcc", "-O2", "-o", str(loader), "-x", "c", "-", "-lbpf"]
        subprocess.run(command, input=_LOADER, text=True, check=True)
    return [str(loader), str(programs)]
