"""The value grader: right answers in any honest spelling, and nothing for anything else."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.grading.value.compare import judge
from affidavit.grading.value.settings import (
    CollectionCheck,
    DateCheck,
    JsonCheck,
    NumberCheck,
    Settings,
    TextCheck,
)
from affidavit.grading.value.units import known_unit

ANSWER = "/workspace/answer"


def number(**settings):
    return NumberCheck(type="number", answer=ANSWER, **settings)


def text(expected, **settings):
    return TextCheck(type="text", answer=ANSWER, expected=expected, **settings)


def items(kind, *expected, **settings):
    return CollectionCheck(type=kind, answer=ANSWER, expected=expected, **settings)


def document(expected, **settings):
    return JsonCheck(type="json", answer=ANSWER, expected=expected, **settings)


def day(expected, **settings):
    return DateCheck(type="date", answer=ANSWER, expected=expected, **settings)


def score(check, raw):
    return judge(check, raw if isinstance(raw, bytes) else raw.encode())[0]


@pytest.mark.parametrize("raw", ["1234.5", " 1,234.5\n", "+1.2345e3", "1234.50000", "\ufeff1234.5", "12345e-1"])
def test_a_number_may_be_spelt_in_many_ways(raw):
    assert score(number(expected=1234.5), raw) == 1


@pytest.mark.parametrize(
    "raw",
    [
        "", "nan", "NaN", "inf", "-inf", "1e999", "1e9999", "١٢٣٤", "１２３４.5", "1234.5²", "1_234.5", "1,23,4.5",
        "1234.5 or 7", "0x4d2", "1" * 5000, "9**9**9", "{}", "[1234.5]", "true", "1234.5.0", "--1234.5", "\0",
    ],
)  # fmt: skip
def test_what_is_no_number_or_another_scores_nothing(raw):
    assert score(number(expected=1234.5), raw) == 0


def test_tolerances_are_exact_in_decimal():
    assert score(number(expected=0.3, tolerance=0.1), "0.4") == 1
    assert score(number(expected=0.3, tolerance=0.1), "0.40000000000000001") == 0
    assert score(number(expected=-200, relative=0.01), "-202") == 1
    assert score(number(expected=-200, relative=0.01), "-202.1") == 0


def test_a_near_number_scores_in_part_where_the_task_says_so():
    check = number(expected=10, tolerance=1, zero_at=3)
    assert [score(check, raw) for raw in ("11", "12", "13", "1e999")] == [1, 0.5, 0, 0]


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [("41.5 m", 1), ("4150cm", 1), ("0.0415 km", 1), ("41.5", 0), ("41.5 s", 0), ("41.5 m^9^9^9", 0), ("41.5 __x__", 0),
     ("41.5 m²", 0), ("41.5 metre", 1), ("41.5 " + "m*" * 5000 + "m", 0), ("41.5 lambda", 0), ("4,150.0 cm", 1)],
)  # fmt: skip
def test_units_are_converted_and_never_evaluated(raw, wanted):
    assert score(number(expected=41.5, unit="m"), raw) == wanted


@pytest.mark.parametrize("unit", ["m**2**2", "2*m", "m^(2)", "m^10", "(m)", "m.real", "m**-1**9", ""])
def test_what_pint_would_reckon_with_is_no_unit(unit):
    assert not known_unit(unit)


def test_units_with_powers_and_offsets():
    assert score(number(expected=9.81, unit="m/s^2"), "981 cm/s²") == 1
    assert score(number(expected=25, unit="degC"), "298.15 kelvin") == 1
    assert score(number(expected=41.5, unit="m", unit_required=False), "41.5") == 1


@pytest.mark.parametrize(
    "raw", ["It's “fine”", '  it’s   "FINE"\n', "'It's \"fine\"'", "`it's 'fine'`".replace("'fine'", '"fine"')]
)
def test_case_quotes_and_space_are_forgiven(raw):
    assert score(text('It\'s "fine"'), raw) == 1


@pytest.mark.parametrize("raw", ["pаypal", "paypa1", "pay\u200bpal", "paypal paypal", "", "{}"])
def test_look_alikes_are_not(raw):
    assert score(text("paypal"), raw) == 0


def test_composed_and_decomposed_letters_are_the_same():
    assert score(text("café"), "cafe\u0301") == 1
    assert score(text("a b", forgive=()), "A b") == 0


def test_naming_everything_gains_nothing():
    check = items("set", "a", "b", partial=True)
    assert score(check, "b\nA\na") == 1
    assert score(check, "\n".join("abcdefghij")) == 0.2
    assert score(items("set", "a", "b"), "a\nb\nc") == 0
    assert score(check, "\n".join(str(n) for n in range(50_000))) == 0


def test_lists_have_an_order_and_numbers_a_tolerance():
    assert score(items("list", 1, 2, items="number", tolerance=0.1), "[1.05, 2]") == 1
    assert score(items("list", 1, 2, items="number"), "2\n1") == 0
    assert score(items("set", 1, 2, items="number", tolerance=0.1), "[1.0, 1.01, 2]") == 0
    assert score(items("list", "a", "b", "c", "d", partial=True), "a,b,x,d") == 0
    assert score(items("list", "a", "b", "c", "d", partial=True, separator=","), "a,b,x,d") == 0.75


def test_json_is_compared_by_value_and_kind():
    check = document({"a": [1, 2.5, {"b": None}], "c": "x"})
    assert score(check, '{"c":"x","a":[1.0,2.50,{"b":null}]}') == 1
    for wrong in ('{"c":"x","a":[true,2.5,{"b":null}]}', "{}", '{"c":"x","a":[1,2.5,{"b":null}],"d":1}', "[]"):
        assert score(check, wrong) == 0
    # Of the four values of either, three are right; and one more counts against it.
    assert score(document({"a": [1, 2], "b": 3, "c": 4}, partial=True), '{"a":[1,9],"b":3,"c":4}') == 0.75
    assert score(document({"a": 1}, partial=True), '{"a":1,"b":1,"c":1,"d":1}') == 0.25


@pytest.mark.parametrize(
    "raw",
    [
        "[" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000, '{"a": NaN}', '{"a": 1e999999999999}', '{"a": ' + "9" * 5000 + "}",
        '{"a": 0, "a": 1}', '{"a": Infinity}', '{"a": 1,}', '{"a": 1e-999999999}', '[' + "[]," * 10 + "1]" + "]",
    ],
)  # fmt: skip
def test_json_bombs_score_nothing(raw):
    assert score(document({"a": 1}, partial=True), raw) == 0
    assert score(number(expected=1, at="$..a"), raw) == 0


@pytest.mark.parametrize(
    "exponent", ["1e999999999999999999999999", "1e-999999999999999999999999", "-1E+1000000000000000000"]
)
def test_an_exponent_that_decimal_has_no_room_for_scores_nothing(exponent):
    assert score(document({"a": 1}), f'{{"a": {exponent}}}') == 0
    assert score(number(expected=1), exponent) == 0


def test_a_million_quotes_are_taken_off_in_no_time():
    quotes = "'" * 1_000_000
    assert score(text("x"), f"{quotes} x {quotes}") == 1
    assert score(text("x"), quotes) == 0


def test_a_document_that_is_no_json_elsewhere_holds_no_value():
    for raw in ('{"a": 3, "b": NaN}', '{"a": 3, "b": [1, 2,]}', '{"a": 3} x', '{"b": 1, "b": 2, "a": 3}'):
        assert score(number(expected=3, at="/a"), raw) == 0


def test_a_value_of_a_document_is_found_by_pointer_and_by_path():
    raw = '{"rows": [{"total": "41.5"}, {"total": 7}]}'
    assert score(number(expected=41.5, at="/rows/0/total"), raw) == 1
    assert score(number(expected=7, at="$.rows[-1].total"), raw) == 1
    assert score(number(expected=7, at="$..total"), raw) == 0  # two values are no answer
    assert score(number(expected=7, at="/rows/2/total"), raw) == 0
    assert score(number(expected=7, at="/total"), '"{\\"total\\": 7}"') == 0  # JSON in a text is a text


def test_dates():
    assert score(day(date(2024, 5, 1)), "2024-05-01") == 1
    assert score(day(date(2024, 5, 1)), "01.05.2024") == 0
    assert score(day(date(2024, 5, 1), formats=("%d.%m.%Y",)), "01.05.2024") == 1
    moment = day(datetime(2024, 5, 1, 12, tzinfo=UTC), tolerance_s=60)
    assert score(moment, "2024-05-01T14:00:30+02:00") == 1
    assert score(moment, "2024-05-01T12:02:00Z") == 0
    assert score(moment, "2024-05-01") == 0
    for rubbish in (
        "0000-00-00",
        "9999-99-99",
        "tomorrow",
        "2024-05-0١",
        "2024-05-01" * 100,
        "01.05.２０２４",
        "2٤.05.2024",
    ):
        assert score(day(date(2024, 5, 1), formats=("%d.%m.%Y",)), rubbish) == 0


CHECKS = [
    number(expected=3), number(expected=3, unit="m", zero_at=2), number(expected=3, at="$..a"), text("x"),
    items("set", "a", partial=True), items("list", 1, items="number", partial=True), document({"a": 1}, partial=True),
    day(date(2024, 5, 1), formats=("%d %b %Y", "%j")), text("x", at="/a"),
]  # fmt: skip


@given(st.binary(max_size=200), st.sampled_from(CHECKS))
def test_rubbish_is_never_an_error(raw, check):
    assert 0 <= judge(check, raw)[0] <= 1


@given(st.text(alphabet='0123456789.,eE+-mcsk[]{}":\\ \n²°%*/^', max_size=60), st.sampled_from(CHECKS))
def test_what_looks_like_an_answer_is_never_an_error(raw, check):
    assert 0 <= judge(check, raw.encode())[0] <= 1


def test_a_missing_answer_scores_nothing():
    assert judge(text("x"), None)[0] == 0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"type": "text", "expected": " ' ' "}, "empty answer would be right"),
        ({"type": "number", "expected": float("nan")}, "finite"),
        ({"type": "number", "expected": 1, "unit": "blorp"}, "unknown"),
        ({"type": "number", "expected": 1, "tolerance": 2, "zero_at": 1}, "farther away"),
        ({"type": "json", "expected": {}}, "empty answer would be right"),
        ({"type": "set", "expected": ()}, "not empty"),
        ({"type": "set", "expected": ("a",), "items": "number"}, "no number"),
        ({"type": "number", "expected": 1, "at": "total"}, "JSON Pointer"),
        ({"type": "number", "expected": 1, "answer": "answer.txt"}, "absolute path"),
    ],
)
def test_settings_that_would_pay_for_nothing_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        Settings(checks=({"answer": ANSWER, **settings},))
