"""How fast a record is judged and written: synthetic events against a contract of 200 patterns and 20 rules
in CEL, on one core.

Usage: judge.py [EVENTS]
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from affidavit.contracts import Contract, contract_of
from affidavit.events import EVENT_SCHEMA, OPS
from affidavit.policy import Judge
from affidavit.trace import TraceWriter

BATCH = 1 << 18
DISTINCT = 20_000

RULES = [
    'forbid: e.op == "exec" && e.exe.endsWith("/nc")',
    'forbid: e.op == "connect" && e.port == 25',
    'forbid: e.path.startsWith("/proc/") && e.path.endsWith("/mem")',
    'forbid: e.op == "exec" && e.argv.exists(a, a.contains("base64"))',
    'forbid: e.path.matches("^/workspace/.*[.]pem$") && !e.ok',
    'forbid: e.path.glob("**/.ssh/**") && e.op in ["open_read", "open_write"]',
    'forbid: e.mode > 511 && e.op == "chmod"',
    'forbid: e.uid == 0 && e.op != "exit"',
    'require: e.op != "mount"',
    'require: e.gid >= 0 || e.op == "fork"',
    'require: trace.exists(e, e.op == "exec" && e.exe.endsWith("/gcc"))',
    'require: trace.all(e, !e.path.contains("secret"))',
    'require: trace.count(e, e.op == "exec") < 1000000',
    'forbid: trace.filter(e, e.op == "open_write").exists(w, w.path.endsWith(".so"))',
    'require: trace.count(e, e.op == "fork") >= 1 && trace.exists(x, x.op == "exit")',
    'forbid: trace.exists(e, e.op == "open_read" && e.path.startsWith("/workspace/part7/") && e.ret == -13)',
    'forbid: trace.exists(e, process.exe.endsWith("/gcc") && e.op == "connect")',
    'forbid: process.ancestors.exists(a, a.endsWith("/make")) && e.op == "sendto"',
    'require: trace.count(e, e.source != "ebpf/kernel") == 0',
    'require: !diff.exists(c, c.path.endsWith(".pth"))',
]


def contract(rules: int = len(RULES)) -> Contract:
    """200 patterns in all lists, half of them with `**` in the middle; and so many rules in CEL."""
    read = [f"/workspace/part{n}/**" for n in range(50)] + [f"/workspace/**/kept{n}-*.txt" for n in range(48)]
    write = [f"/workspace/part{n}/**/out*" for n in range(50)] + ["!**/conftest.py", "/workspace/part0/**"]
    deny = [f"/secret{n}/**/*.key" for n in range(25)] + [f"**/answer{n}.{{json,csv}}" for n in range(25)]
    return contract_of(
        {
            "schema": "affidavit.contract/v1",
            "id": "benchmark",
            "version": "1.0.0",
            "files": {"read": [*read, "/usr/**"], "write": write, "deny": deny},
            "syscalls": {"deny": ["mount"]},
            "rules": [
                {"id": f"rule{number}", **dict([rule.split(": ", 1)])} for number, rule in enumerate(RULES[:rules])
            ],
            "operations": {"forbid": ["system", "modify_test_runner"]},
            "extends": ["affidavit:base"],
        },
        "benchmark",
    )


def batches(events: int, distinct: int = DISTINCT) -> Iterator[pa.RecordBatch]:
    """Mostly opens of `distinct` paths, all allowed but one in 100,000; a fork, exec and exit now and then."""
    generator = np.random.default_rng(7)
    paths = pa.array(
        [f"/workspace/part{n % 50}/folder{n % 977}/file-{n}.py" for n in range(distinct)] + ["/etc/shadow"]
    )
    ops = pa.array(OPS)
    wanted = [OPS.index(name) for name in ("open_read", "fork", "exec", "exit")]
    exes = pa.array(["/usr/bin/python3.11", "/usr/bin/gcc"])
    for start in range(0, events, BATCH):
        rows = min(BATCH, events - start)
        kind = generator.choice(4, rows, p=[0.97, 0.01, 0.01, 0.01])
        op = np.array(wanted, np.int32)[kind]
        path = generator.integers(0, distinct, rows).astype(np.int32)
        path[generator.random(rows) < 1e-5] = distinct
        unnamed = (kind == 1) | (kind == 3)
        zeros, nulls = np.zeros(rows, np.int64), pa.nulls(rows, pa.utf8()).dictionary_encode()
        pid = generator.integers(100, 1000, rows).astype(np.int32)
        known = {
            "seq": np.arange(start, start + rows),
            "ts_ns": np.arange(start, start + rows) * 1000,
            "pid": pid,
            "tid": pid,
            "ppid": pid - 1,
            "op": pa.DictionaryArray.from_arrays(op, ops),
            "path": pa.DictionaryArray.from_arrays(pa.array(path, mask=unnamed), paths),
            "mode": zeros.astype(np.int32),
            "ret": np.where(kind == 1, 5000, zeros),
            "exe": pa.DictionaryArray.from_arrays(generator.integers(0, 2, rows).astype(np.int32), exes),
            "argv": pa.nulls(rows, pa.list_(pa.utf8())),
            "source": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array(["ebpf/kernel"])),
        }
        columns = []
        for field in EVENT_SCHEMA:
            value = known.get(field.name)
            if value is None:
                value = nulls if pa.types.is_dictionary(field.type) else pa.array(zeros).cast(field.type)
            columns.append((value if isinstance(value, pa.Array) else pa.array(value)).cast(field.type))
        yield pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)


@dataclass(frozen=True)
class Figures:
    """CPU seconds of judging and of writing, the making of the events not counted; what was found; the file's bytes."""

    judging: float
    writing: float
    found: int
    size: int


def measure(events: int, distinct: int = DISTINCT, rules: int = len(RULES)) -> Figures:
    """Judge and write `events` events batch for batch, as a trial does."""
    judge = Judge(contract(rules))
    judging = writing = 0.0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.parquet"
        with TraceWriter(file) as writer:
            for batch in batches(events, distinct):
                began = time.thread_time()
                writer.write(batch)
                written = time.thread_time()
                judge.feed(batch)
                writing += written - began
                judging += time.thread_time() - written
        began = time.thread_time()
        found = judge.finish()
        return Figures(judging + time.thread_time() - began, writing, len(found), file.stat().st_size)


def main() -> None:
    """Print one line for each number of distinct paths."""
    # Arrow must not use a second core.
    pa.set_cpu_count(1)
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    for distinct, rules in [(distinct, rules) for distinct in (200, DISTINCT, 500_000) for rules in (0, len(RULES))]:
        of = measure(events, distinct, rules)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{events} events, {distinct} distinct paths, 200 patterns, {rules} rules in CEL: "
            f"judged in {of.judging:.2f} s CPU, "
            f"{events / of.judging / 1e6:.1f} million events/s, {of.found} violations; written in {of.writing:.2f} s, "
            f"{of.size / events:.1f} bytes an event; peak {peak} MiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
