"""Hidden tests of `calc.evaluate`, run in the same process as the module."""

import sys
from fractions import Fraction

sys.path.insert(0, "/workspace/src")

import calc


def error_position(text):
    """Where `evaluate` says the error is; None where it raises none."""
    try:
        calc.evaluate(text)
    except calc.CalcError as error:
        return error.position
    return None


def test_number():
    assert calc.evaluate("42") == 42


def test_decimal_is_exact():
    assert calc.evaluate("0.1 + 0.2") == Fraction(3, 10)


def test_product_binds_tighter():
    assert calc.evaluate("7 + 3 * 5 - 1") == 21


def test_left_to_right():
    assert calc.evaluate("100 - 10 - 5 / 5 / 2") == Fraction(179, 2)


def test_parentheses():
    assert calc.evaluate("((1 + 2) * (3 + 4))") == 21


def test_power_right_to_left():
    assert calc.evaluate("2 ^ 3 ^ 2") == 512


def test_sign_before_power():
    assert calc.evaluate("-3 ^ 2") == -9


def test_sign_in_exponent():
    assert calc.evaluate("4 ^ -2") == Fraction(1, 16)


def test_repeated_signs():
    assert calc.evaluate("1 - --+-2") == 3


def test_tabs_and_spaces():
    assert calc.evaluate("\t 6 /\t4 ") == Fraction(3, 2)


def test_deep_nesting():
    assert calc.evaluate("(" * 100 + "5" + ")" * 100) == 5


def test_long_sum():
    assert calc.evaluate("+".join(str(number) for number in range(2000))) == 1999000


def test_error_in_empty_text():
    assert error_position("") == 0


def test_error_at_early_end():
    assert error_position("1 + ") == 4


def test_error_at_stray_character():
    assert error_position("2 * x") == 4


def test_error_between_two_numbers():
    assert error_position("1 2") == 2


def test_error_at_division_by_zero():
    assert error_position("8 / (2 - 2)") == 2


def test_error_at_broken_exponent():
    assert error_position("2 ^ 0.5") == 2
