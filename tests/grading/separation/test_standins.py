"""Python tests and a solution that are apart: what works as in one process."""

from separated import Pair

SOLUTION = '''
"""A solution with a bit of everything."""
import collections, dataclasses, datetime, decimal, enum, fractions, io, pathlib, sys, uuid

LIMIT = 3
FACTOR = 2


def echo(value):
    return value


def scaled(value):
    return value * FACTOR


def fill(items, table):
    items.append(len(items))
    table["n"] = [items]
    return items


def each(function, items):
    return [function(item) for item in items]


def numbers(count):
    for number in range(count):
        yield number


def say(text):
    print(text)
    print("oops", file=sys.stderr)


class ParseError(ValueError):
    def __init__(self, message, position):
        super().__init__(f"{message} at {position}")
        self.position = position


def parse(text):
    try:
        return int(text)
    except ValueError as error:
        raise ParseError("no number", 7) from error


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

    def norm(self):
        return self.x * self.x + self.y * self.y

    def move(self, by):
        self.x += by

    @classmethod
    def origin(cls):
        return cls(0, 0)


@dataclasses.dataclass(frozen=True, order=True)
class Key:
    name: str


class Color(enum.Enum):
    RED = 1
    BLUE = 2

    def shout(self):
        return self.name + "!"


Pair = collections.namedtuple("Pair", "left right")


class Stack:
    """Last in, first out."""
    limit = 10

    def __init__(self, items=()):
        self.items = list(items)
        self.open = False

    def push(self, item):
        self.items.append(item)

    def __len__(self):
        return len(self.items)

    def __iter__(self):
        return iter(self.items)

    def __getitem__(self, at):
        return self.items[at]

    def __contains__(self, item):
        return item in self.items

    def __enter__(self):
        self.open = True
        return self

    def __exit__(self, *_):
        self.open = False

    def __eq__(self, other):
        return isinstance(other, Stack) and self.items == other.items

    def __lt__(self, other):
        return len(self) < len(other)

    def __add__(self, other):
        return Stack(self.items + other.items)


class Deep(Stack):
    pass


def write(path, text):
    pathlib.Path(path).write_text(text)


def read(path):
    return open(path).read()


def beside(path):
    return sorted(other.name for other in pathlib.Path(path).parent.iterdir())


def missing():
    open("/nowhere/at/all")


def call_twice(function):
    return function(function(1))


def where():
    import os
    return os.getcwd(), os.environ.get("MARK")
'''

TESTS = """
import collections, copy, datetime, decimal, fractions, importlib, math, os, pathlib, subprocess, sys, uuid
from unittest import mock

import pytest

import everything
from everything import Color, Deep, Key, Pair, ParseError, Point, Stack, echo

PLAIN = [
    None, True, 0, -1, 1 << 4000, 1.5, -0.0, float("inf"), 2 + 3j, "text", "\\ud800", b"b", bytearray(b"y"), [1, [2]],
    (1, (2,)), {"b": 1, "a": {2: 3}}, {1, 2}, frozenset({3}), range(1, 9, 2), slice(1, None, 2), ...,
    datetime.date(2024, 2, 29), datetime.time(1, 2, 3, 4), datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.datetime(2024, 1, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))), datetime.timedelta(-1, 5),
    decimal.Decimal("1.10"), fractions.Fraction(1, 3), pathlib.Path("/a/b"), uuid.UUID(int=5),
    collections.OrderedDict([("z", 1), ("a", 2)]), collections.Counter("aab"), collections.deque([1, 2], 5),
    collections.defaultdict(list, {"a": [1]}),
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: type(value).__name__)
def test_plain(value):
    back = echo(value)
    assert type(back) is type(value)
    assert back == value
    assert repr(back) == repr(value)


def test_nan():
    assert math.isnan(echo(float("nan")))
    assert math.copysign(1, echo(-0.0)) == -1


def test_dict_order():
    assert list(echo({"b": 1, "a": 2})) == ["b", "a"]


def test_arguments_are_changed_in_place():
    items, table = [], {}
    assert everything.fill(items, table) is items
    assert items == [0]
    assert table["n"][0] is items


def test_callbacks():
    seen = []
    assert everything.each(lambda item: seen.append(item) or item + 1, [1, 2]) == [2, 3]
    assert seen == [1, 2]
    assert everything.each(str, [1]) == ["1"]
    assert everything.call_twice(everything.scaled) == 4
    assert everything.call_twice(lambda n: everything.scaled(n) + 1) == 7


def test_error_in_a_callback_comes_back():
    class Own(Exception):
        pass

    error = Own("mine")

    def fail(_):
        raise error

    with pytest.raises(Own) as caught:
        everything.each(fail, [1])
    assert caught.value is error


def test_generator():
    made = everything.numbers(3)
    assert next(made) == 0
    assert list(made) == [1, 2]
    with pytest.raises(StopIteration):
        next(made)


def test_exceptions():
    with pytest.raises(ParseError, match="no number at 7") as caught:
        everything.parse("x")
    assert caught.value.position == 7
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(ParseError("m", 2)) == "m at 2"
    with pytest.raises(FileNotFoundError) as caught:
        everything.missing()
    assert caught.value.errno == 2
    assert caught.value.filename == "/nowhere/at/all"
    with pytest.raises(KeyError, match="a"):
        everything.each({}.__getitem__, ["a"])


def test_records():
    assert echo(Point(1, 2)) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Point(3, 4).norm() == 25
    assert Point.origin() == Point(0, 0)
    point = Point(1)
    point.move(4)
    assert point.x == 5
    assert {Key("a"): 1}[echo(Key("a"))] == 1
    assert Key("a") < Key("b")
    assert repr(Point(1, 2)) == "Point(x=1, y=2)"


def test_enum_and_namedtuple():
    assert echo(Color.RED) is Color.RED
    assert Color(2) is Color.BLUE
    assert Color.RED.shout() == "RED!"
    assert echo(Pair(1, [2])) == Pair(1, [2]) == (1, [2])
    assert echo(Pair(1, 2)).left == 1


def test_references():
    stack = Stack([1, 2])
    assert isinstance(stack, Stack)
    assert isinstance(Deep(), Stack)
    assert not isinstance(stack, Deep)
    assert type(stack) is Stack
    stack.push(3)
    assert len(stack) == 3
    assert list(stack) == [1, 2, 3]
    assert stack[-1] == 3
    assert [n for n in stack] == [1, 2, 3]
    stack.items = [9]
    assert stack.items == [9]
    with stack as entered:
        assert entered is stack
        assert stack.open is True
    assert stack.open is False
    with pytest.raises(IndexError):
        stack[99]
    with pytest.raises(AttributeError):
        stack.nothing
    assert (stack + stack).items == [9, 9]
    assert echo(stack) is stack
    assert stack == stack
    assert stack != [9]
    assert not stack == 9
    with pytest.raises(TypeError):
        stack < 5
    copied = copy.deepcopy(stack)
    copied.push(1)
    assert len(stack) == 1


def test_words():
    assert Stack([1]) == Stack([1])
    assert Stack() < Stack([1])
    assert 1 in Stack([1])
    Stack() + Stack()


def test_monkeypatch(monkeypatch):
    with monkeypatch.context() as context:
        context.setattr(everything, "FACTOR", 10)
        context.setattr("everything.LIMIT", 4)
        context.setattr(Stack, "limit", 1)
        assert everything.scaled(2) == 20
        assert everything.LIMIT == 4
        assert Stack().limit == 1
    assert everything.scaled(2) == 4
    assert Stack().limit == 10
    with mock.patch("everything.scaled", return_value=5) as patched:
        assert everything.scaled(1) == 5
    patched.assert_called_once_with(1)
    assert everything.scaled(1) == 2


def test_output(capsys):
    everything.say("hello")
    assert capsys.readouterr() == ("hello\\n", "oops\\n")


def test_files(tmp_path):
    everything.write(tmp_path / "out.txt", "made there")
    assert (tmp_path / "out.txt").read_text() == "made there"
    (tmp_path / "in.txt").write_text("made here")
    assert everything.read(str(tmp_path / "in.txt")) == "made here"
    (tmp_path / "in.txt").write_text("changed here")
    assert everything.read(str(tmp_path / "in.txt")) == "changed here"


def test_what_lies_beside_stays_here(tmp_path):
    (tmp_path / "expected.txt").write_text("secret")
    (tmp_path / "in.txt").write_text("made here")
    assert everything.read(str(tmp_path / "in.txt")) == "made here"
    everything.write(tmp_path / "out.txt", "made there")
    assert (tmp_path / "out.txt").read_text() == "made there"
    assert everything.beside(str(tmp_path / "in.txt")) == ["in.txt", "out.txt"]
    assert (tmp_path / "expected.txt").read_text() == "secret"


def test_surroundings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MARK", "x")
    assert everything.where() == (str(tmp_path), "x")
    monkeypatch.undo()
    assert everything.where()[1] is None


def test_loading():
    path = os.environ["AFFIDAVIT_WORKDIR"] + "/everything.py"
    spec = importlib.util.spec_from_file_location("another", path)
    another = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(another)
    assert another.echo(1) == 1
    assert importlib.import_module("everything") is everything
    with pytest.raises(ModuleNotFoundError):
        import nothing_of_the_kind


def test_source_can_be_read():
    path = os.environ["AFFIDAVIT_WORKDIR"] + "/everything.py"
    assert "def echo" in pathlib.Path(path).read_text()


def test_programs():
    workdir = os.environ["AFFIDAVIT_WORKDIR"]
    done = subprocess.run([sys.executable, "-c", "import everything; print(everything.LIMIT)"], cwd=workdir,
                          capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "3\\n")
    done = subprocess.run("cat; exit 3", shell=True, input=b"in", capture_output=True, cwd=workdir)
    assert (done.returncode, done.stdout) == (3, b"in")
    done = subprocess.run("kill -9 $$", shell=True, cwd=workdir)
    assert done.returncode == -9
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["sleep", "60"], cwd=workdir, timeout=0.3)
"""


def test_everything_works_as_in_one_process(pair: Pair) -> None:
    pair.solve(everything=SOLUTION)
    assert pair.pytest(TESTS) == 0, pair.output
    # Equality, order and sums (two) of references, and what a reference contains.
    assert pair.words == 5


def test_printed_lines_are_not_the_frameworks(pair: Pair) -> None:
    pair.solve(everything="def say():\n    print('PASSED a\\nPASSED b')\n")
    text = "import everything\ndef test_a():\n    everything.say()\n    assert 0\n"
    assert pair.pytest(text) == 1, pair.output
    assert "solution: PASSED b" in pair.output
    assert "\nPASSED" not in pair.output
