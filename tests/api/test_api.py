"""The public API, and the page that describes it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import affidavit
from harness import Home

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"


def test_every_name_is_there() -> None:
    assert all(getattr(affidavit, name) is not None for name in affidavit.__all__)
    assert dir(affidavit) == sorted(affidavit.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        affidavit.nothing  # noqa: B018


def test_importing_it_loads_nothing() -> None:
    program = """
import sys, affidavit
print(sorted(name for name in sys.modules if name.startswith(("affidavit", "pyarrow"))))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "['affidavit']\n"


def test_errors_have_one_base() -> None:
    errors = [getattr(affidavit, name) for name in affidavit.__all__ if name.endswith("Error")]
    assert all(issubclass(error, affidavit.AffidavitError) for error in errors)


def test_submodules_are_not_shadowed() -> None:
    """A function under the name of a submodule is lost once somebody imports that."""
    program = """
import importlib, pkgutil, types
import affidavit
# What needs a sandbox's own modules, or a peer that is not installed here.
apart = (".inside", ".harness", ".integrations.inspect", ".integrations.harbor")
for found in pkgutil.walk_packages(affidavit.__path__, "affidavit."):
    if not found.ispkg or any(part in found.name for part in apart):
        continue
    room = importlib.import_module(found.name)
    for part in pkgutil.iter_modules(room.__path__):
        exported = room.__dict__.get(part.name)
        if exported is not None and not isinstance(exported, types.ModuleType):
            print(f"{found.name}.{part.name}")
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == ""


def test_the_page_does_what_it_says(tmp_path: Path, at_home: Home) -> None:
    text = PAGE.read_text().replace('Path("runs")', repr(tmp_path / "runs").replace("PosixPath", "Path"))
    blocks = re.findall(r"^```(python|text)\n(.*?)^```", text, re.M | re.S)
    program = "\n".join(f"{code}\nprint('----')" for kind, code in blocks if kind == "python")
    expected = "".join(f"{said}----\n" for kind, said in blocks if kind == "text")
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **at_home.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == (expected, 0), ran.stderr
