import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.contracts.cel import CelError, compile_cel, compile_condition


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ('e.op == "exec" && e.exe.endsWith("/gcc")', "event"),
        ("event.ok ? e.ret > 0x1F : !(e.port in [80, 443])", "event"),
        ("process.ancestors.exists(a, a.glob('/usr/bin/gcc*'))", "event"),
        ('trace.exists(e, e.op == "exec" && e.exe.endsWith("/gcc")) // once', "record"),
        ('trace.filter(x, x.op == "exec").count(y, "git" in y.argv) <= 3', "record"),
        ("size(diff) < 10 && diff.all(c, c.kind == 'added')", "record"),
        ("trace.all(e, process.exe == e.exe)", "record"),
    ],
)
def test_what_is_taken(text: str, about: str) -> None:
    assert compile_cel(text).about == about


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("e.op ==", (1, 8), "ends too early"),
        ("e.op == \n  'a", (2, 3), "holds a string that does not end"),
        ("e.op # 1", (1, 6), "holds the character '#', which CEL has no use for"),
        ("e.op == == 1", (1, 9), "can't have '==' here"),
        ("e.pth == ''", (1, 3), "an event has no field 'pth'; did you mean 'path'?"),
        ("e.op == 'exce'", (1, 1), "there is no op 'exce'; did you mean 'exec'?"),
        ("e.op in ['exce']", (1, 9), "there is no op 'exce'; did you mean 'exec'?"),
        ("e.ok && f.ok", (1, 9), "there is no 'f' here, only diff, e, process, trace"),
        ("e.path.startswith('a')", (1, 1), "a string has no startswith(); did you mean 'startsWith'?"),
        ("e.path < 'a'", (1, 1), "'<' is for whole numbers, not for a string and a string"),
        ("e.path == 3", (1, 1), "compares a string with a whole number"),
        ("e.ok && e.ret", (1, 9), "'&&' is for a bool, not for a whole number"),
        ("e.ret", (1, 1), "must be true or false in the end, not a whole number"),
        ("e.path.matches('(')", (1, 1), "'(' is not a regular expression (RE2): missing ): ("),
        ("e.path.glob('a')", (1, 1), "the pattern 'a' must begin with '/' or '**'"),
        ("e.path == null", (1, 11), "null is not taken; has(e.path) tells whether a field is there"),
        ("e.ret > 1.5", (1, 9), "only whole numbers are taken"),
        ("e.argv[0] == 'x'", (1, 1), "an index is not taken"),
        ("e.ret / e.pid == 1", (1, 1), "'/' wants a number above 0 written on its right"),
        ("e.path == '\\q'", (1, 11), "holds the escape \\q, which is none"),
        ("e.ret == 9223372036854775808", (1, 10), "is a number of more than 64 bits"),
        ("trace.exists(e, trace.exists(f, f.pid == e.pid))", (1, 17), "is a question on the record inside of another"),
        ("trace.exists(x, e.ok)", (1, 17), "is not to be had inside of a question on the record"),
        ("e.argv.exists(a, e.ok)", (1, 18), "is not to be had inside of a question on the record"),
        ("trace.map(x, x.pid)", (1, 1), "trace has no map()"),
        ("size(trace) > 3 && e.ok", (1, 1), "asks both of one event (e) and of the record"),
        ("true", (1, 1), "asks nothing of an event (e), its process, a turn, the trace, the diff or the turns"),
        ("&&".join(["e.ok"] * 600), (1, 1), "is too large"),
        ("!" * 100 + "e.ok", (1, 62), "is too large"),
    ],
)
def test_what_is_not_taken_says_where_and_why(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(CelError) as caught:
        compile_cel(text)
    assert str(caught.value).startswith(message)
    assert (caught.value.line, caught.value.column) == place
    assert "\n" not in str(caught.value)


def test_a_selector_asks_of_one_event() -> None:
    with pytest.raises(CelError, match="may only ask of the event"):
        compile_condition("trace.exists(e, e.ok)")


@given(st.text(st.sampled_from("e.()!&|=<>+-*/%?:[]{}'\"\\,x1 0pathintrcesize\n"), max_size=60))
def test_any_text_is_an_expression_or_an_error(text: str) -> None:
    with suppress(CelError):
        compile_cel(text)


def test_no_text_takes_long() -> None:
    begin = time.process_time()
    for text in ("(" * 2000, "e.ok ? " * 500, "[" * 4000, "-" * 4000 + "1 == e.ret", "e" + ".a" * 1000):
        with pytest.raises(CelError):
            compile_cel(text)
    assert time.process_time() - begin < 2
