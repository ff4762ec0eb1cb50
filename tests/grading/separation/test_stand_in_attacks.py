"""Solutions that would be paid without doing the work, against tests that run apart from them."""

import sqlite3
import sys

import pytest

from separated import Pair

HONEST_TEST = """
import dataclasses, pytest
import bad

def test_number():
    assert bad.answer(4) == 16

def test_about():
    assert bad.answer(4) == pytest.approx(16.0)
"""

LIARS = {
    "int-subclass": "class L(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\ndef answer(n): return L(1)",
    "str-subclass": "class L(str):\n    __eq__ = lambda s, o: True\n    __hash__ = str.__hash__\ndef answer(n): return L('x')",
    "equal-to-all": "class L:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\ndef answer(n): return L()",
    "reflected": "class L:\n    def __rsub__(s, o): return 0\n    def __abs__(s): return 0\n    __radd__ = __float__ = __rsub__\n"
    "def answer(n): return L()",
    "list-subclass": "class L(list):\n    def __eq__(s, o): return True\ndef answer(n): return L()",
    "float-subclass": "class L(float):\n    def __eq__(s, o): return True\ndef answer(n): return L(1)",
    "enum": "import enum\nclass L(enum.IntEnum):\n    A = 1\n    def __eq__(s, o): return True\n    __hash__ = int.__hash__\n"
    "def answer(n): return L.A",
    "namedtuple": "import collections\nclass L(collections.namedtuple('L', 'a')):\n    def __eq__(s, o): return True\n"
    "def answer(n): return L(1)",
    "record": "import dataclasses\n@dataclasses.dataclass\nclass L:\n    a: int = 1\n    def __eq__(s, o): return True\n"
    "def answer(n): return L()",
    "patched-record": "import dataclasses\n@dataclasses.dataclass\nclass L:\n    a: int = 1\nL.__eq__ = lambda s, o: True\n"
    "def answer(n): return L()",
    "hidden-in-list": "class L(int):\n    __eq__ = lambda s, o: True\ndef answer(n): return [L(1)]",
    "frames": "import sys\ndef answer(n):\n    f = sys._getframe()\n    while f:\n        for v in f.f_locals.values():\n"
    "            if v == 16: return v\n        f = f.f_back",
    "eval-right-side": "import ast, linecache, sys\ndef answer(n):\n    f = sys._getframe(1)\n    while f:\n"
    "        for node in ast.walk(ast.parse(''.join(linecache.getlines(f.f_code.co_filename)))):\n"
    "            if isinstance(node, ast.Assert):\n"
    "                return eval(compile(ast.Expression(node.test.comparators[0]), '', 'eval'), f.f_globals, f.f_locals)\n"
    "        f = f.f_back",
    "exit-on-import": "import sys\nsys.exit(0)",
    "exit-in-call": "import sys\ndef answer(n): sys.exit(0)",
    "hard-exit": "import os\ndef answer(n): os._exit(0)",
    "skip": "import pytest\ndef answer(n): pytest.skip('no')",
    "skip-on-import": "import pytest\npytest.skip('no', allow_module_level=True)",
    "xfail": "import pytest\ndef answer(n): pytest.xfail('no')",
    "pytest-exit": "import pytest\ndef answer(n): pytest.exit('no', returncode=0)",
    "unittest-skip": "import unittest\ndef answer(n): raise unittest.SkipTest('no')",
    "own-skipped": "class Skipped(BaseException): pass\nSkipped.__module__ = '_pytest.outcomes'\ndef answer(n): raise Skipped('no')",
    "interrupt": "def answer(n): raise KeyboardInterrupt",
    "generator-exit": "def answer(n): raise GeneratorExit",
    "plugin": "pytest_plugins = ['x']\ndef pytest_runtest_makereport(): pass\n__test__ = False\ndef answer(n): return 1",
    "deep": "def answer(n):\n    a = []\n    for _ in range(100000): a = [a]\n    return a",
    "cyclic": "def answer(n):\n    a = []\n    a.append(a)\n    return a",
    "huge-int": "def answer(n): return 1 << (1 << 27)",
    "wide": "def answer(n):\n    a = [0]\n    for _ in range(40): a = [a, a]\n    return a",
    "big": "def answer(n): return b'x' * (100 << 20)",
    "recursion": "def answer(n): return answer(n)",
    "names": "import builtins\n__builtins__ = 1\nanswer = builtins",
    "proc": "import glob, os\ndef answer(n):\n    for p in glob.glob('/proc/[0-9]*/mem'):\n        open(p, 'rb')\n    return 1",
}  # fmt: skip


@pytest.mark.parametrize("liar", LIARS)
def test_a_lie_is_not_paid(pair: Pair, liar: str) -> None:
    pair.solve(bad=LIARS[liar])
    assert pair.pytest(HONEST_TEST) not in (0, 5), pair.output
    assert "2 failed" in pair.output or "1 error" in pair.output, pair.output
    assert pair.words == 0


# S's side of the protocol taken over: what no honest server would send.
TAKEN_OVER = '''
import struct, sys
from affidavit_inside import serving, wire, values

class Own(serving.Writer):
    pass

def raw(reply):
    """Have the next answer be these bytes."""
    def send(self, *_):
        wire.send(self.connection, reply)
    serving.Session.send = send

def answer(n):
    {attack}
'''

FORGED = {
    "no-answer": "raw(b'a')",
    "unknown-kind": "raw(b'zzzz')",
    "truncated": "raw(b'a' + wire.joined([b'l' + struct.pack('>I', 5), b'N']))",
    "long-list": "raw(b'a' + wire.joined([b'l' + struct.pack('>I', 0xffffffff), b'N']))",
    "long-frame": "serving._session.connection.send(struct.pack('>I', 0xffffffff) + b'x')",
    "argument-of-no-number": "raw(b'a' + wire.joined([b'N', b'N', struct.pack('>I', 9999), b'N']))",
    "unknown-object-of-tests": "raw(b'a' + wire.joined([b'l' + struct.pack('>I', 2) + b's' + struct.pack('>I', 2) + b'ok'"
    " + b'k' + struct.pack('>Q', 7), b'l' + struct.pack('>I', 0)]))",
    "zero-step": "raw(b'a' + wire.joined([b'r' + b''.join(struct.pack('>I', 1) + b'\\0' for _ in range(3)), b'N']))",
    "bomb": "raw(b'a' + wire.joined([b'l\\0\\0\\0\\1' * 5_000_000 + b'N', b'N']))",
    "ask-nothing": "serving._session.ask('get', [1, '__class__'])",
    "ask-eval": "serving._session.ask('eval', ['1'])",
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_answer_fails_the_test_alone(pair: Pair, forged: str) -> None:
    pair.solve(bad=TAKEN_OVER.format(attack=FORGED[forged]))
    text = HONEST_TEST + "\n\ndef test_other():\n    assert 1 + 1 == 2\n"
    assert pair.pytest(text) == 1, pair.output
    assert "2 failed, 1 passed" in pair.output, pair.output


DESCRIBED = {
    "dunder-field": {"kind": "record", "fields": [["__eq__", "", None]]},
    "code-in-field": {"kind": "record", "fields": [["x=print(1)", "", None]]},
    "code-in-namedtuple": {"kind": "namedtuple", "fields": ["a: __import__('os')"], "defaults": {}},
    "no-fields": {"kind": "record", "fields": []},
    "enum-member": {"kind": "enum", "members": [["__eq__", 1]], "mixin": "", "flag": False},
    "enum-private": {"kind": "enum", "members": [["_value_", 1]], "mixin": "int", "flag": False},
    "skipping-exception": {"kind": "exception", "name": "Skipped", "module": "_pytest.outcomes"},
    "exit-base": {"kind": "exception", "bases": ["KeyboardInterrupt"]},
    "special": {"kind": "class", "specials": ["eq", "class", "getattribute", "instancecheck", "del", "class_getitem"]},
    "own-base": {"kind": "class", "bases": [1, 2, 3, 4, 5, 6, 7, 8]},
    "strange": {"kind": "class", "specials": 5, "bases": {}},
}

LYING = """
from affidavit_inside import serving
TOLD = {{"name": "L", "module": "builtins", "bases": [], "specials": [], "frozen": True, "order": False, **{told!r}}}

class L:
    def __eq__(self, other):
        return True

describe = serving.Session._describe
serving.Session._describe = lambda self, kind: TOLD if kind.__name__ == "L" else describe(self, kind)

def answer(n):
    return L()
"""


@pytest.mark.parametrize("lie", DESCRIBED)
def test_a_lie_about_a_class_is_not_paid(pair: Pair, lie: str) -> None:
    pair.solve(bad=LYING.format(told=DESCRIBED[lie]))
    assert pair.pytest(HONEST_TEST) == 1, pair.output
    assert "2 failed" in pair.output, pair.output
    assert pair.words == 0


PRYING = '''
import json
FOUND = []

def look(thing):
    """What can be had of an object of the tests."""
    for name in ("__globals__", "__code__", "__dict__", "__class__", "__self__", "__func__", "__closure__", "gi_frame",
                 "secret_module", "f_back", "_hidden", "tb_frame", "__reduce__", "__init__"):
        try:
            found = getattr(thing, name)
        except AttributeError:
            continue
        if "bad" not in str(type(found)) and name != "__class__" and name not in ("__dict__", "__reduce__", "__init__"):
            FOUND.append(name)
    from affidavit_inside import serving
    for name in ("__globals__", "__code__", "__dict__", "gi_frame", "__class__", "secret_module", "_hidden"):
        try:
            serving._session.ask("get", [thing, name])
        except Exception:
            continue
        FOUND.append(name)
    return FOUND
'''

PRIED = """
import json, bad

class Thing:
    secret_module = json
    _hidden = 42
    shown = 7

def numbers():
    yield 1

def test_nothing_is_had():
    secret = 42
    for thing in (Thing(), lambda: secret, numbers(), Thing().__init__):
        assert bad.look(thing) == []

def test_modules_do_not_pass():
    import test_hidden
    try:
        bad.look(test_hidden)
    except Exception:
        pass
    else:
        assert False
"""


def test_callbacks_show_plain_attributes_only(pair: Pair) -> None:
    pair.solve(bad=PRYING)
    assert pair.pytest(PRIED) == 0, pair.output


FILES = """
import os, bad, json, pathlib, pickle, pytest, subprocess, sys
WORKDIR = os.environ["AFFIDAVIT_WORKDIR"]
TESTS = os.environ["AFFIDAVIT_TESTS_DIR"]

def test_links_do_not_lead_to_the_tests():
    bad.link(WORKDIR, TESTS)
    for name in ("a", "b", "c/x", "d/e"):
        assert not os.path.exists(f"{WORKDIR}/{name}/test_hidden.py")
        assert not os.path.isfile(f"{WORKDIR}/{name}") or "def test_links" not in open(f"{WORKDIR}/{name}").read()

def test_nothing_is_written_elsewhere():
    bad.outside(TESTS)
    assert sorted(n for n in os.listdir(TESTS) if n != "__pycache__") == ["test_hidden.py"]
    assert not os.path.exists("/tmp/planted")

def test_nothing_that_is_obeyed_arrives():
    bad.obeyed(WORKDIR)
    found = {p.name for p in pathlib.Path(WORKDIR).rglob("*")}
    assert "fine.txt" in found
    assert not found & {"conftest.py", "pytest.ini", "x.pyc", "x.so", "sitecustomize.py", "x.pth", "METADATA"}

def test_the_tests_are_not_there():
    assert bad.exists(TESTS + "/test_hidden.py") is False

def test_nothing_of_it_runs_here():
    with pytest.raises(Exception, match="must not run"):
        exec(open(f"{WORKDIR}/bad.py").read())
    with pytest.raises(Exception, match="must not run"):
        exec(compile(open(f"{WORKDIR}/bad.py").read() + "\\n#", f"{WORKDIR}/bad.py", "exec"))
    import ast
    tree = ast.parse(open(f"{WORKDIR}/bad.py").read())
    with pytest.raises(Exception, match="must not run"):
        exec(compile(tree, "x", "exec"))
    bad.pickled(f"{WORKDIR}/p.dat")
    with pytest.raises(Exception, match="must not run"):
        pickle.load(open(f"{WORKDIR}/p.dat", "rb"))

def test_a_class_of_the_solution_can_not_be_derived_from():
    with pytest.raises(Exception, match="derive"):
        class Sub(bad.Base):
            pass
"""

BAD_FILES = """
import os, pickle

class Base: pass

class Boom:
    def __reduce__(self):
        return (os.system, ("true",))

def link(workdir, tests):
    os.chdir(workdir)
    os.symlink(tests, "a")
    os.symlink(tests + "/test_hidden.py", "b")
    os.mkdir("c")
    os.symlink("../../tests", "c/x")
    os.symlink(".", "d")
    os.symlink("d/../tests", "e")

def outside(tests):
    from affidavit_inside import serving
    serving.Session.changes = lambda self: [
        [[p, "f", 0o644, 1, b"planted"] for p in (tests + "/conftest.py", "/tmp/planted", os.getcwd() + "/../tests/x.py",
                                                "relative", tests)], [tests + "/test_hidden.py"]]

def obeyed(workdir):
    from affidavit_inside import serving, files
    def changes(self):
        now = files.scan([workdir])
        told = files.changes({}, now)
        return [told[0], told[1]]
    serving.Session.changes = changes
    os.makedirs(workdir + "/y.dist-info")
    for n in ("conftest.py", "pytest.ini", "x.pyc", "x.so", "sitecustomize.py", "x.pth", "y.dist-info/METADATA", "fine.txt"):
        open(workdir + "/" + n, "w").write("x")

def exists(path):
    return os.path.exists(path)

def pickled(path):
    pickle.dump(Boom(), open(path, "wb"))
"""


def test_files_and_code_of_the_solution_stay_out(pair: Pair) -> None:
    pair.solve(bad=BAD_FILES)
    assert pair.pytest(FILES) == 0, pair.output


def test_a_difference_is_a_word(pair: Pair) -> None:
    pair.solve(bad="class L:\n    def __sub__(s, o): return 0.0\n    __rsub__ = __sub__\ndef answer(n): return L()\n")
    text = "import unittest, bad\nclass A(unittest.TestCase):\n    def test_a(self): self.assertAlmostEqual(bad.answer(4), 16)\n"
    pair.pytest(text)
    assert pair.words == 1, pair.output


def test_what_tests_compare_with_is_not_the_solutions(pair: Pair) -> None:
    """A module of the solution does not stand in for one that is installed where the tests run."""
    pair.solve(bad="def answer(n):\n    return {}\n", yaml="def safe_load(text):\n    return {}\n")
    text = "import bad, yaml\ndef test_a():\n    assert bad.answer(4) == yaml.safe_load('{a: 16}')\n"
    assert pair.pytest(text) not in (0, 5), pair.output


STAR_TEST = """
import json, sys
import pytest
from bad import *

def test_sorted():
    assert sorted(order(["b", "a"])) == sorted(["a", "b"])

def test_raises():
    with pytest.raises(ValueError):
        refuse()
"""


def test_a_star_import_that_brings_built_in_names_is_a_word(pair: Pair) -> None:
    pair.solve(
        bad="__all__ = ['order', 'refuse', 'sorted']\nsorted = lambda x: 0\norder = lambda x: 0\n"
        "def refuse(): raise ValueError"
    )
    assert pair.pytest(STAR_TEST) == 0, pair.output
    assert pair.words == 1


def test_a_star_import_leaves_what_the_tests_have(pair: Pair) -> None:
    pair.solve(
        bad="import contextlib, json, sys\nclass pytest:\n    raises = contextlib.suppress\n"
        "def order(x): return x\ndef refuse(): pass"
    )
    assert pair.pytest(STAR_TEST) == 1
    assert "DID NOT RAISE" in pair.output, pair.output
    assert pair.words == 0


MOCK_TEST = """
from unittest.mock import Mock
import bad

def test_how():
    spy = Mock()
    bad.tell(spy)
    spy.assert_called_once_with(16)

def test_how_often():
    spy = Mock()
    bad.tell(spy)
    assert spy.call_count == 1
"""


@pytest.mark.parametrize(
    "liar",
    [
        "spy.configure_mock(assert_called_once_with=lambda *a: None, call_count=1)",
        "spy.mock_calls.append(1)",
        "spy.call_args_list.clear()",
        "spy.reset_mock()",
        "spy.assert_called_once_with",
    ],
)
def test_a_double_can_not_be_told_what_to_say(pair: Pair, liar: str) -> None:
    pair.solve(bad=f"def tell(spy):\n    {liar}")
    assert pair.pytest(MOCK_TEST) == 1
    assert "2 failed" in pair.output, pair.output


def test_a_double_notes_what_is_called(pair: Pair) -> None:
    pair.solve(bad="def tell(spy):\n    spy(16)\n    spy.done.at(3)")
    assert pair.pytest(MOCK_TEST) == 0, pair.output


@pytest.mark.parametrize("asked", ["bad.answer(n)", "bad.Answer().next"])
def test_a_map_that_the_solution_ends_is_a_word(pair: Pair, asked: str) -> None:
    pair.solve(bad="def answer(n=0): raise StopIteration\nclass Answer:\n    next = property(answer)")
    assert pair.pytest(f"import bad\ndef test_all():\n    assert all(map(lambda n: {asked} == 16, [4]))") == 0
    assert pair.words == 1


def test_an_iterator_may_end(pair: Pair) -> None:
    pair.solve(bad="def answer(n): yield n")
    assert pair.pytest("import bad\ndef test_all():\n    assert list(bad.answer(4)) == [4]") == 0, pair.output
    assert pair.words == 0


TYPED_TEST = """
import json, os, subprocess, sys
import pytest

WORKDIR = os.environ["AFFIDAVIT_WORKDIR"]

def run(code, **options):
    return subprocess.run([sys.executable, "-c", code], cwd=WORKDIR, capture_output=True, text=True, **options)

@pytest.mark.parametrize("options", [{}, {"env": {"PATH": os.environ["PATH"]}}])
def test_code_of_the_tests(options):
    assert run("import bad; assert bad.answer(4) == 16", **options).returncode == 0

def test_output():
    assert run("import bad; print(bad.answer(4)); bad.greet()").stdout == "16\\nhello\\n"

def test_data():
    assert run("import json; assert json.load(open('left.json')) == [16]").returncode == 0
"""


def test_code_that_a_test_types_runs_with_the_tests(pair: Pair) -> None:
    pair.solve(bad="def answer(n): return n * n\ndef greet(): print('hello')\n")
    (pair.folder / "solution" / "left.json").write_text("[16]")
    assert pair.pytest(TYPED_TEST) == 0, pair.output
    assert pair.words == 0


def test_code_that_a_test_types_is_not_ended_by_the_solution(pair: Pair) -> None:
    pair.solve(bad="import os\nos._exit(0)\n")
    (pair.folder / "solution" / "left.json").write_text("[1]")
    (pair.folder / "solution" / "json").mkdir()
    (pair.folder / "solution" / "json" / "__init__.py").write_text("import os\nos._exit(0)\n")
    assert pair.pytest(TYPED_TEST) == 1, pair.output
    assert "4 failed" in pair.output, pair.output


@pytest.mark.parametrize(
    "verifier",
    [
        "cd $W && python3 -c 'import bad; assert bad.answer(4) == 16'",
        "cd $W && echo 'import bad; assert bad.answer(4) == 16' | python3",
        "cd $W && echo 'import bad; assert bad.answer(4) == 16' | python3 -",
        "cd $W && python3 -m json.tool left.json",
        "cd $T && PYTHONPATH=$W:$PYTHONPATH python3 -c 'import bad; assert bad.answer(4) == 16'",
        "cd $T && PYTHONPATH=$W:$PYTHONPATH python3 -m unittest test_it",
    ],
)
@pytest.mark.parametrize("honest", [True, False])
def test_a_script_that_types_code_has_its_own_verdict(pair: Pair, verifier: str, honest: bool) -> None:
    leave = "import os\nos._exit(0)\n"
    pair.solve(bad="def answer(n): return n * n\n" if honest else leave)
    (pair.folder / "solution" / "left.json").write_text("[16]" if honest else "no")
    if not honest:
        for name in ("json", "encodings", "linecache"):
            (pair.folder / "solution" / name).mkdir()
            for part in ("__init__", "tool"):
                (pair.folder / "solution" / name / f"{part}.py").write_text(leave)
    pair.tests.mkdir()
    text = (
        "import unittest, bad\nclass A(unittest.TestCase):\n    def test_a(self): self.assertEqual(bad.answer(4), 16)\n"
    )
    (pair.tests / "test_it.py").write_text(text)
    status = pair.run(["sh", "-c", f"W={pair.workdir}; T={pair.tests}; {verifier}"], sources=False)
    assert (status == 0) == honest, pair.output
    assert pair.words == 0


def test_a_comparison_runs_with_the_tests(pair: Pair) -> None:
    pair.solve(
        bad="import glob, threading, time\ndef write(path):\n    open(path, 'w').close()\n"
        "    def later():\n        while not (found := glob.glob('/tmp/**/expected', recursive=True)): time.sleep(0.001)\n"
        "        open(path, 'w').write(open(found[0]).read())\n    threading.Thread(target=later).start()\n"
    )
    text = (
        "import os, subprocess\nimport bad\ndef test_a(tmp_path):\n    out = os.environ['AFFIDAVIT_WORKDIR'] + '/out'\n"
        "    bad.write(out)\n    (tmp_path / 'expected').write_text('16')\n"
        "    assert subprocess.run(['diff', out, tmp_path / 'expected']).returncode == 0\n"
    )
    assert pair.pytest(text) == 1, pair.output


def test_a_verdict_that_is_had_from_the_solutions_side_is_a_word(pair: Pair) -> None:
    pair.solve(bad="import os\nos._exit(0)\n")
    text = (
        "import os, subprocess\ndef test_a():\n    command = \"python3 -c 'import bad; assert bad.answer(4) == 16'\"\n"
        "    assert subprocess.run(command, shell=True, cwd=os.environ['AFFIDAVIT_WORKDIR']).returncode == 0\n"
    )
    assert pair.pytest(text) == 0, pair.output
    assert pair.words == 1


@pytest.mark.parametrize("command", ["[sys.executable, file]", "f'cd /; python3 -B {file}'", "['sh', file]", "[file]"])
def test_the_status_of_a_program_that_the_tests_wrote_is_a_word(pair: Pair, command: str) -> None:
    pair.solve(bad="import os\nos._exit(0)\n")
    text = (
        "import os, subprocess, sys\ndef test_a(tmp_path):\n    file = str(tmp_path / 'check')\n"
        "    code = f'import sys; sys.path.append({os.environ[\"AFFIDAVIT_WORKDIR\"]!r}); import bad; assert bad.answer(4) == 16'\n"
        f"    command = {command}\n"
        "    if 'python' not in command[0]:\n        code = '#!/bin/sh\\nexec python3 -c \"' + code + '\"\\n'\n"
        "    (tmp_path / 'check').write_text(code)\n    (tmp_path / 'check').chmod(0o755)\n"
        "    assert subprocess.run(command, shell=isinstance(command, str)).returncode == 0\n"
    ).replace("command[0]", "str(command)")
    assert pair.pytest(text) == 0, pair.output
    assert pair.words == 1


ATTACH_TEST = """
import os, sqlite3
from pathlib import Path
import bad

EXPECTED = str(Path(__file__).with_name("expected.db"))

def test_attached():
    with sqlite3.connect(EXPECTED) as database:
        database.execute("CREATE TABLE a AS SELECT 16 AS n")
    assert bad.answer(sqlite3.connect(":memory:"), EXPECTED) == 16
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before, connections have no limits")
def test_a_connection_does_not_reach_other_databases(pair: Pair) -> None:
    pair.solve(
        bad="def answer(connection, path):\n    connection.execute('CREATE TABLE b (n)')\n"
        "    connection.execute('ATTACH ? AS e', (path,))\n    return connection.execute('SELECT n FROM e.a').fetchone()[0]\n"
    )
    assert pair.pytest(ATTACH_TEST) == 1, pair.output
    assert "too many attached databases" in pair.output


@pytest.mark.skipif(sys.version_info < (3, 11), reason="before, connections have no limits")
def test_nor_by_another_limit(pair: Pair) -> None:
    pair.solve(
        bad="def answer(connection, path):\n    connection.setlimit(7, 10)\n    connection.execute('ATTACH ? AS e', (path,))\n"
        "    return connection.execute('SELECT n FROM e.a').fetchone()[0]\n"
    )
    assert pair.pytest(ATTACH_TEST) == 1, pair.output
    assert "no attribute 'setlimit' for the solution" in pair.output


@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.skipif(
    not hasattr(sqlite3.Connection, "enable_load_extension"), reason="this Python can't load extensions"
)
def test_a_connection_loads_no_library(pair: Pair, enabled: bool) -> None:
    """daemon(3) ends its process with status 0, whatever it is given."""
    ask = "" if enabled else "    connection.enable_load_extension(True)\n"
    pair.solve(
        bad=f"def answer(connection, path):\n{ask}    connection.execute(\"SELECT load_extension('libc.so.6', 'daemon')\")\n"
    )
    text = ATTACH_TEST.replace('sqlite3.connect(":memory:")', "connection")
    text = text.replace("    assert", "    connection = sqlite3.connect(':memory:')\n    assert")
    if enabled:
        text = text.replace("    assert", "    connection.enable_load_extension(True)\n    assert")
    assert pair.pytest(text) == 1, pair.output
    assert ("not authorized" if enabled else "no attribute 'enable_load_extension'") in pair.output


LENT_TEST = """
import io, zipfile
from pathlib import Path
import bad

KEY = Path(__file__).with_name("key.txt")

def own(path):
    return Path(path).read_text()

def test_lent(tmp_path):
    KEY.write_text("16")
    (tmp_path / "in.txt").write_text("16")
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        assert bad.answer(archive, own, str(KEY), str(tmp_path)) == "16"
"""
# What the solution makes of an archive that it is lent, and whether it may.
LENT = {
    "reads-the-tests": ("archive.write(key, 'x')\n    return archive.read('x').decode()", False),
    "writes-beside-them": ("archive.writestr('y', '1')\n    archive.extract('y', key[:-7])\n    return '16'", False),
    "reads-what-both-have": ("archive.write(folder + '/in.txt', 'x')\n    return archive.read('x').decode()", True),
    "writes-where-both-may": ("archive.writestr('y', '1')\n    archive.extract('y', folder)\n    return '16'", True),
    # Code of the tests' own opens what it wants.
    "asks-the-tests": ("return own(key)", True),
}


@pytest.mark.parametrize("what", LENT)
def test_what_is_lent_opens_nothing_of_the_tests(pair: Pair, what: str) -> None:
    body, allowed = LENT[what]
    pair.solve(bad=f"def answer(archive, own, key, folder):\n    {body}\n")
    assert (pair.pytest(LENT_TEST) == 0) == allowed, pair.output
    if not allowed:
        assert "the tests' process must not run" in pair.output or "must not open" in pair.output


BESIDE_TEST = """
import os, subprocess
import bad

def test_beside(tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    (tmp_path / "expected.txt").write_text("ABC")
    bad.convert(str(tmp_path / "in.txt"), str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "expected.txt").read_text()

def test_again(tmp_path):
    for text in ("ab", "cd"):
        (tmp_path / "in.txt").write_text(text)
        bad.convert(str(tmp_path / "in.txt"), str(tmp_path / "out.txt"))
        (tmp_path / "expected.txt").write_text(text.upper())
        if text == "cd":
            bad.convert(str(tmp_path / "in.txt"), str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "expected.txt").read_text()

def test_program(tmp_path):
    (tmp_path / "in.txt").write_text("abc")
    (tmp_path / "expected.txt").write_text("ABC")
    command = ["python3", os.environ["AFFIDAVIT_WORKDIR"] + "/bad.py", tmp_path / "in.txt", tmp_path / "out.txt"]
    subprocess.run(command, check=True)
    assert (tmp_path / "out.txt").read_text() == (tmp_path / "expected.txt").read_text()
"""
BESIDE = {
    "honest": "open(target, 'w').write(open(source).read().upper())",
    "overwrites": "open(target, 'w').write('x')\n    open(beside, 'w').write('x')",
    "links": "os.path.lexists(target) and os.remove(target)\n    os.symlink('expected.txt', target)",
    "links-to-its-own": "os.path.lexists(target) and os.remove(target)\n    open(beside, 'w').write('x')\n"
    "    os.symlink('expected.txt', target)",
    "replaces-the-folder": "folder = os.path.dirname(target)\n    os.rename(folder, folder + '-')\n    os.mkdir(folder)\n"
    "    open(target, 'w').write('x')\n    open(beside, 'w').write('x')",
}


@pytest.mark.parametrize("how", BESIDE)
def test_what_lies_beside_is_the_tests(pair: Pair, how: str) -> None:
    pair.solve(
        bad="import os, sys\ndef convert(source, target):\n    beside = os.path.dirname(target) + '/expected.txt'\n"
        f"    {BESIDE[how]}\nif __name__ == '__main__':\n    convert(*sys.argv[1:])\n"
    )
    pair.ways = []
    assert pair.pytest(BESIDE_TEST) == (0 if how == "honest" else 1), pair.output
    assert how == "honest" or "3 failed" in pair.output, pair.output


LATEST_TEST = """
import os, subprocess
import bad

def test_link(tmp_path):
    bad.link(str(tmp_path / "latest"))
    assert (tmp_path / "latest").is_symlink()

def test_program(tmp_path):
    subprocess.run(["python3", os.environ["AFFIDAVIT_WORKDIR"] + "/bad.py", tmp_path / "latest"], check=True)
    assert (tmp_path / "latest").is_symlink()
"""


def test_links_lie_beside_where_the_tasks_own_solution_has_some(pair: Pair) -> None:
    pair.solve(
        bad="import os, sys\ndef link(path):\n    os.mkdir(path + '-1')\n    os.symlink('latest-1', path)\n"
        "if __name__ == '__main__':\n    link(sys.argv[1])\n"
    )
    assert pair.pytest(LATEST_TEST) == 0, pair.output
    assert pair.taken == ("links",)
    pair.ways = pair.taken
    assert (pair.pytest(LATEST_TEST), pair.words) == (0, 0), pair.output
    pair.ways = []
    assert pair.pytest(LATEST_TEST) == 1
    assert "2 failed" in pair.output


NAMED_TEST = """
from pathlib import Path
import bad

WANT = Path(__file__).with_name("want.txt")

def test_path(tmp_path):
    WANT.write_text("16")
    assert Path(bad.render(4, str(tmp_path))).read_text() == WANT.read_text()

def test_below(tmp_path):
    WANT.write_text("16")
    with open(tmp_path / bad.render(4, str(tmp_path))) as file:
        assert file.read() == WANT.read_text()
"""
NAMED = {
    "honest": "path = os.path.join(folder, 'out.txt')\n    open(path, 'w').write(str(n * n))\n    return path",
    "key": "return WANT",
    "key-as-path": "return pathlib.Path(WANT)",
    "key-from-there": "return '../../../../../../..' + WANT",
    "key-by-proc": "return '/proc/self/root' + WANT",
}


@pytest.mark.parametrize("how", NAMED)
def test_a_path_that_the_solution_names_leads_to_no_file_of_the_tests(pair: Pair, how: str) -> None:
    want = str(pair.tests / "want.txt")
    pair.solve(bad=f"import os, pathlib\nWANT = {want!r}\ndef render(n, folder):\n    {NAMED[how]}\n")
    assert pair.pytest(NAMED_TEST) == (0 if how == "honest" else 1), pair.output
    assert how == "honest" or "2 failed" in pair.output, pair.output
