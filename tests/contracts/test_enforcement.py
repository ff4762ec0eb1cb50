import pytest

from affidavit.contracts import COMBINATIONS, constructs, contract_of, treatment, treatments

FULL = {
    "schema": "affidavit.contract/v1",
    "id": "x",
    "version": "1.0.0",
    "expires": "2099-01-01",
    "files": {"read": ["/a/**"], "write": ["/b/**"], "deny": ["/c/**"]},
    "network": {"endpoints": ["a.b:1"]},
    "processes": {"exec": ["/usr/bin/x"], "max_processes": 3},
    "syscalls": {"deny": ["mount"]},
    "operations": {"forbid": ["system"]},
    "limits": {"wall_ms": 1, "cpu_ms": 2, "memory_mb": 3},
    "model": {"requests": 9, "models": ["m-*"], "tools": []},
    "scopes": [{"id": "cc", "for": ["/usr/bin/cc"], "files": {"write": ["/o/**"]}, "processes": {"exec": []}}],
    "rules": [{"id": "r", "count": {"op": ["exec"]}, "at_most": 2}],
}


@pytest.mark.parametrize(("runtime", "recorder"), COMBINATIONS)
def test_each_construct_of_a_contract_is_told(runtime: str, recorder: str) -> None:
    told = [one.construct for one in treatments(contract_of(FULL, "x"), runtime, recorder)]
    assert told == [
        *("files.read", "files.write", "files.deny", "network.endpoints", "processes.exec", "processes.max_processes"),
        *(
            "syscalls.deny",
            "limits.wall_ms",
            "limits.cpu_ms",
            "limits.memory_mb",
            "model.requests",
            "model.models",
            "model.tools",
        ),
        *("expires", "operations.system"),
        *("scopes.cc.files.write", "scopes.cc.processes.exec", "rules.r"),
    ]


@pytest.mark.parametrize(("runtime", "recorder"), COMBINATIONS)
def test_all_but_one_is_prevented_or_detected(runtime: str, recorder: str) -> None:
    neither = set()
    for construct in constructs():
        of = treatment(construct, runtime, recorder)
        neither |= {construct} if (of.prevented, of.detected) == ("no", "no") else set()
    assert neither == ({"limits.cpu_ms"} if runtime == "gvisor" else set())


def test_what_the_sentry_does_not_tell() -> None:
    assert treatment("syscalls.deny", "runc", "ebpf").detected == "live"
    assert treatment("syscalls.deny", "gvisor", "gvisor").detected == "no"
    with pytest.raises(KeyError):
        treatment("files.read", "gvisor", "ebpf")
    with pytest.raises(KeyError):
        treatment("files.red", "runc", "ebpf")
