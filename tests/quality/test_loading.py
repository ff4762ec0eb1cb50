"""Tests of tasks in which a library makes more of a solution's data than data."""

from pathlib import Path

import pytest

from affidavit.quality.loading import loaded_as_code

SUITE = Path(__file__).parents[2] / "examples" / "suite"

LOADED = [
    "import yaml\nyaml.unsafe_load(text)",
    "import yaml as y\ny.load(text, Loader=y.UnsafeLoader)",
    "from yaml import load, Loader\nload(text, Loader)",
    "import yaml\nyaml.load(open('out.yml'))",
    "import jinja2\njinja2.Template(path.read_text()).render(user=user)",
    "from jinja2 import Environment\nEnvironment().from_string(text).render()",
    "text = run('./prog').stdout\ntext.format(case)",
    "path.read_text().format(expected=1)",
    "import tarfile\nwith tarfile.open(path) as archive:\n    archive.extractall(folder)",
    "import shutil\nshutil.unpack_archive(path, folder)",
    "from lxml import etree\netree.parse('out.xml')",
]

READ = [
    "import yaml\nyaml.safe_load(text)",
    "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
    "import jinja2\njinja2.Template('{{ user }}').render(user=user)",
    "TEXT = '{}'\nTEXT.format(1)\n'{}'.format(2)",
    "'{}'.format(run('./prog').stdout)",
    "def test(text):\n    assert text.format(1)",
    "day.format('%Y')",
    "import tarfile\nwith tarfile.open(path) as archive:\n    archive.extractall(folder, filter='data')",
    "import tarfile\nwith tarfile.open(path) as archive:\n    archive.extractfile('a').read()",
    "import zipfile\nwith zipfile.ZipFile(path) as archive:\n    archive.extractall(folder)",
    "from lxml import etree\netree.parse('out.xml', etree.XMLParser(resolve_entities=False))",
    "import xml.etree.ElementTree as etree\netree.parse('out.xml')",
    "import json\njson.load(file)",
    "no python (",
]


@pytest.mark.parametrize("text", LOADED)
def test_it_is_named_with_its_line(text: str) -> None:
    assert [line for line, _, _ in loaded_as_code(text)] == [text.count("\n") + 1]


@pytest.mark.parametrize("text", READ)
def test_what_is_only_read_is_not(text: str) -> None:
    assert [*loaded_as_code(text)] == []


@pytest.mark.parametrize("path", sorted(SUITE.glob("*/tests/*.py")), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_the_example_suite_only_reads(path: Path) -> None:
    assert [*loaded_as_code(path.read_text())] == []
