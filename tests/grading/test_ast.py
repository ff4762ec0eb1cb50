"""The ast grader: what does not matter in code, what does, and code that was made to hurt the one who reads it."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading import make_graders
from affidavit.grading.syntax.canonical import canonical, likeness
from affidavit.grading.syntax.compare import broken, judge
from affidavit.grading.syntax.features import occurrences
from affidavit.grading.syntax.languages import GRAMMARS
from affidavit.grading.syntax.settings import BanCheck, Feature, RequireCheck, SameCheck, Settings
from affidavit.grading.syntax.spelling import SyntaxFault
from affidavit.grading.syntax.tree import read
from affidavit.sandbox import Change
from affidavit.tasks import GraderSpec
from material import material

# For each language: a source, the same in another dress, and others that are not the same.
PYTHON = (
    """
import numpy as np
from os import path
LIMIT = 10
OTHER = 20

def total(rows, start=0):
    '''Adds up.'''
    result = start
    for row in rows:
        result += row[1:] if row else LIMIT   # so
    return np.sum(result)

class Box:
    size = 1
    def a(self): return self.size
    def b(self, x): return path.join(x, 'y')
""",
    """
from os import path
import numpy as n

class Box:
    def b(self, part):
        return (path.join(part, "y"))
    size = 1
    def a(self):
        return self.size

MOST = 10
def total(lines, begin=0):
    s = begin
    for line in lines:
        s += (line[1:] if line else MOST)
    return n.sum(s)
SECOND = 20
""",
    [
        ("result += row", "result -= row"),
        ("row[1:]", "row[:1]"),
        ("else LIMIT", "else OTHER"),
        ("else LIMIT", "else 10"),
        ("return self.size", "return self.length"),
        ("np.sum", "np.max"),
        ("path.join(x, 'y')", "path.join('y', x)"),
        ("start=0", "start=1"),
        ("def total", "def sum_up"),
        ("    size = 1\n", ""),
    ],
)
JAVASCRIPT = (
    """
import fs from 'fs';
const limit = 10;
function total(rows) { let sum = 0; for (const row of rows) { sum += row.size; } return sum > limit; }
class Box { a() { return this.size } b(x) { return fs.read(x, "y"); } }
""",
    """
import fs from "fs"
class Box {
  b(part) { return fs.read(part, 'y') }  // reads
  a() { return this.size; }
}
const most = 10
function total(list) {
  let s = 0
  for (const one of list) { s += one.size }
  return (s > most)
}
""",
    [("sum +=", "sum -="), ("row.size", "row.length"), ("sum > limit", "sum < limit"), ("sum > limit", "limit > sum")],
)
GO = (
    """package main
import "fmt"
var limit = 10
func total(rows []int) int { sum := 0; for _, row := range rows { sum += row }; return sum + limit }
func main() { fmt.Println(total([]int{1, 2})) }
""",
    """package main

import "fmt"

// The start.
func main() { fmt.Println(total([]int{1, 2})) }

func total(list []int) int {
	s := 0
	for _, one := range list {
		s += one
	}
	return s + most
}

var most = 10
""",
    [("sum += row", "sum -= row"), ("sum + limit", "sum + 10"), ("1, 2", "2, 1"), ("fmt.Println", "fmt.Print")],
)
C = (
    """#include <stdio.h>
static int limit = 10;
static int total(const int *rows, int n) { int sum = 0; for (int i = 0; i < n; i++) sum += rows[i];
  return sum + limit; }
int main(void) { int a[2] = {1, 2}; printf("%d", total(a, 2)); return 0; }
""",
    """#include <stdio.h>

int main(void)
{
    int values[2] = { 1, 2 };
    printf("%d", total(values, 2));
    return 0;
}
static int most = 10; /* most */
static int total(const int *list, int count)
{
    int s = 0;
    for (int k = 0; k < count; k++) s += list[k];
    return s + most;
}
""",
    [
        ("sum += rows[i]", "sum -= rows[i]"),
        ("i < n", "i <= n"),
        ("const int *rows, int n", "int *rows, int n"),
        ("limit = 10", "limit = 11"),
    ],
)
RUST = (
    """use std::fs;
const LIMIT: i32 = 10;
fn total(rows: &[i32]) -> i32 { let mut sum = 0; for row in rows { sum += row; }
  match rows.len() { 0 => LIMIT, n => sum + n as i32 } }
struct Box2 { size: i32 }
impl Box2 { fn a(&self) -> i32 { self.size } fn b(&self, x: i32) -> i32 { x + self.a() } }
""",
    """use std::fs;
struct Box2 { size: i32 }
impl Box2 {
    fn b(&self, part: i32) -> i32 { part + self.a() }
    fn a(&self) -> i32 { self.size }
}
// Adds up.
fn total(list: &[i32]) -> i32 {
    let mut s = 0;
    for one in list { s += one; }
    match list.len() { 0 => MOST, k => s + k as i32 }
}
const MOST: i32 = 10;
""",
    [
        ("sum += row", "sum -= row"),
        ("0 => LIMIT", "1 => LIMIT"),
        ("self.size }", "self.length }"),
        ("&self, x: i32", "&self, x: i64"),
    ],
)
SOURCES = {"python": PYTHON, "javascript": JAVASCRIPT, "go": GO, "c": C, "rust": RUST}


def form(source, language):
    return canonical(read(source.encode(), language), language)


@pytest.mark.parametrize("language", GRAMMARS)
def test_names_order_and_formatting_do_not_matter(language):
    source, dressed, _ = SOURCES[language]
    assert form(source, language) == form(dressed, language)


@pytest.mark.parametrize(
    ("language", "old", "new"), [(language, *edit) for language, (_, _, edits) in SOURCES.items() for edit in edits]
)
def test_what_the_code_does_matters(language, old, new):
    source = SOURCES[language][0]
    assert old in source
    changed = form(source.replace(old, new), language)
    assert changed != form(source, language)
    assert 0.3 < likeness(changed, form(source, language)) <= 1


def test_statements_have_an_order_and_definitions_have_not():
    assert form("def a(): pass\ndef b(): pass\n", "python") == form("def b(): pass\ndef a(): pass\n", "python")
    assert form("open('a')\nopen('b')\n", "python") != form("open('b')\nopen('a')\n", "python")
    assert form("def f(a, b):\n  a()\n  b()\n", "python") != form("def f(a, b):\n  b()\n  a()\n", "python")


def test_variables_that_swap_places_are_not_the_same():
    one = "A = 1\nB = 2\ndef f(): return A\n"
    assert form(one, "python") == form("X = 1\nY = 2\ndef f(): return X\n", "python")
    assert form(one, "python") != form("A = 1\nB = 2\ndef f(): return B\n", "python")


PATH = "/w/a.py"


def same(**settings):
    return SameCheck(type="same", path=PATH, reference="ref.py", **settings)


def test_the_start_is_worth_nothing_and_a_step_towards_the_reference_something():
    before = b"def f(rows):\n    total = 0\n    for row in rows:\n        total += row.size\n    return total\n"
    step = before.replace(b"row.size", b"row.size * row.price if row.ok else 0")
    reference = step.replace(b"total = 0", b"total = 1.5 + base(rows)")
    check = same(partial=True)
    assert judge(check, True, reference, reference, before)[0] == 1
    assert judge(check, True, before, reference, before)[0] == 0
    assert 0.3 < judge(check, True, step, reference, before)[0] < 1
    assert judge(same(), True, step, reference, before)[0] == 0
    assert judge(check, True, b"", reference, before)[0] == 0
    assert judge(check, True, before * 50, reference, before)[0] == 0


@pytest.mark.parametrize(
    ("language", "source", "feature", "count"),
    [
        ("python", "import os as o\no.system('x')\n", {"call": "os.system"}, 1),
        ("python", "from os import system as s\n(s)('x')\n", {"call": "os.system"}, 1),
        ("python", "import builtins\nbuiltins.eval('x')\n", {"call": "eval"}, 1),
        ("python", "# eval(x)\n'eval(x)'\nevaluate(x)\nx.eval()\n", {"call": "eval"}, 0),
        ("python", "f = eval\n", {"name": "eval"}, 1),
        ("python", "from os.path import join\n", {"imports": "os"}, 2),
        ("python", "import osx\n", {"imports": "os"}, 0),
        ("python", "def f():\n  class G: pass\n", {"definition": "G"}, 1),
        ("python", "while 1:\n  while 2: pass\n", {"node": "while_statement"}, 2),
        ("python", "a = 1\n", {"query": "(assignment left: (identifier) @a)"}, 1),
        ("javascript", "new Function('x'); eval('y')", {"call": "Function"}, 1),
        ("javascript", "const c = require('child_process')", {"imports": "child_process"}, 1),
        ("javascript", "import { exec } from 'child_process'", {"imports": "child_process"}, 1),
        ("javascript", "const f = () => 1", {"definition": "f"}, 1),
        ("go", 'package m\nimport ("os/exec")\nfunc f() { exec.Command("x") }', {"imports": "os"}, 1),
        ("go", 'package m\nimport ("os/exec")\nfunc f() { exec.Command("x") }', {"call": "exec.*"}, 1),
        ("c", "#include <stdlib.h>\nint main(void) { return system(\"x\"); }", {"call": "system"}, 1),
        ("c", "#include <stdlib.h>\n", {"imports": "stdlib.h"}, 1),
        ("c", "static int *f(int a) { return 0; }", {"definition": "f"}, 1),
        ("rust", "use std::process::Command;\nfn main() { println!(\"x\"); }", {"imports": "std::process"}, 1),
        ("rust", "fn main() { unsafe { f() } }", {"node": "unsafe_block"}, 1),
        ("rust", "fn main() { println!(\"x\"); }", {"call": "println"}, 1),
    ],
)  # fmt: skip
def test_features(language, source, feature, count):
    assert occurrences(source.encode(), language, Feature(**feature)) == count


HIDDEN = [
    # A line that ends where only Python sees it; names in another form; decorators, which call.
    ("python", "x = 1  # so\reval('1')\n", {"call": "eval"}),
    ("python", "\U0001d452\U0001d463\U0001d44e\U0001d459('1')\n", {"call": "eval"}),
    ("python", "f = \uff45val\n", {"name": "eval"}),
    ("python", "\uff45val\n", {"query": '((identifier) @a (#eq? @a "eval"))'}),
    ("python", "import \uff4fs\n", {"imports": "os"}),
    ("python", "@exec\n@lambda f: 'x'\ndef g(): pass\n", {"call": "exec"}),
    ("python", "# coding: latin-1\neval('\u00e9')\n".encode("latin-1"), {"call": "eval"}),
    # Names that stand for something else than they seem.
    ("python", "from os import *\nsystem('x')\n", {"call": "os.system"}),
    ("python", "from os import *\n", {"imports": "os.system"}),
    ("python", "import os as o\no.system('x')\nimport math as o\n", {"call": "os.system"}),
    ("python", "if 0:\n  from math import sin as eval\neval('1')\n", {"call": "eval"}),
    ("python", "__builtins__.eval('1')\n", {"call": "eval"}),
    ("javascript", "\\u0065val('1')", {"call": "eval"}),
    ("javascript", "f = \\u{65}val", {"name": "eval"}),
    ("javascript", "(0, eval)('1')", {"call": "eval"}),
    ("javascript", "import { exec as e } from 'child_process'; e('x')", {"call": "exec"}),
    ("javascript", "require('node:child_process')", {"imports": "child_process"}),
    ("javascript", "require('child_process', 1)", {"imports": "child_process"}),
    ("javascript", "export { exec } from 'child_process'", {"imports": "child_process"}),
    ("go", 'package m\nimport e "os/exec"\nfunc f() { e.Command("x") }', {"call": "exec.*"}),
    ("go", 'package m\nimport . "os/exec"\nfunc f() { Command("x") }', {"call": "exec.*"}),
    ("go", 'package m\nimport r "math/rand/v2"\nfunc f() { r.Int() }', {"call": "rand.Int"}),
    ("c", '#define RUN system\nint main(void) { return RUN("x"); }', {"call": "system"}),
    ("c", '#define RUN(x) system(x)\nint main(void) { return RUN("x"); }', {"name": "system"}),
    ("c", 'int main(void) { return (*system)("x"); }', {"call": "system"}),
    ("c", "#define H <stdlib.h>\n#include H\n", {"imports": "stdlib.h"}),
    ("c", "#include_next <stdlib.h>\n", {"imports": "stdlib.h"}),
    ("c", "#include <sys/../stdlib.h>\n", {"imports": "stdlib.h"}),
    ("rust", "fn main() { r#system(1); }", {"call": "system"}),
    ("rust", 'fn main() { println!("{}", std::process::Command::new("x")); }', {"call": "std::process::Command::new"}),
    ("rust", "macro_rules! m { () => { system(1) } }", {"call": "system"}),
    ("rust", "fn main() { system::<u8>(1); }", {"call": "system"}),
    ("rust", "use std::process::Command as C;\nfn main() { C::new(1); }", {"call": "std::process::Command::new"}),
    ("rust", "use std::process as p;", {"imports": "std::process"}),
    ("rust", "pub use ::std::{fs, process::Command};", {"imports": "std::process"}),
    ("rust", "use std::*;", {"imports": "std::process"}),
]  # fmt: skip


@pytest.mark.parametrize(("language", "source", "feature"), HIDDEN)
def test_what_is_spelled_so_as_not_to_be_seen_is_seen(language, source, feature):
    source = source if isinstance(source, bytes) else source.encode()
    assert occurrences(source, language, Feature(**feature)) > 0


@pytest.mark.parametrize(
    ("language", "source"),
    [
        # What these are in Python stands in a comment for every other reader.
        ("python", b"# coding: utf-7\nx = 1\n#+AAo-eval('1')\n"),
        ("python", b"#!/usr/bin/python3\r# coding: unicode_escape\nx = 1\n#\\neval('1')\n"),
        ("python", b"# coding: nothing\n"),
        ("python", b"x = 1  # \xff\n"),
        ("python", b"x = 1  # \0\n"),
        ("python", b"# coding: utf-16\nx = 1\n"),
        ("python", b"# coding: rot13\nx = 1\n"),
        ("c", b'char *a = "??/" /* "; int main(void) { return system("x"); } /* */;\n'),
        ("c", b'int x; // a\rint main(void) { return system("x"); }\n'),
        ("go", b'package m\nimport "os\\x2fexec"\n'),
        ("javascript", b"require('child\\x5fprocess')"),
    ],
)
def test_what_readers_differ_on_breaks_a_ban_and_meets_no_requirement(language, source):
    feature = Feature(imports="no.such")
    assert broken(BanCheck(type="ban", language=language, feature=feature), [("/w/a", source)])
    check = RequireCheck(type="require", path="/w/a", language=language, feature=feature)
    assert judge(check, True, source, None, None)[0] == 0


@pytest.mark.parametrize(
    ("language", "source", "feature"),
    [
        ("python", "from . import *\nimport osx\n", {"imports": "os"}),
        ("python", "from math import *\nsystem(1)\n", {"call": "os.system"}),
        ("python", "# coding: utf-8\r\ngr\u00f6\u00dfe = 'eval(1)'\r\n", {"call": "eval"}),
        ("python", "# coding: utf8\nx = '\u00e9'\n", {"call": "eval"}),
        ("python", "# -*- coding: cp1251 -*-\nx = 1\n", {"call": "eval"}),
        ("python", "# vim: set fileencoding=gbk :\nx = 1\n", {"call": "eval"}),
        ("c", 'char *why = "what??";\n', {"call": "system"}),
        ("javascript", "const s = '\\u0065val(1)'", {"name": "eval"}),
        ("go", 'package m\nimport e "os/exec"\nfunc f() { g.Command("x") }', {"call": "exec.*"}),
        ("c", '#define SAY "system(x)"\nint main(void) { return 0; }', {"call": "system"}),
        ("c", "#define LIMIT 10\n#include <stdio.h>\n", {"imports": "10"}),
        ("rust", 'fn main() { println!("system(1) {}", system); }', {"call": "system"}),
        ("rust", "use std::{fs, io::Read};", {"imports": "std::process"}),
    ],
)
def test_honest_code_that_looks_like_it_is_none(language, source, feature):
    assert occurrences(source.encode(), language, Feature(**feature)) == 0


def test_a_ban_holds_for_every_file_and_for_what_cant_be_read():
    ban = BanCheck(type="ban", language="python", feature=Feature(call="eval"))
    assert broken(ban, [("/w/a.py", b"x = 1"), ("/w/__init__.py", b""), ("/w/c.py", b"# eval(1)\n")]) == []
    assert len(broken(ban, [("/w/a.py", b"eval('1')"), ("/w/b.py", b"def ("), ("/w/c.py", None)])) == 3


BOMBS = [
    b"(" * 100_000,
    b"[" * 3000 + b"]" * 3000,
    b"a" * 2_000_000,
    b"\0" * 1000,
    b"\xff\xfe\x00",
    "x = '\ud800'".encode("utf-8", "surrogatepass"),
    b"x=" + b"-" * 50_000 + b"1",
    b"if 1:\n" * 10,
    b"1;" * 110_000,
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(len(BOMBS)))
@pytest.mark.parametrize("language", GRAMMARS)
def test_bombs_score_nothing(language, bomb):
    check = RequireCheck(type="require", path="/w/a", language=language, feature=Feature(name="x"), min=1000)
    assert judge(check, True, bomb, None, None)[0] == 0


@given(st.binary(max_size=120), st.sampled_from(list(GRAMMARS)))
def test_no_bytes_are_an_error(raw, language):
    with suppress(SyntaxFault):
        canonical(read(raw, language), language)


@given(st.sampled_from(list(GRAMMARS)), st.data())
def test_no_damaged_source_is_an_error(language, data):
    source = SOURCES[language][0]
    cut, to = sorted(data.draw(st.tuples(*[st.integers(0, len(source))] * 2)))
    try:
        made = form(source[:cut] + source[to:], language)
    except SyntaxFault:
        return
    assert likeness(made, form(source, language)) <= 1


def test_the_grader(tmp_path):
    checks = [
        {"type": "require", "path": PATH, "feature": {"definition": "f"}},
        {"type": "same", "path": PATH, "reference": "ref.py"},
        {"type": "ban", "language": "python", "feature": {"imports": "subprocess"}},
    ]
    (named,) = make_graders([GraderSpec("ast", "code", settings={"checks": checks})])
    tests = {"ref.py": "def f(a): return a + 1\n"}
    good = named.grade(material(tmp_path / "1", files={PATH: "def f(x):\n  return x + 1\n"}, tests=tests))
    assert (good.score, good.evidence.files) == (1.0, (PATH,))
    hidden = {PATH: "def f(x):\n  return x + 1\n", "/w/b.py": "import subprocess\n"}
    assert named.grade(material(tmp_path / "2", files=hidden, tests=tests)).score == 0
    idle = named.grade(material(tmp_path / "3", before={PATH: tests["ref.py"]}, tests=tests))
    assert idle.score == 0
    linked = material(tmp_path / "4", files={PATH: ""}, tests=tests)
    (tmp_path / "4/upper/w/a.py").unlink()
    (tmp_path / "4/upper/w/a.py").symlink_to(tmp_path / "4/tests/ref.py")
    assert named.grade(linked).score == 0


def test_a_link_to_what_is_no_code_by_its_name_breaks_a_ban(tmp_path):
    checks = [
        {"type": "require", "path": PATH, "feature": {"definition": "f"}},
        {"type": "ban", "language": "python", "feature": {"call": "eval"}},
    ]
    (named,) = make_graders([GraderSpec("ast", "code", settings={"checks": checks})])

    def score(folder, target):
        files = {PATH: "def f(): pass\n", "/w/b.py": "x = 1\n", "/w/b.txt": "eval('1')\n"}
        made = material(folder, files=files)
        link = Change("/w/link.py", "added", "symlink", 0o777, 0, 0, 0, None, target)
        (folder / "upper/w/link.py").symlink_to(target)
        carried = made.work.carried | {link.path}
        return named.grade(
            replace(made, work=replace(made.work, changes=[*made.work.changes, link], carried=carried))
        ).score

    assert score(tmp_path / "1", "b.py") == 1
    assert score(tmp_path / "2", "b.txt") == 0


def test_another_mode_is_no_other_code(tmp_path):
    checks = [{"type": "require", "path": PATH, "feature": {"definition": "f"}}]
    (named,) = make_graders([GraderSpec("ast", "code", settings={"checks": checks})])
    made = material(tmp_path, before={PATH: "def f(): pass\n"})
    touched = Change(PATH, "metadata", "file", 0o755, 0, 0, 14, None, None)
    assert named.grade(replace(made, work=replace(made.work, changes=[touched], carried=frozenset({PATH})))).score == 0


@pytest.mark.parametrize(
    ("check", "complaint"),
    [
        ({"type": "ban", "language": "python", "feature": {"call": "eval"}}, "doing nothing keeps"),
        ({"type": "require", "path": "/a", "feature": {"call": "x"}}, "language is needed"),
        ({"type": "require", "path": "/a.py", "feature": {"call": "x", "name": "y"}}, "give one of"),
        ({"type": "require", "path": "/a.py", "feature": {"node": "loop"}}, "unknown to the grammar"),
        ({"type": "require", "path": "/a.py", "feature": {"query": "(nope) @x"}}, "none for python"),
        ({"type": "require", "path": "/a.py", "feature": {"name": "x"}, "min": 2, "max": 1}, "below min"),
    ],
)
def test_wrong_settings_are_refused(check, complaint):
    with pytest.raises(ValueError, match=complaint):
        Settings(checks=(check,))
