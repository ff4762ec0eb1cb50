"""The state_diff grader: what is there, what was changed, and files that were made to hurt the one who looks."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading import make_graders
from affidavit.grading.confined import run_confined
from affidavit.grading.state_diff.changes import broken_by_lines, broken_by_paths, looked_at
from affidavit.grading.state_diff.compare import Found, judge
from affidavit.grading.state_diff.settings import ChangeCheck, FileCheck, JsonCheck, Settings, SqliteCheck, TableCheck
from affidavit.sandbox import Change
from affidavit.tasks import GraderSpec
from material import material

PATH = "/workspace/out"


def file_check(**settings):
    return FileCheck(type="file", path=PATH, **settings)


def content(raw, **facts):
    raw = raw if isinstance(raw, bytes) else raw.encode()
    return Found("file", facts.pop("mode", 0o644), len(raw), content=raw, **facts)


@pytest.mark.parametrize(
    ("settings", "found", "wanted"),
    [
        ({"equals": "a\nb\n"}, content("a\nb"), 1),
        ({"equals": "a"}, content("a b"), 0),
        ({"mode": "0755"}, content("", mode=0o755), 1),
        ({"mode": "0755"}, content("", mode=0o4755), 0),
        ({"executable": True}, content("", mode=0o644), 0),
        ({"is_a": "directory"}, Found("directory"), 1),
        ({"is_a": "file"}, Found("symlink", target="/tests/key"), 0),
        ({"equals": "x"}, Found("symlink", target="/tests/key"), 0),
        ({"contains": ("x",)}, Found("fifo"), 0),
        ({"target": "a"}, Found("symlink", target="a"), 1),
        ({"target": "a"}, content("a"), 0),
        ({"contains": ("a", "b"), "lacks": ("c",)}, content("ab"), 1),
        ({"contains": ("a", "b"), "lacks": ("c",)}, content("abc"), 0),
        ({"matches": "^b+$"}, content("a\nbb\n"), 1),
        ({"matches": "^b+$"}, content(b"\xff\xfe"), 0),
        ({"lines": 2}, content("a\nb\n"), 1),
        ({"min_bytes": 1}, content(""), 0),
        ({"max_bytes": 5}, content("123456"), 0),
        # A folder and a link have a size and may be "executed", too.
        ({"min_bytes": 1}, Found("directory", 0o755, 4096), 0),
        ({"max_bytes": 9000}, Found("directory", 0o755, 4096), 0),
        ({"min_bytes": 1}, Found("symlink", 0o777, 9, target="/bin/true"), 0),
        ({"executable": True}, Found("directory", 0o755), 0),
        ({"executable": True}, Found("symlink", 0o777, target="/bin/true"), 0),
        ({"mode": "0777"}, Found("symlink", 0o777, target="/bin/true"), 0),
        ({"mode": "0755"}, Found("directory", 0o755), 1),
        ({"lacks": ("secret",)}, content("secret".encode("utf-16")), 0),
        ({"lacks": ("secret",)}, content("caf\xe9".encode("latin-1")), 1),
        ({"equals": "x"}, Found("file", size=1 << 40), 0),
        ({}, Found(None), 0),
        ({"exists": False}, Found(None), 1),
        ({"exists": False}, content(""), 0),
        ({"equals_file": "key.txt"}, content("k", reference=b"k"), 1),
        ({"equals_file": "key.txt"}, content("k ", reference=b"k"), 0),
    ],
)  # fmt: skip
def test_a_file_is_as_asked_or_not(settings, found, wanted):
    assert judge(file_check(**settings), found)[0] == wanted


def test_what_the_agent_did_not_change_is_no_result_of_its():
    found = content("right", changed=False)
    assert judge(file_check(equals="right"), found)[0] == 0
    assert judge(file_check(equals="right", may_be_unchanged=True), found)[0] == 1


def test_values_in_json():
    def check(**settings):
        return JsonCheck(type="json", path=PATH, **settings)

    raw = '{"a": [{"n": 1.0}, {"n": 2}], "b": "x"}'
    assert judge(check(at="/a/0/n", equals=1), content(raw))[0] == 1
    assert judge(check(at="$.a[*].n", count=2), content(raw))[0] == 1
    assert judge(check(at="$.a[*].n", equals=1), content(raw))[0] == 0
    assert judge(check(equals={"a": ({"n": 1}, {"n": 2}), "b": "x"}), content(raw))[0] == 1
    assert judge(check(at="/b", equals="x"), content('{"b": "y", "b": "x"}'))[0] == 0
    assert judge(check(equals_file="k.json"), content("[1]", reference=b"[1]"))[0] == 1
    for bomb in ("[" * 10_000, '{"b": NaN}', "", "{}", "\ud800".encode("utf-8", "surrogatepass")):
        assert judge(check(at="/b", equals="x"), content(bomb))[0] == 0


def table(**settings):
    return TableCheck(type="table", path=PATH + ".csv", **settings)


CSV = "id,name,total\r\n2,Bo,1.50\r\n1,Al,20\r\n"


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"columns": ("id", "name", "total"), "count": 2}, 1),
        ({"columns": ("name", "id", "total")}, 0),
        ({"count": 2, "sorted_by": ("-id",)}, 1),
        ({"count": 2, "sorted_by": ("total",)}, 1),
        ({"count": 2, "sorted_by": ("id",)}, 0),
        ({"count": 2, "sorted_by": ("no",)}, 0),
        ({"count": 2, "unique": ("name",)}, 1),
        ({"equals": ((2, "Bo", 1.5), (1, "Al", 20))}, 1),
        ({"equals": ((1, "Al", 20), (2, "Bo", 1.5))}, 0),
        ({"equals": ((1, "Al", 20), (2, "Bo", 1.5)), "ordered": False}, 1),
        ({"equals": ((1, "Al", 20.01), (2, "Bo", 1.5)), "ordered": False, "tolerance": 0.05}, 1),
        ({"equals": ((2, "Bo", 1.5), (3, "Cy", 1)), "ordered": False, "partial": True}, 1 / 3),
        ({"equals": ((2, "Bo", 1.5),), "partial": True}, 0.5),
    ],
)
def test_tables(settings, wanted):
    assert judge(table(**settings), content(CSV))[0] == wanted


def test_many_rows_that_are_a_little_off_are_paired_in_any_order():
    rows = tuple((n, f"x{n % 3}", n + 0.5) for n in range(3000))
    raw = "id,name,total\n" + "".join(f"{n},x{n % 3},{n + 0.501}\n" for n in reversed(range(3000)))
    check = table(equals=rows, ordered=False, tolerance=0.01, partial=True)
    assert judge(check, content(raw))[0] == 1
    assert judge(check, content(raw.replace("\n7,x1,", "\n7,x2,")))[0] == 2999 / 3001
    assert judge(check, content(raw.replace(",7.501", ",7.6")))[0] == 2999 / 3001


def test_a_table_is_held_against_one_of_the_tests():
    check = table(equals_file="key.csv", ordered=False)
    assert judge(check, content(CSV, reference=b"id,name,total\n1,Al,20.0\n2,Bo,1.5\n"))[0] == 1
    assert judge(check, content(CSV, reference=b"id,name,sum\n1,Al,20\n2,Bo,1.5\n"))[0] == 0
    lines = TableCheck(type="table", path=PATH, format="jsonl", columns=("a", "b"), equals=((1, "x"), (2, "y")))
    assert judge(lines, content('{"b":"x","a":1}\n{"a":2,"b":"y"}\n'))[0] == 1
    assert judge(lines, content('{"b":"x","a":true}\n{"a":2,"b":"y"}\n'))[0] == 0


@pytest.mark.parametrize(
    "raw",
    ["", "a\n" + "x" * 200_000, 'id,"', "id,name,total\n1\n", "id,name,total\n" + "1,2,3\n" * 100_001, b"\xff", "\0"],
)
def test_odd_tables_score_nothing(raw):
    assert judge(table(columns=("id", "name", "total")), content(raw))[0] == 0


def test_a_column_that_is_there_twice_is_not_asked():
    for settings in ({"sorted_by": ("id",)}, {"unique": ("id",)}):
        score, message = judge(table(count=2, **settings), content("id,id\n1,9\n2,9\n"))
        assert (score, "twice" in message) == (0, True)


def test_rows_are_not_made_unique_by_spelling():
    check = TableCheck(type="table", path=PATH, format="jsonl", count=2, unique=("a",))
    for one, other in (("[1]", "[1.0]"), ('{"x":1,"y":2.50}', '{"y":2.5,"x":1}'), ("1", "1.0")):
        assert judge(check, content(f'{{"a":{one}}}\n{{"a":{other}}}'))[0] == 0
    assert judge(check, content('{"a":[1]}\n{"a":["1"]}'))[0] == 1


def test_names_of_columns_do_no_harm_where_they_are_told():
    check = TableCheck(type="table", path=PATH, format="jsonl", columns=("a",))
    _, message = judge(check, content('{"\\ud800\\u001b[2J": 1}'))
    assert message.isprintable()
    assert message.encode()


@pytest.fixture
def database(tmp_path, monkeypatch):
    """Makes a database by a script; the grader's copy goes to a folder of its own."""
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path / "own")

    def make(script, name="db"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.executescript(script)
        return content((tmp_path / name).read_bytes())

    return make


ORDERS = "CREATE TABLE orders(id INTEGER, total REAL, note); INSERT INTO orders VALUES (1, 2.5, 'a'), (2, 3.5, NULL);"


def ask(query, **settings):
    return SqliteCheck(type="sqlite", path=PATH, query=query, **settings)


def test_a_database_answers(database):
    found = database(ORDERS)
    assert judge(ask("SELECT sum(total) FROM orders", equals=((6,),)), found)[0] == 1
    assert judge(ask("SELECT id, note FROM orders ORDER BY id", count=2, unique=("id",)), found)[0] == 1
    assert (
        judge(ask("WITH big AS (SELECT * FROM orders WHERE total > 3) SELECT id FROM big", equals=((2,),)), found)[0]
        == 1
    )
    assert judge(ask("SELECT id FROM orders", equals=(("1",), ("2",))), found)[0] == 0


def test_what_was_written_last_is_in_the_file_beside(database, tmp_path):
    with closing(sqlite3.connect(tmp_path / "w")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(ORDERS)
        raw, wal = (tmp_path / "w").read_bytes(), (tmp_path / "w-wal").read_bytes()
    assert wal
    check = ask("SELECT count(*) FROM orders", equals=((2,),))
    assert judge(check, content(raw, beside={"-wal": wal}))[0] == 1
    assert judge(check, content(raw))[0] == 0


def test_an_open_transaction_is_no_state(database):
    found = database(ORDERS)
    hot = content(found.content, beside={"-journal": bytes.fromhex("d9d505f920a163d7") + b"\0" * 504})
    assert judge(ask("SELECT count(*) FROM orders", equals=((2,),)), hot)[0] == 0


SUM = "SELECT sum(total) FROM orders"


@pytest.mark.parametrize(
    "script",
    [
        "CREATE VIEW orders AS SELECT 1 AS id, 6.0 AS total",
        "CREATE VIEW v AS SELECT 6.0 AS t; CREATE VIEW orders AS SELECT t AS total FROM v",
        "CREATE VIEW orders AS WITH RECURSIVE r(total) AS (SELECT 1 UNION ALL SELECT total FROM r) SELECT total FROM r",
        "CREATE VIRTUAL TABLE orders USING fts5(total); INSERT INTO orders VALUES (6)",
    ],
)
def test_what_stands_in_for_a_table_gives_no_answer(database, script):
    score, message = judge(ask(SUM, equals=((6,),)), database(script))
    assert score == 0
    assert "prohibited" in message or "not authorized" in message or "virtual table" in message


def test_a_view_is_known_among_many_and_by_any_letters(database):
    many = "".join(f"CREATE VIEW v{n} AS SELECT 1;" for n in range(10_001))
    found = database(f"BEGIN; {many} CREATE VIEW orders AS SELECT 6.0 AS total; COMMIT")
    assert judge(ask(SUM, equals=((6,),)), found)[0] == 0
    found = database('CREATE VIEW "\u00c4PFEL" AS SELECT 6.0 AS total', "other")
    assert judge(ask('SELECT total FROM "\u00c4PFEL"', equals=((6,),)), found)[0] == 0


@pytest.mark.parametrize(
    "query",
    [
        "SELECT load_extension('/tmp/x.so')",
        "SELECT readfile('/etc/passwd')",
        "ATTACH '/tmp/other' AS o",
        "DELETE FROM orders",
        "PRAGMA user_version",
        "SELECT no FROM orders",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_query_reads_tables_and_does_nothing_else(database, query):
    score, message = judge(ask(query, count=1), database(ORDERS))
    assert score == 0
    assert "gives no answer" in message


def test_a_query_over_too_much_comes_to_an_end(database):
    numbers = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 2000) INSERT INTO n SELECT x FROM r"
    found = database(f"CREATE TABLE n(x); {numbers}")
    score, message = judge(ask("SELECT count(*) FROM n a, n b, n c", count=1), found)
    assert score == 0
    assert "interrupted" in message


def test_views_may_be_allowed(database):
    found = database("CREATE TABLE t(x); INSERT INTO t VALUES (3); CREATE VIEW v AS SELECT x * 2 AS y FROM t")
    assert judge(ask("SELECT y FROM v", equals=((6,),), views=True), found)[0] == 1
    assert judge(ask("SELECT y FROM v", equals=((6,),)), found)[0] == 0


@given(st.binary(max_size=300))
def test_no_bytes_are_an_error(raw):
    for check in (
        file_check(matches="a+$"),
        JsonCheck(type="json", path=PATH, equals=1),
        table(count=1, sorted_by=("a",)),
    ):
        assert 0 <= judge(check, content(raw))[0] <= 1


@given(st.data())
def test_a_damaged_database_is_no_error(tmp_path_factory, data):
    good = getattr(test_a_damaged_database_is_no_error, "good", None)
    if good is None:
        path = tmp_path_factory.mktemp("db") / "db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript("PRAGMA page_size=512;" + ORDERS)
        good = test_a_damaged_database_is_no_error.good = path.read_bytes()
    place, byte = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 255))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        raw = good[:place] + bytes([byte]) + good[place + 1 :]
        assert 0 <= judge(ask("SELECT * FROM orders", count=2), content(raw))[0] <= 1


def change(path, kind="modified", type="file"):
    return Change(path, kind, type, 0o644, 0, 0, 1, None, None)


def bound(**settings):
    return ChangeCheck(type="change", **settings)


def broken(check, *changes):
    return broken_by_paths(check, looked_at(check, changes))


def test_bounds_on_which_files_change():
    only = bound(only=("/workspace/src/**",))
    assert not broken(
        only,
        change("/workspace/src/a.py"),
        change("/tmp/x", "added"),
        change("/workspace/src", "metadata", "directory"),
    )
    assert "notes.md" in broken(only, change("/workspace/notes.md", "added"))[0]
    keep = bound(keep=("/workspace/tests/**",))
    assert not broken(keep, change("/workspace/tests/test_new.py", "added"))
    assert broken(keep, change("/workspace/tests/test_a.py"))
    assert broken(keep, change("/workspace/tests/test_a.py", "metadata"))
    assert broken(bound(max_files=1), change("/workspace/a"), change("/workspace/b"))


def test_what_is_left_by_the_way_is_no_hiding_place():
    check = bound(only=("/workspace/src/**",))
    by_the_way = ("__pycache__", "__pycache__/a.pyc", ".pytest_cache/v/cache/nodeids", ".pytest_cache/README.md")
    assert not broken(check, *(change(f"/workspace/{name}", "added") for name in by_the_way))
    for name in ("__pycache__/a.py", "__pycache__/b/a.pyc", ".pytest_cache/a.py"):
        assert broken(check, change(f"/workspace/{name}", "added"))


def test_tests_may_not_be_deleted_or_become_something_else():
    check = bound(no_deletion=("/workspace/tests/**",))
    assert not broken(check, change("/workspace/tests/test_a.py"))
    assert broken(check, change("/workspace/tests/test_a.py", "deleted"))
    assert broken(check, change("/workspace/tests/test_a.py", "modified", "symlink"))
    assert broken(bound(no_deletion=("/workspace/tests",)), change("/workspace/tests", "deleted", "directory"))


def test_bounds_on_lines():
    def lines(check, old, new):
        return broken_by_lines(check, [("/a", old.encode(), new.encode())])

    assert not lines(bound(max_lines=2), "a\nb\nc\n", "a\nB\nc\n")
    assert lines(bound(max_lines=1), "a\nb\nc\n", "a\nB\nc\n")
    keep = bound(keep_lines=r"^\s*def test_")
    assert not lines(keep, "def test_a():\n  x\n", "  def test_a():\n  y\ndef test_b():\n")
    assert "test_a" in lines(keep, "def test_a():\n  x\n", "def test_A():\n  x\n")[0]
    assert lines(keep, "def test_a():\n  x\n", "")
    assert lines(bound(max_lines=10), "a\n" * 30_000, "b\n" * 30_000)


@pytest.mark.parametrize(
    ("checks", "complaint"),
    [
        ([{"type": "change", "only": ("/a",)}], "doing nothing keeps"),
        ([{"type": "change"}], "bounds nothing"),
        ([{"type": "table", "path": "/a.csv", "sorted_by": ("a",)}], "asks nothing"),
        ([{"type": "table", "path": "/a", "count": 1}], "format is needed"),
        ([{"type": "file", "path": "/a", "matches": "("}], "no regular expression"),
        ([{"type": "file", "path": "/a", "exists": False, "lines": 1}], "can't hold"),
        ([{"type": "json", "path": "/a", "at": "a", "equals": 1}], "JSON Pointer"),
        ([{"type": "json", "path": "/a"}], "give one of"),
        ([{"type": "file", "path": "../a"}], "absolute"),
    ],
)
def test_wrong_settings_are_refused(checks, complaint):
    with pytest.raises(ValueError, match=complaint):
        Settings(checks=tuple(checks))


def grade(folder, checks, **content):
    spec = GraderSpec("state_diff", "state", settings={"checks": checks})
    (named,) = make_graders([spec])
    return named.grade(material(folder, **content))


def test_a_broken_bound_takes_the_whole_score(tmp_path):
    state = {"type": "file", "path": "/w/a.py", "contains": ["def f"]}
    bound = {"type": "change", "max_lines": 2, "keep_lines": "^def test_"}
    before = {"/w/a.py": "def test_x(): pass\n"}
    good = grade(tmp_path / "1", [state, bound], before=before, files={"/w/a.py": "def test_x(): pass\ndef f(): 1\n"})
    assert (good.score, good.error) == (1.0, None)
    bad = grade(tmp_path / "2", [state, bound], before=before, files={"/w/a.py": "def f(): 1\n"})
    assert bad.score == 0
    assert [component.score for component in bad.components] == [1, 0]


def test_idle_agents_get_nothing(tmp_path):
    state = {"type": "file", "path": "/w/a.py", "contains": ["x"]}
    bound = {"type": "change", "only": ["/w/**"]}
    assert grade(tmp_path, [state, bound], before={"/w/a.py": "x"}).score == 0


def test_another_mode_or_a_journal_is_no_other_content(tmp_path):
    def score(folder, check, *changes):
        (named,) = make_graders([GraderSpec("state_diff", "state", settings={"checks": [check]})])
        with closing(sqlite3.connect(tmp_path / "db")) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
        before = {"/w/a": "x", "/w/db": (tmp_path / "db").read_bytes()}
        made = material(folder, before=before, files={"/w/db-journal": "x"} if not changes else {})
        carried = made.work.carried | {one.path for one in changes}
        return named.grade(
            replace(made, work=replace(made.work, changes=[*made.work.changes, *changes], carried=carried))
        ).score

    touched = Change("/w/a", "metadata", "file", 0o644, 0, 0, 1, None, None)
    text = {"type": "file", "path": "/w/a", "contains": ["x"]}
    assert score(tmp_path / "1", text, touched) == 0
    assert score(tmp_path / "2", {"type": "file", "path": "/w/a", "mode": "0644"}, touched) == 1
    assert score(tmp_path / "3", text, replace(touched, kind="modified")) == 1
    asked = {"type": "sqlite", "path": "/w/db", "query": "SELECT count(*) FROM t", "equals": [[0]]}
    assert score(tmp_path / "4", asked) == 0


def test_a_database_is_not_judged_without_what_stands_beside_it(database, tmp_path):
    raw = database(ORDERS).content
    check = {"type": "sqlite", "path": "/w/db", "query": "SELECT count(*) FROM orders", "equals": [[2]]}
    assert grade(tmp_path / "1", [check], files={"/w/db": raw}).score == 1
    huge = grade(tmp_path / "2", [check], files={"/w/db": raw, "/w/db-wal": bytes((16 << 20) + 1)})
    assert (huge.score, "too large" in huge.components[0].message) == (0, True)


def test_links_and_giants_are_not_followed_and_not_read(tmp_path):
    made = material(tmp_path, files={"/w/big.csv": ""}, tests={"key.csv": "a\n1\n"})
    (tmp_path / "upper/w/out.csv").symlink_to(tmp_path / "tests/key.csv")
    with (tmp_path / "upper/w/big.csv").open("r+b") as file:
        file.truncate(1 << 40)
    checks = [
        {"type": "table", "path": f"/w/{name}.csv", "equals_file": "key.csv", "may_be_unchanged": True}
        for name in ("out", "big")
    ]
    (named,) = make_graders([GraderSpec("state_diff", "state", settings={"checks": checks})])
    told = named.grade(made)
    assert told.score == 0
    assert ["symlink" in told.components[0].message, "too large" in told.components[1].message] == [True, True]


def test_a_regular_expression_that_never_ends_comes_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(run_confined, "__kwdefaults__", {"cpu_seconds": 1})
    checks = [{"type": "file", "path": "/w/a", "matches": "^(a+)+$"}]
    told = grade(tmp_path, checks, files={"/w/a": "a" * 40 + "b"})
    assert told.score == 0
    assert "processor time" in told.components[0].message


def test_a_missing_reference_is_the_tasks_fault(tmp_path):
    told = grade(tmp_path, [{"type": "file", "path": "/w/a", "equals_file": "key"}], files={"/w/a": ""})
    assert told.score is None
    assert "tests/key" in (told.error or "")
