"""One number: what is read, what is refused, what counts as right."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llm_gym import DefinitionError, Rubric, ToolEnv
from llm_gym.verifiers.numeric import NumericMatch
from tests.envs.driving import play
from tests.json_values import any_text
from tests.verifiers.kit import PROBES, answered, stored

PLAIN = NumericMatch()
LENGTH = NumericMatch(units={"m": 1, "km": 1000, "cm": 0.01, "m/s": 1})
MONEY = NumericMatch(unit="$", unit_required=False)
BOXED = NumericMatch(extract="boxed")
COMMA = NumericMatch(decimal=",", units={"\u20ac": 1})
NEAR = NumericMatch(absolute=0.005)
SHARE = NumericMatch(percent_as_fraction=True)

HONEST = {
    "integer": (PLAIN, "42", 42),
    "integer_for_a_float": (PLAIN, "42", 42.0),
    "trailing_zeros": (PLAIN, "42.00", 42),
    "blanks": (PLAIN, " \n42 \t", 42),
    "plus": (PLAIN, "+42", 42),
    "minus": (PLAIN, "-42", -42),
    "minus_apart": (PLAIN, "- 42", -42),
    "true_minus": (PLAIN, "\u221242", -42),
    "minus_zero": (PLAIN, "-0", 0),
    "full_stop": (PLAIN, "42.", 42),
    "bold": (PLAIN, "**42**", 42),
    "dollars_of_latex": (PLAIN, "$42$", 42),
    "dollars_and_stop": (PLAIN, "$42$.", 42),
    "display": (PLAIN, "\\[ 42 \\]", 42),
    "parentheses_of_latex": (PLAIN, "\\(42\\)", 42),
    "named": (PLAIN, "x = 42", 42),
    "no_leading_zero": (PLAIN, ".5", 0.5),
    "tenth": (PLAIN, "0.1", 0.1),
    "thousands": (PLAIN, "1,234,567.5", 1234567.5),
    "thousands_by_spaces": (PLAIN, "1 234 567", 1234567),
    "thousands_by_narrow_spaces": (PLAIN, "1\u202f234", 1234),
    "thousands_of_latex": (PLAIN, "1{,}234", 1234),
    "scientific": (PLAIN, "1.5e3", 1500),
    "scientific_capital": (PLAIN, "15E-1", 1.5),
    "power_of_ten": (PLAIN, "1.5 \u00d7 10^3", 1500),
    "power_of_ten_of_latex": (PLAIN, "$1.5 \\times 10^{-3}$", 0.0015),
    "avogadro": (PLAIN, "6.02*10^23", 602 * 10**21),
    "fraction": (PLAIN, "3/4", 0.75),
    "fraction_for_a_text": (PLAIN, "-3/4", "-3/4"),
    "fraction_for_an_unreduced_text": (PLAIN, "3/4", "6/8"),
    "decimal_for_a_fraction": (PLAIN, "0.75", "3/4"),
    "fraction_of_latex": (PLAIN, "-\\frac{3}{4}", -0.75),
    "minus_in_the_fraction": (PLAIN, "\\dfrac{-3}{4}", -0.75),
    "mixed": (PLAIN, "1 3/4", 1.75),
    "mixed_of_latex": (PLAIN, "1\\frac{3}{4}", 1.75),
    "unreduced": (NumericMatch(fractions="any"), "6/8", 0.75),
    "percent": (PLAIN, "40%", "40%"),
    "percent_apart": (PLAIN, "40 %", "40 percent"),
    "percent_of_latex": (BOXED, "\\boxed{40\\%}", "40%"),
    "percent_unit": (NumericMatch(unit="%"), "40%", 40),
    "percent_or_share": (SHARE, "40%", 0.4),
    "share_or_percent": (SHARE, "0.4", "40%"),
    "unit": (LENGTH, "5 km", "5 km"),
    "unit_joined": (LENGTH, "5km", "5 km"),
    "other_unit": (LENGTH, "5000 m", "5 km"),
    "small_unit": (LENGTH, "500,000 cm", "5 km"),
    "compound_unit": (LENGTH, "5 m/s", "5 m/s"),
    "unit_of_latex": (
        NumericMatch(unit="km", extract="boxed"),
        "\\boxed{5\\,\\text{km}}",
        5,
    ),
    "degrees": (NumericMatch(unit="\u00b0", extract="boxed"), "\\boxed{90^\\circ}", 90),
    "bare_where_allowed": (MONEY, "18", 18),
    "dollars": (MONEY, "$18", 18),
    "dollars_escaped": (MONEY, "\\$18.00", 18),
    "dollars_negative": (MONEY, "-$18", -18),
    "dollars_inside": (MONEY, "$-18", -18),
    "decimal_comma": (COMMA, "1.234,5", 1234.5),
    "euros": (COMMA, "1.234,50 \u20ac", "1234,5 \u20ac"),
    "near": (NEAR, "0.67", "2/3"),
    "near_relative": (NumericMatch(relative=0.01), "3.14", math.pi),
    "near_in_its_unit": (
        NumericMatch(absolute=1, units=LENGTH.units),
        "5900 m",
        "5 km",
    ),
    "on_the_edge": (NumericMatch(absolute=0.1), "0.4", 0.3),
    "boxed": (BOXED, "2 or 3 tries: \\boxed{42}", 42),
    "boxed_twice": (BOXED, "\\boxed{42}, so \\boxed{42}", 42),
    "tag": (NumericMatch(extract="tag"), "1 2 3 <answer>42</answer>", 42),
    "answer_line": (NumericMatch(extract="answer_line"), "6 * 7\n**Answer:** 42.", 42),
    "last_line": (NumericMatch(extract="last_line"), "6 * 7 is\n42\n", 42),
    "huge": (PLAIN, "9" * 100, int("9" * 100)),
    "fraction_object": (PLAIN, "1/3", Fraction(1, 3)),
    "decimal_object": (PLAIN, "0.3", Decimal("0.3")),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HONEST.values(), ids=HONEST)
def test_honest_number_scores_one(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 1.0, score.reason
    assert score.parts == {"format": 1.0, "correct": 1.0}


HACKS = {
    **{f"probe_{name}": (PLAIN, text, 7) for name, text in PROBES.items()},
    **{
        f"probe_in_a_box_{name}": (BOXED, f"\\boxed{{{text}}}", 7)
        for name, text in PROBES.items()
    },
    "about": (PLAIN, "~42", 42),
    "about_in_dollars": (PLAIN, "$~42$", 42),
    "all_numbers": (PLAIN, " ".join(map(str, range(100))), 42),
    "numbers_by_commas": (PLAIN, "41, 42, 43", 42),
    "either": (PLAIN, "41 or 42", 42),
    "list": (PLAIN, "[42]", 42),
    "set_of_latex": (BOXED, "\\boxed{\\{41, 42\\}}", 42),
    "range": (PLAIN, "0-100", 42),
    "plus_minus": (PLAIN, "42 \\pm 1000", 42),
    "last_number_spam": (NumericMatch(extract="last_line"), "1 2 3\n40 41 42", 42),
    "boxes_of_all": (BOXED, "\\boxed{41} \\boxed{42}", 42),
    "answer_lines": (
        NumericMatch(extract="answer_line"),
        "Answer: 41\nAnswer: 42",
        42,
    ),
    "prose": (PLAIN, "The answer is 42", 42),
    "junk_behind": (PLAIN, "42 apples", 42),
    "junk_before": (PLAIN, "about 42", 42),
    "prefix": (PLAIN, "4", 42),
    "doubled": (PLAIN, "4242", 42),
    "off_by_one": (PLAIN, "41", 42),
    "sign_lost": (PLAIN, "42", -42),
    "two_signs": (PLAIN, "--42", 42),
    "two_signs_in_a_fraction": (PLAIN, "-\\frac{-3}{4}", 0.75),
    "sign_twice_with_a_unit": (MONEY, "-$-18", 18),
    "true_for_one": (PLAIN, "True", 1),
    "false_for_zero": (PLAIN, "False", 0),
    "empty_for_zero": (PLAIN, "", 0),
    "list_for_zero": (PLAIN, "[]", 0),
    "nan_for_zero": (PLAIN, "nan", 0),
    "nan_near": (NumericMatch(absolute=1e9), "nan", 0),
    "infinity_near": (NumericMatch(relative=0.99), "inf", 1e308),
    "huge_near": (NumericMatch(relative=0.99), "1e999", 1e308),
    "arabic_digits": (PLAIN, "\u0664\u0662", 42),
    "full_width_digits": (PLAIN, "\uff14\uff12", 42),
    "superscript": (PLAIN, "4\u00b2", 42),
    "roman": (PLAIN, "\u2163", 4),
    "vulgar_fraction": (PLAIN, "\u00bd", 0.5),
    "hyphen_look_alike": (PLAIN, "\u201042", -42),
    "letter_o": (PLAIN, "1O", 10),
    "letter_l": (PLAIN, "l0", 10),
    "zero_width": (PLAIN, "4\u200b2", 42),
    "underscores": (PLAIN, "1_000", 1000),
    "hexadecimal": (PLAIN, "0x2A", 42),
    "bad_groups": (PLAIN, "4,2", 42),
    "bad_last_group": (PLAIN, "1,23", 123),
    "group_of_zero": (PLAIN, "0,042", 42),
    "list_that_looks_grouped": (PLAIN, "12,345", 12),
    "two_points": (PLAIN, "4.2.0", 4.2),
    "two_stops": (PLAIN, "42..", 42),
    "sum": (PLAIN, "40 + 2", 42),
    "product": (PLAIN, "6 * 7", 42),
    "power": (PLAIN, "2^3", 8),
    "power_of_ten_alone": (PLAIN, "10^3", 1000),
    "equation": (PLAIN, "42 = 42", 42),
    "python_power": (PLAIN, "9**9**9", 42),
    "factorial": (PLAIN, "4!", 24),
    "division_not_made": (PLAIN, "144/12", 12),
    "division_by_one": (PLAIN, "42/1", 42),
    "unreduced": (PLAIN, "6/8", 0.75),
    "fraction_refused": (NumericMatch(fractions="none"), "3/4", 0.75),
    "by_zero": (PLAIN, "0/0", 0),
    "by_zero_anyway": (NumericMatch(fractions="any"), "42/0", 42),
    "fraction_of_fraction": (PLAIN, "1/2/3", 0.5),
    "improper_mixed": (PLAIN, "1 7/4", 2.75),
    "negative_mixed": (PLAIN, "2\\frac{-1}{4}", 1.75),
    "percent_for_a_number": (PLAIN, "42%", 42),
    "number_for_a_percent": (PLAIN, "42", "42%"),
    "share_for_a_percent": (PLAIN, "0.42", "42%"),
    "percent_for_a_share": (PLAIN, "42%", 0.42),
    "percent_not_as_share": (SHARE, "40", "40%"),
    "permille": (PLAIN, "42\u2030", "42%"),
    "two_percents": (PLAIN, "42%%", "42%"),
    "unit_left_out": (LENGTH, "5", "5 km"),
    "unit_too_much": (LENGTH, "5 km", 5),
    "wrong_unit": (LENGTH, "5 m", "5 km"),
    "unknown_unit": (LENGTH, "5 miles", "5 km"),
    "unit_in_capitals": (LENGTH, "5 KM", "5 km"),
    "units_of_all": (LENGTH, "5 m km", "5 km"),
    "unit_alone": (LENGTH, "km", "5 km"),
    "unit_before_and_behind": (MONEY, "\\$18 \\$", 18),
    "other_currency": (MONEY, "\u20ac18", 18),
    "percent_where_a_unit": (MONEY, "18%", 18),
    "cyrillic_unit": (LENGTH, "5 \u043am", "5 km"),
    "comma_for_a_point": (COMMA, "1,234", 1234),
    "point_for_a_comma": (COMMA, "42.5", 42.5),
    "just_outside": (NEAR, "0.6721", 0.667),
    "relative_of_zero": (NumericMatch(relative=0.9), "0.1", 0),
    "exponent_of_many_digits": (PLAIN, "1e0000000000000000000003", 1000.5),
    "tiny_exponent": (PLAIN, "1e-999999999", 0),
    "too_many_digits": (PLAIN, "42." + "0" * 200, 42),
    "only_thought": (PLAIN, "<think>42</think>", 42),
    "json": (PLAIN, '{"answer": 42}', 42),
    "quoted": (PLAIN, '"42"', 42),
}


@pytest.mark.parametrize(("verifier", "text", "gold"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(verifier, text, gold):
    score = verifier.score(text, gold)
    assert score.value == 0.0, score.reason
    assert score.reason


WORDS = [
    ("1e999", "an exponent is read up to 308"),
    ("9" * 101, "it has more than 100 digits"),
    ("1/0", "it divides by zero"),
    ("2/4", "the fraction is not in lowest terms"),
    ("5 6", "'6' behind the number is no unit that is read"),
    ("five", "'five' does not begin with one"),
    ("-\\frac{-1}{2}", "it has two signs"),
    ("1 3/2", "the fraction of a mixed number must be below 1"),
]


@pytest.mark.parametrize(("text", "why"), WORDS)
def test_what_is_no_number_says_why(text, why):
    assert PLAIN.score(text, 5).reason == f"the answer is not one number: {why}"
    assert PLAIN.score(text, 5).parts["format"] == 0.0


def test_another_kind_says_which():
    reason = PLAIN.score("5%", 5).reason
    assert reason == "the answer is in `%`, which is another kind"
    reason = PLAIN.score("5", "5%").reason
    assert reason == "the answer is a bare number, which is another kind"


def test_a_reason_never_tells_what_is_right():
    for text in ("1", "", "1%", "nan", "1 km"):
        assert "123457" not in PLAIN.score(text, 123457).reason


BAD_GOLDS = [
    *(None, True, False, math.nan, math.inf, [], [42], {}, {"value": 42}),
    *("", "nan", "42 or 43", "five", "5 km", "1e999", "9" * 500),
]


@pytest.mark.parametrize("gold", BAD_GOLDS)
@pytest.mark.parametrize("text", ["42", ""])
def test_a_gold_that_is_no_number_is_never_a_zero(gold, text):
    with pytest.raises(DefinitionError, match="`NumericMatch` needs a finite number"):
        PLAIN.score(text, gold)


@pytest.mark.parametrize("name", ["absolute", "relative"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, True, "0.1", None])
def test_a_tolerance_must_be_finite_and_not_negative(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number from 0 on"):
        NumericMatch(**{name: value})


def test_a_relative_tolerance_must_be_below_one():
    with pytest.raises(ValueError, match=r"from 0 on, below 1, not 1\.0"):
        NumericMatch(relative=1.0)


@pytest.mark.parametrize("unit", ["%", "5m", "", " m", "m ", "-", "m.", 3, "a{b"])
def test_a_unit_must_be_one(unit):
    with pytest.raises(ValueError, match="a unit must be a text without digits"):
        NumericMatch(units={unit: 1})


@pytest.mark.parametrize("size", [0, -1, math.inf, math.nan, "1", True])
def test_the_size_of_a_unit_must_be_above_zero(size):
    with pytest.raises(ValueError, match="the size of `m` must be above 0"):
        NumericMatch(units={"m": size})


@pytest.mark.parametrize(
    ("argument", "match"),
    [
        ({"fractions": "all"}, "`fractions` must be 'reduced', 'any' or 'none'"),
        ({"decimal": ";"}, "`decimal` must be '.' or ',', not ';'"),
        ({"extract": "first"}, "`extract` must be one of"),
    ],
)
def test_a_mode_must_be_known(argument, match):
    with pytest.raises(ValueError, match=match):
        NumericMatch(**argument)


@given(any_text | st.text("0123456789.,-+eE/ %$\\{}fracxk^*", max_size=40))
def test_no_text_raises(text):
    for verifier in (PLAIN, LENGTH, MONEY, COMMA, BOXED):
        assert verifier.score(text, 42.5).value in (0.0, 1.0)


@given(st.integers(-(10**99), 10**99))
def test_an_integer_scores_as_itself_and_grouped(number):
    for text in (str(number), f"{number:,}", f"{number:,}".replace(",", " ")):
        assert PLAIN.score(text, number).value == 1.0
        assert PLAIN.score(text, number + 1).value == 0.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_scores_as_python_writes_it(number):
    assert PLAIN.score(repr(number), number).value == 1.0
    other = math.nextafter(number, math.inf)
    assume(math.isfinite(other) and other != number)
    assert PLAIN.score(repr(number), other).value == 0.0


@given(st.fractions(max_denominator=10**9))
def test_a_fraction_scores_in_lowest_terms(number):
    assert PLAIN.score(str(number), number).value == 1.0
    over, under = number.as_integer_ratio()
    text = f"{2 * over}/{2 * under}"
    assert PLAIN.score(text, number).value == 0.0
    assert NumericMatch(fractions="any").score(text, number).value == 1.0


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(0, 50))
def test_the_tolerance_is_exact(number, other, allowed):
    verifier = NumericMatch(absolute=allowed)
    right = abs(number - other) <= allowed
    assert verifier.score(str(other), number).value == float(right)


class SumEnv(ToolEnv):
    """What an author would write."""

    verifier = NumericMatch(extract="answer_line")


def test_it_works_as_a_class_attribute_and_in_a_rubric_and_pickled():
    task = answered("", 42).task
    record = play(SumEnv(), ["6 * 7\nAnswer: 42"], options={"task": task})
    assert record.score.value == 1.0
    rubric = Rubric({"number": (SumEnv.verifier, 2)})
    assert rubric.verify(stored(record)).value == 1.0
    assert pickle.loads(pickle.dumps(LENGTH)) == LENGTH


def test_a_missing_answer_scores_zero():
    assert PLAIN.verify(answered("<tool_call>{}</tool_call>", 42)).value == 0.0
