"""`make demo-model` without the model: how its file is joined and checked, and what becomes of the tasks."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from affidavit.agents import load_agent
from affidavit.contracts import load_contract
from affidavit.tasks import find_tasks, load_task

REAL_MODEL = Path(__file__).parents[2] / "examples" / "real-model"


def loaded(name: str) -> ModuleType:
    """A program of the folder, as a module."""
    spec = importlib.util.spec_from_file_location(f"real_model_{name}", REAL_MODEL / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packages of a model in two parts, whose code must not run."""
    packages = tmp_path / "packages"
    for number in (1, 2):
        data = packages / f"tiny_part{number}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").write_text("raise RuntimeError('a part was imported')\n")
        (data / f"part0{number}.bin").write_bytes(b"GGUF" * number)
    monkeypatch.setattr(sys, "path", [str(packages), *sys.path])
    return packages


def test_a_model_is_joined_and_checked(parts: Path, tmp_path: Path) -> None:
    serve = loaded("serve")
    whole = b"GGUF" * 3
    serve.MODELS["tiny"] = serve.Model("tiny_part", 2, hashlib.sha256(whole).hexdigest())
    path = serve.joined("tiny", tmp_path / "models")
    assert path.read_bytes() == whole
    path.write_bytes(b"another model")
    with pytest.raises(ValueError, match=r"tiny.gguf: has SHA-256 [0-9a-f]{64}, not [0-9a-f]{64}; remove it"):
        serve.joined("tiny", tmp_path / "models")


def test_a_part_that_is_not_installed_is_named(parts: Path, tmp_path: Path) -> None:
    serve = loaded("serve")
    serve.MODELS["tiny"] = serve.Model("tiny_part", 3, "0" * 64)
    with pytest.raises(ValueError, match="tiny_part3 is not installed; run make demo-model"):
        serve.joined("tiny", tmp_path / "models")
    assert not (tmp_path / "models" / "tiny.gguf").exists()


def test_every_model_has_a_lock_with_its_parts() -> None:
    for name, model in loaded("serve").MODELS.items():
        lines = (REAL_MODEL / f"{name}.lock").read_text()
        assert lines.count(model.package.replace("_", "-")) == model.parts
        assert lines.count("==") == model.parts + 1
        assert lines.count("--hash=sha256:") > model.parts


def test_tasks_get_more_time_and_nothing_else(tmp_path: Path) -> None:
    run = loaded("run")
    for task in find_tasks(run.SUITE):
        run.copy_task(task.path.name, tmp_path)
        copy, contract = (
            load_task(tmp_path / task.path.name),
            load_contract(tmp_path / task.path.name / "contract.yaml"),
        )
        assert copy.limits.agent_timeout_s == run.WALL_S
        assert copy.limits.verifier_timeout_s == task.limits.verifier_timeout_s
        limits = {"wall_ms": run.WALL_S * 1000, "cpu_ms": 600_000, "memory_mb": 2048}
        before = load_contract(task.path / "contract.yaml").document.model_dump(exclude_unset=True)
        assert contract.document.model_dump(exclude_unset=True) == before | {"limits": limits}
    with pytest.raises(ValueError, match="no-such-task: no task of"):
        run.copy_task("no-such-task", tmp_path)


def test_the_agents_of_the_folder_load() -> None:
    for path in REAL_MODEL.glob("*.toml"):
        assert load_agent(path).dialect == "openai"
