"""Runs written by hand, for tests of what reads them: no sandbox is needed for that."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from affidavit.events import COUNT_SCHEMA, EVENT_SCHEMA, EXEC_SCHEMA
from affidavit.trace import write_counts, write_execs, write_model_log

RUN_ID = "20260101T000000Z-abcdef"
SCORES = {"pass": (1.0, 1.0), "fail": (0.0, 0.0), "violation": (0.0, 1.0), "inconclusive": (None, 1.0)}

MakeRun = Callable[..., Path]


def event(seq: int, op: str, **columns: Any) -> dict[str, Any]:
    """A row of a record."""
    return {
        "seq": seq,
        "ts_ns": 1_000_000_000 + seq * 1_000_000,
        "pid": 10,
        "tid": 10,
        "ppid": 1,
        "op": op,
        "flags": 0,
        "mode": 0,
        "ret": 0,
        "exe": "/usr/bin/sh",
        "comm": "sh",
        "uid": 1000,
        "gid": 1000,
        "source": "ebpf/kernel",
        **columns,
    }


def events(path: str = "/workspace/answer") -> list[dict[str, Any]]:
    """A small record: a shell starts a program, which writes a file and fails to connect."""
    child = {"pid": 11, "tid": 11, "ppid": 10, "exe": "/usr/bin/cp", "comm": "cp"}
    return [
        event(0, "exec", path="/usr/bin/sh", argv=["sh", "-c", "go"]),
        event(1, "fork", ret=11),
        event(2, "exec", **child, path="/usr/bin/cp", argv=["cp", "a", path]),
        event(3, "create", **child, path=path),
        event(4, "connect", **child, addr="10.0.0.1", port=80, proto="tcp", ret=-101),
        event(5, "exit", **child),
        event(6, "exit", ret=1),
    ]


def violation(**columns: Any) -> dict[str, Any]:
    """A violation as in verdict.json."""
    return {
        "rule": "files.write",
        "severity": "high",
        "action": "flag",
        "message": "cp (pid 11) created /workspace/answer",
        "events": [3],
        "count": 1,
        "stage": "agent",
        **columns,
    }


def attempt(**columns: Any) -> dict[str, Any]:
    """An attempt as in verdict.json."""
    return {
        "rule": "network.endpoints",
        "outcome": "refused",
        "message": "cp (pid 11) tried to connect to 10.0.0.1:80",
        "events": [4],
        "stage": "agent",
        "count": 1,
        **columns,
    }


def trial(task_id: str = "tiny", number: int = 0, verdict: str = "pass", **keys: Any) -> dict[str, Any]:
    """A trial as in run.json; `labels`, `record`, `changes`, `texts`, `content` and `grades` go into its bundle."""
    score, raw = SCORES.get(verdict, (None, None))
    return {
        "task_id": task_id,
        "trial": number,
        "agent": "oracle",
        "assurance": "separate",
        "verdict": verdict,
        "score": score,
        "raw_score": raw,
        "reasons": [],
        "violations": [violation()] if verdict == "violation" else [],
        "evidence": {
            "runtime": "runc",
            "recorder": "ebpf",
            "events": 7,
            "lost": 0,
            "complete": True,
            "gaps": ["a gap"],
        },
        "contract": {"id": "tiny", "version": "1.0.0", "digest": "sha256:00", "signed_by": None},
        "mode": "strict",
        "duration_ms": 1500,
        "bundle": "/elsewhere/bundle",
        **keys,
    }


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    path.write_bytes(content)


def write_bundle(bundle: Path, run_id: str, one: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """The files of a bundle that reports read; it is signed by nobody."""
    record = more.get("record") or events()
    stated = {name: one[name] for name in ("verdict", "score", "raw_score", "assurance", "reasons", "violations")}
    _write(bundle / "verdict.json", {**stated, **more.get("stated", {})})
    _write(
        bundle / "task.json",
        {"id": one["task_id"], "instruction": more.get("instruction", "Do it."), "labels": more.get("labels", {})},
    )
    _write(
        bundle / "environment.json",
        {
            "run_id": run_id,
            "agent": one["agent"],
            "trial": one["trial"],
            "runtime": "runc",
            "recorder": "ebpf",
            "kernel": more.get("kernel", "6.1"),
            "runtime_detail": "runc 1",
            **{name: more[name] for name in ("decoys", "identity") if name in more},
        },
    )
    payload = base64.b64encode(json.dumps({"predicate": {"contract": one["contract"]}}).encode()).decode()
    _write(bundle / "statement.dsse.json", {"payload": payload, "signatures": [{"keyid": "sha256:aa"}]})
    _write(bundle / "contract.json", {"id": "tiny"})
    _write(bundle / "diff.json", more.get("changes", []))
    if "texts" in more:
        _write(bundle / "texts.json", more["texts"])
    _write(bundle / "grades.json", {"score": one["raw_score"], "graders": more.get("grades", [])})
    for name, content in more.get("content", {}).items():
        _write(bundle / "files" / name, content)
    summary = {"recorder": "ebpf", "events": len(record), "lost": 0, "complete": True}
    _write(bundle / "agent/summary.json", {**summary, "reasons": [], "gaps": more.get("gaps", ["a gap"]), "facts": {}})
    _write(bundle / "agent/exit.json", {"code": 0, "signal": None, "timed_out": False, "oom": False, "halted": False})
    _write(bundle / "agent/stdout", more.get("stdout", b"said\n"))
    _write(bundle / "agent/stderr", b"")
    pq.write_table(pa.Table.from_pylist(list(record), EVENT_SCHEMA), bundle / "agent/events.parquet")
    write_counts(bundle / "agent/counts.parquet", COUNT_SCHEMA.empty_table())
    if "turns" in more:
        write_model_log(bundle / "agent/model.parquet", more["turns"])
    if "execs" in more:
        write_execs(bundle / "agent/execs.parquet", pa.Table.from_pylist(more["execs"], EXEC_SCHEMA))


def turn(number: int, said: str = "I will.", call: str = "ls", **columns: Any) -> dict[str, Any]:
    """A row of a decision log: a question that was answered 10 ms later."""
    call_of = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": call}}
    answer = {"choices": [{"message": {"content": said, "tool_calls": [call_of]}}]}
    began = 1_000_000_000 + number * 1_000_000
    return {
        "turn": number, "started_ns": began, "answered_ns": began, "ended_ns": began + 500_000, "dialect": "openai",
        "operation": "chat", "method": "POST", "path": "/chat", "query": "", "model": "asked",
        "wire_model": "big-model",
        "outcome": "answered", "status": 200, "reason": "", "stripped": [], "input_tokens": 1000, "output_tokens": 20,
        "estimated": False, "request_headers": "{}", "response_headers": '{"content-type": "application/json"}',
        "request": b"{}", "response": json.dumps(answer).encode("utf-8", "surrogatepass"), **columns,
    }  # fmt: skip


_IN_BUNDLE = (
    "labels", "record", "changes", "texts", "content", "grades", "stated", "instruction", "stdout", "kernel", "gaps",
    "turns", "execs", "decoys", "identity",
)  # fmt: skip


def write_run(folder: Path, trials: Sequence[Mapping[str, Any]], run_id: str = RUN_ID) -> Path:
    """The folder of a run; of trials with `bundled=False` there is no bundle."""
    folder.mkdir(parents=True)
    stated = []
    for number, given in enumerate(trials):
        one = {key: value for key, value in given.items() if key not in (*_IN_BUNDLE, "bundled")}
        more = {key: value for key, value in given.items() if key in _IN_BUNDLE}
        stated.append(one)
        if given.get("bundled", True):
            place = folder / one["task_id"].replace("/", "__") / str(one["trial"])
            assert place.resolve().is_relative_to(folder.resolve()), f"trial {number} would lie elsewhere"
            write_bundle(place / "bundle", run_id, one, more)
    _write(folder / "run.json", {"run_id": run_id, "notes": [], "keep_until": None, "trials": stated})
    return folder
