"""Tests that evaluate a text: what the solution said or wrote must not become code on the tests' side."""

from separated import Pair

SOLUTION = '''
def answer(n): return n * n + 0
def said(): return "print(answer)"
def literal(): return "[16, {'a': (1.5, -2j)}, None]"
def hinted(n) -> "print(answer)": return n
def shown():
    """
    >>> print(1)
    1
    """
'''

REFUSED = """
import ast, doctest, importlib, inspect, os, pathlib, subprocess, sys, timeit, typing
import pytest
import bad

SOURCE = pathlib.Path(os.environ["AFFIDAVIT_WORKDIR"], "bad.py")
TEXT = SOURCE.read_text()

def line():
    return next(line for line in TEXT.splitlines() if line.startswith("def answer"))

def parsed():
    tree = ast.parse(line())
    exec(compile(tree, "x", "exec"), {})

def example():
    try:
        doctest.DebugRunner().run(doctest.DocTestParser().get_doctest(bad.shown.__doc__, {}, "a", None, 0))
    except doctest.UnexpectedException as problem:
        raise problem.exc_info[1]

def imported(folder):
    (folder / "made.py").write_text("import math\\n" + TEXT)
    sys.path.insert(0, str(folder))
    import made

WAYS = {
    "said": lambda _: eval(bad.said()),
    "said-and-compiled": lambda _: compile(bad.said(), "x", "eval"),
    "longer": lambda _: exec("import math\\n" + TEXT, {}),
    "a-part": lambda _: exec(line(), {}),
    "parsed": lambda _: parsed(),
    "annotation": lambda _: typing.get_type_hints(bad.hinted),
    "reference": lambda _: typing.ForwardRef(bad.said()),
    "timed": lambda _: timeit.timeit(bad.said(), number=1),
    "example": lambda _: example(),
    "imported": imported,
}

@pytest.mark.parametrize("way", WAYS)
def test_it_is_refused(way, tmp_path):
    with pytest.raises(Exception, match="must not run"):
        WAYS[way](tmp_path)

@pytest.mark.parametrize("given", [{}, {"env": {"PATH": os.environ["PATH"]}}])
def test_it_is_refused_on_the_command_line(given):
    code = TEXT + "\\nassert answer(4) == 16"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **given)
    assert (done.returncode, "must not run" in done.stderr) == (70, True)

def test_it_is_refused_on_standard_input():
    code = TEXT + "\\nassert answer(4) == 16"
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True)
    assert (done.returncode, "must not run" in done.stderr) == (70, True)
"""

ALLOWED = """
import ast, collections, dataclasses, subprocess, sys, typing
import bad

def test_plain_data():
    assert eval(bad.literal()) == [16, {"a": (1.5, -2j)}, None]
    assert ast.literal_eval(bad.literal())[0] == 16

def test_own_text():
    assert eval("bad.answer(4) == 16")
    names = {}
    exec("def twice(n):\\n    return bad.answer(n) * 2\\n", {"bad": bad}, names)
    assert names["twice"](4) == 32

def test_library():
    assert collections.namedtuple("A", "b c")(1, 2).c == 2
    made = dataclasses.make_dataclass("A", ["b"])
    assert made(1) == made(1)

    def own(n: "int") -> "list[int]": ...
    assert typing.get_type_hints(own)["n"] is int

def test_own_code_on_standard_input():
    code = "import sys\\nprint(sum(map(int, '1 2 3'.split())))\\n"
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True)
    assert done.stdout == "6\\n", done.stderr
"""


def test_a_text_of_the_solutions_is_not_run(pair: Pair) -> None:
    pair.solve(bad=SOLUTION)
    assert pair.pytest(REFUSED) == 0, pair.output


def test_plain_data_and_the_tests_own_texts_are(pair: Pair) -> None:
    pair.solve(bad=SOLUTION)
    assert pair.pytest(ALLOWED) == 0, pair.output
