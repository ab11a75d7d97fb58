"""The language of filters: what it says, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_gym.adapters.offline.expressions import UntoldError, parse
from llm_gym.adapters.offline.selection import field_kinds

FACTS = {
    "reward": 0.75,
    "turns": 4,
    "valid": True,
    "truncated": False,
    "stop_reason": "answer",
    "task": "train-0-7",
    "tokens": None,
    "level": 0,
    "parts.format": 0.5,
    "parts.format-ok": 1.0,
}


def said(text, facts=FACTS, kind="truth"):
    return parse(text, field_kinds(), kind)(facts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reward >= 0.5 and turns < 10 and valid", True),
        ("reward >= 0.8 and turns < 10 and valid", False),
        ("reward >= 0.8 or turns == 4", True),
        ("not truncated", True),
        ("not (valid and reward > 0.7)", False),
        ("0.5 < reward < 1", True),
        ("0.5 < reward < 0.6", False),
        ("reward * 4 - 1 == 2", True),
        ("reward / turns > 0.1 + 0.05", True),
        ("-reward < 0", True),
        ('stop_reason == "answer"', True),
        ("stop_reason in ('max_turns', 'max_tokens')", False),
        ("stop_reason not in ['max_turns', 'max_tokens']", True),
        ("level in (0, 1)", True),
        ('"train" in task', True),
        ("parts.format >= 0.5", True),
        ('parts["format-ok"] == 1', True),
        ("tokens is None or tokens < 5", True),
        ("tokens is not None and tokens < 5", False),
        ("parts.absent is None", True),
        ("valid == True", True),
        ("  valid  ", True),
    ],
)
def test_what_expressions_say(text, expected):
    assert said(text) is expected


@pytest.mark.parametrize("text", ["tokens > 3", "not tokens > 3", "parts.absent > 0"])
def test_what_is_not_told_decides_nothing(text):
    with pytest.raises(UntoldError, match="is not told"):
        said(text)


def test_a_decided_half_needs_no_other_half():
    assert said("valid or tokens > 3") is True
    assert said("truncated and tokens > 3") is False


def test_numbers_may_be_asked_for():
    assert said("reward - 0.01 * turns", kind="number") == pytest.approx(0.71)
    with pytest.raises(ValueError, match="must come to a number, it comes to yes or"):
        said("valid", kind="number")
    with pytest.raises(ValueError, match="must come to yes or no, it comes to a num"):
        said("reward")


@pytest.mark.parametrize("text", ["reward / level > 1", "1 / (turns - 4) > 0"])
def test_dividing_by_zero_is_no_value(text):
    with pytest.raises(ValueError, match="divides by zero"):
        said(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rewrad >= 0.8", r"character 1: `rewrad` is no field \(did you mean `reward`"),
        ("valid and sucess", r"character 11: `sucess` is no field .*`success`"),
        ("zzz > 1", r"the fields are `attempts`, `calls`, .*, and `parts.NAME`"),
        ("parts > 1", "write `parts.NAME`"),
        ("reward >= '1'", "a number cannot be compared with a text"),
        ("valid > 0.5", "yes or no cannot be compared with a number"),
        ("reward == None", "write `is None`"),
        ("tokens is 5", "`is` but in `FIELD is None`"),
        ("valid and reward", "character 11: expected yes or no here, found a number"),
        ("-valid < 1", "expected a number here"),
        ("task + task == 'aa'", "expected a number here, found a text"),
        ("task * 1000000000 == 'a'", "expected a number here, found a text"),
        ("reward in 3", "cannot be looked for in a number"),
        ("3 in task", "only a text can be looked for in a text"),
        ("reward in (turns, 3)", "a list of anything but numbers and texts"),
        ("reward >=", "cannot be read: invalid syntax"),
        ("", "cannot be read"),
        ("reward = 1", "cannot be read"),
        ("reward >= 1or valid", "cannot be read"),
        ("a\x00b", "cannot be read"),
        ("reward > 1e999", "is not part of this language"),
        ("reward > 9007199254740993", "is not part of this language"),
        ("reward > 1j", "is not part of this language"),
        ("task == b'x'", "is not part of this language"),
        ("reward > ...", "is not part of this language"),
    ],
)
def test_mistakes_are_pointed_at(text, expected):
    with pytest.raises(ValueError, match=expected) as caught:
        said(text)
    assert "\n" not in str(caught.value).replace(text, "")


HOSTILE = [
    "__import__('os').system('true')",
    "__builtins__",
    "open('/etc/passwd')",
    "().__class__.__mro__[1].__subclasses__()",
    "reward.__class__",
    "parts.__class__.__init__",
    "parts['a'].real > 1",
    "task.format(task) == 'a'",
    "parts[0] > 1",
    "parts[task] > 1",
    "task[0] == 'a'",
    "(lambda: 1)() > 0",
    "[x for x in (1, 2)] == 1",
    "any(x for x in (1, 2))",
    "1 if valid else 2",
    "(reward := 1) > 0",
    "f'{reward}' == '1'",
    "{1: 2} == 1",
    "{1, 2} == 1",
    "reward ** 1000 > 1",
    "9 ** 9 ** 9 ** 9 > 1",
    "1 << 100000000 > 1",
    "turns % 2 == 0",
    "turns // 2 == 0",
    "~turns > 1",
    "reward @ reward > 1",
    "valid and await_",
    "*valid",
    "lambda: valid",
    "valid; valid",
    "import os",
    "print(1)",
    "eval('1')",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_else_is_understood(text):
    with pytest.raises(ValueError, match="the filter"):
        said(text)


@pytest.mark.parametrize(
    "text",
    [
        "valid and " * 1_000 + "valid",
        " or ".join(["valid"] * 200),
        "(" * 900 + "valid" + ")" * 900,
        "not " * 400 + "valid",
        "-" * 1_500 + "1 > 0",
        "1" * 1_900 + " > reward",
        "reward" + " < 1" * 300,
        "+".join(["1"] * 400) + " > 0",
        "[" * 900,
    ],
)
def test_giants_are_refused_at_once(text):
    with pytest.raises(
        ValueError, match=r"too large|too deep|at most|read|is not part"
    ):
        said(text)


@given(st.text(max_size=60) | st.text("()[]+-*/<>=!. andortiv1", max_size=60))
def test_any_text_is_an_expression_or_a_value_error(text):
    try:
        expression = parse(text, field_kinds(), "truth")
        verdict = expression(FACTS)
    except ValueError:
        return
    assert isinstance(verdict, bool)


atoms = st.sampled_from(["valid", "truncated", "reward > 0.5", "turns < 3"])
trees = st.recursive(
    atoms,
    lambda inner: (
        st.builds("not ({})".format, inner)
        | st.builds("({}) and ({})".format, inner, inner)
        | st.builds("({}) or ({})".format, inner, inner)
    ),
    max_leaves=8,
)


@given(trees)
def test_connectives_are_those_of_python(text):
    names = {key: value for key, value in FACTS.items() if key.isidentifier()}
    assert said(text) is eval(text, {"__builtins__": {}}, names)


def test_unknown_parts_are_listed():
    expression = parse("parts.fromat > 0", field_kinds(), "truth")
    expression.check_parts({"fromat"})
    with pytest.raises(
        ValueError, match=r"no episode's score has this part \(did you m"
    ):
        expression.check_parts({"format", "length"})
    with pytest.raises(ValueError, match="the parts are none"):
        expression.check_parts(set())
