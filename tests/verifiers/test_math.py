from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from llm_gym import Task
from llm_gym.errors import DefinitionError, MissingDependencyError
from llm_gym.verifiers import _math_grader, math
from llm_gym.verifiers._math_text import Refused, clean, number, split_unit
from llm_gym.verifiers.math import MathMatch

WHOLE = MathMatch(extract="whole")

HONEST = r"""
5|5
5|5.0
5|+5
5|5.
5|$5$
5|\(5\)
5|x = 5
5|x=5
5|5\text{ cm}
5|5 cm
5|\$5
90|90^\circ
90|90°
-3|−3
1200|1,200
1200|1{,}200
1200|1\,200
1200000|1.2\times 10^{6}
\frac{1}{2}|0.5
\frac{1}{2}|1/2
\frac{1}{2}|\frac12
\frac{1}{2}|\dfrac{1}{2}
\frac{1}{2}|50\%
\frac{1}{2}|\frac{2}{4}
-\frac{1}{2}|\frac{-1}{2}
\frac{3}{2}|1\frac{1}{2}
\frac{3}{2}|1 1/2
\frac{3}{2}|1.5
0.125|\frac18
25\%|0.25
25\%|25%
2\sqrt{3}|2\sqrt{3}
2\sqrt{3}|2\sqrt3
2\sqrt{3}|\sqrt{12}
2\sqrt{3}|2√3
2\sqrt{3}|2*sqrt(3)
2\sqrt{3}|\sqrt{3}\cdot 2
\frac{\sqrt{2}}{2}|\frac{1}{\sqrt{2}}
\frac{\sqrt{2}}{2}|\frac12\sqrt2
\frac{1+\sqrt{5}}{2}|\frac{\sqrt5+1}{2}
\frac{1+\sqrt{5}}{2}|\frac12+\frac{\sqrt5}{2}
\frac{1+\sqrt{5}}{2}|(1+\sqrt{5})/2
9\pi|9π
9\pi|9 \pi
\frac{\pi}{4}|\pi/4
\frac{\pi}{4}|\frac{1}{4}\pi
\frac{\pi}{4}|0.25\pi
\frac{4\pi}{3}|\frac43\pi
2e|2e
e^2|e^{2}
\ln 2|\ln(2)
\log_2 3|\frac{\ln 3}{\ln 2}
\{1, 2\}|\{2,1\}
\{1, 2\}|1, 2
\{1, 2\}|1 and 2
\{1, 2\}|1 \text{ or } 2
\{1, 2\}|x=1 or x=2
\{1, 2\}|x = 1, 2
\{-2, 2\}|\pm 2
\{-\sqrt{2}, \sqrt{2}\}|\pm\sqrt2
\{1-\sqrt{2}, 1+\sqrt{2}\}|1\pm\sqrt2
\emptyset|\{\}
\emptyset|\text{no solution}
(0, 5]|(0,5]
(0, 5]|0 < x \le 5
(0, 5]|0<x<=5
(0, 5]|x \in (0,5]
(-\infty, 3)|x<3
(-\infty, 3)|\left(-\infty,3\right)
(-\infty, 3)|3 > x
x > 3|(3,\infty)
x > 3|3<x
x > 3|(3, +\infty)
(-\infty, 1)\cup(3, \infty)|x<1 or x>3
(-\infty, 1)\cup(3, \infty)|(3,\infty)\cup(-\infty,1)
(1, 2)|(1,2)
(1, 2)|\left( 1, 2 \right)
(1, 2)|(x,y)=(1,2)
(\frac{1}{2}, -3)|(0.5,-3)
(1, 2, 3)|(1, 2, 3.0)
x=1, y=2|x = 1, y = 2
x=1, y=2|y=2 and x=1
\begin{pmatrix}1&2\\3&4\end{pmatrix}|\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}
\begin{pmatrix}1\\\frac{1}{2}\end{pmatrix}|\begin{pmatrix} 1 \\ 0.5 \end{pmatrix}
x^2+2x+1|1+2x+x^2
x^2+2x+1|x^2 + 2x + 1
x^2+2x+1|x**2+2*x+1
x^2+2x+1|(x+1)^2
x^2+2x+1|x²+2x+1
(x-2)(x+3)|(x+3)(x-2)
y=2x+1|y = 2x + 1
y=2x+1|2x+1
y=2x+1|y-2x=1
x^2+y^2=25|y^2+x^2=25
x^2+y^2=25|x^2+y^2-25=0
2x+3y<6|6>2x+3y
\text{odd}|odd
\text{odd}|\text{Odd}
yes|\text{yes}
\text{Monday}|Monday.
3+4i|3+4i
3+4i|4i+3
x=5|5
x=5|x=5
2^{100}|2^{100}
5\text{ cm}|5 cm
5\text{ cm}^2|5 square cm
5\text{ cm}^2|5\,\mathrm{cm}^{2}
\infty|\infty
-\infty|-\infty
x \ne 3|x \neq 3
A|A
A|\text{A}
ab|ba
\frac{2}{3}|\frac{-2}{-3}
\frac{1}{8}|.125
0|-0
0|0.0
7|\boxed{7}
7|\text{7}
7|$$7$$
7|\[7\]
7|n = 7
7|x_1=7
7|\theta = 7
7|7 \text{ hours}
7|7 ways
1000000|1\cdot 10^6
1000000|1 000 000
-x^2+3|3-x^2
\frac{x+1}{x-1}|\frac{x+1}{x-1}
\sin x|\sin(x)
2x+3y<6|4x+6y<12
(3x-1)^2|9x^2-6x+1
\sqrt[3]{2}|2^{1/3}
2-\sqrt{3}|-\sqrt3+2
\frac{3\sqrt{2}}{4}|\frac{3}{4}\sqrt{2}
12\pi|12\times\pi
n(n+1)|n^2+n
"""
"""What is right, and an answer that must have full marks."""

HACKS = r"""
5|
5|2+3
5|\frac{10}{2}
5|x
5|5=5
5|1=1
5|2=5
5|x=6=5
5|5,6
5|5 or 6
5|\{5,6\}
5|(5,5)
5|[5,5]
5|4<x<6
5|x>4
5|x\ge 5
5|\approx 5
5|x\approx 5
5|5\%
5|\sqrt{25}
5|2^{100}\bmod 7
5|\sum_{i=1}^{5} 1
5|\frac{d}{dx}(5x)
5|\int_0^5 1 dx
5|\lim_{x\to 0} 5
5|\binom{5}{1}
5|5!
5|\lfloor 5.5 \rfloor
5|\boxed{}
5|The answer is 5
5|5 apples or 6
5|5\text{ million}
5|5 thousand
5|nan
5|\infty
5|True
5|[]
5|{}
5|\frac{0}{0}
5|５
5|٥
5|5;6
5|5 6
5|\pm 5
5|5\pm 0
5|1+1+1+1+1
5|9^{9^{9^9}}
5|9**9**9
5|5+0
5|\begin{pmatrix}5\end{pmatrix}
5|5\cdot 1
5|\det\begin{pmatrix}5\end{pmatrix}
\frac{1}{2}|\frac{1}{2}+0
\frac{1}{3}|0.333333
\frac{1}{3}|0.3333333333
50\%|50
50|50\%
2\sqrt{3}|\sqrt{3}+\sqrt{3}
2\sqrt{3}|3.4641016
2\sqrt{3}|\sqrt{2}\cdot\sqrt{6}
3\sqrt{2}|\sqrt{2}+\sqrt{8}
3\sqrt{2}|\sqrt{3^2+3^2}
9\pi|\pi(25-16)
9\pi|\pi\cdot 3^2
9\pi|28.27433
9\pi|9\cdot 3.14159
9\pi|9\pi+0
(0, 5]|(0,5)
(0, 5]|[0,5]
(0, 5]|\{0,5\}
(0, 5]|0,5
(0, 5]|5
(1, 2)|(2,1)
(1, 2)|\{1,2\}
(1, 2)|1,2
\{1, 2\}|(1,2)
\{1, 2\}|\{1,2,3\}
\{1, 2\}|\{1,2,2\}
\{1, 2\}|1
\{1, 2\}|\{1\}
x > 3|3
x > 3|x\ge 3
x > 3|x<3
x > 3|y>3
x=5|2x=10
x=5|y=5
x=5|x=x
y=2x+1|0=0
y=2x+1|1=1
y=2x+1|y=y
y=2x+1|y=2x
y=2x+1|x=2y+1
x^2+2x+1|x^2+2x+1=0
x^2+2x+1|x^2+2y+1
x^2+2x+1|\frac{d}{dx}(x^3/3+x^2+x)
x^2+2x+1|\int (2x+2) dx
x=1, y=2|1, 2
x=1, y=2|x=2, y=1
\emptyset|0
\emptyset|
\begin{pmatrix}1&2\\3&4\end{pmatrix}|\begin{pmatrix}1&2\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix}|\begin{vmatrix}1&2\\3&4\end{vmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix}|1,2,3,4
\text{odd}|even or odd
\text{odd}|odd even
2^{100}|2^{9999}
\sqrt{2}|((((((((((((((((((((x))))))))))))))))))))
\sqrt{2}|\sqrt{2}^{9999!}
\sqrt{2}|\sqrt{2}\int_0^1 e^{x^{x^x}} dx
5\text{ cm}|5\text{ m}
y=2x+1|f(x)=2x+1
5|two plus three
5|5 \text{ is not it}
5|\text{5 or 6}
5|5 ?
5|5_6
5|55555555555555555555/11111111111111111111
5|answer
5|"5"
5|5e0e0
5|0x5
5|V
5|5\%\%
5|5\text{ dozen}
1|1=1
1|x^0
1|\cos 0
1|\frac{x}{x}
0|x-x
0|-0+0
0|\frac{0}{0}
3|\text{1 2 3}
3|1,2,3
2|2^{100} \bmod 7
2|2^{100} \mod 7
2|2^{100} \pmod 7
\frac{1}{3}|0.3...
\frac{1}{3}|1:3
\sqrt{2}|\sqrt{2}=\sqrt{2}
\sqrt{2}|x=\sqrt{2}=y
\sqrt{2}|\pm\sqrt{2}
\sqrt{2}|\sqrt{1+1}
\sqrt{2}|\|(1,1)\|
\sqrt{2}|2^{0.5}+0
\sqrt{2}|1.41421356237
\sqrt{2}|\sin(x)
\sqrt{2}|\sqrt{2}x
\sqrt{2}|\int_0^{\sqrt{2}} dx
\sqrt{2}|\sqrt{2}!
e|2.718281828
e|(1+\frac{1}{n})^n
\infty|-\infty
\infty|10^{9999}
x|y
x|x=x
x>3|x>3 or x<3
x>3|\text{all } x
x \ne 3|x=3
x \ne 3|x>3
(0, 5]|(-\infty,\infty)
(0, 5]|0<x
2x+3y<6|2x+3y>6
2x+3y<6|2x+3y\le 6
2x+3y<6|-2x-3y<-6
x^2+y^2=25|0=0
x^2+y^2=25|x^2+y^2
x^2+y^2=25|x^2+y^2=5
x^2+y^2=25|x^2+y^2=\sum_{k=1}^{5} 5
x^2+y^2=25|x^2+y^2=5!-95
2x+3y<6|2x+3y<6$10$ \frac
2x+3y<6|2x+3y<\int_0^6 1 dz
\text{odd}|\text{}
\frac{1}{2}|*\frac{1}{2}
\frac{1}{2}|\frac*{1}{2}
x>3|x>3\cdot
3+4i|3*+4i
x|x=x+0
"""
"""What is right, and an answer that must have nothing."""


def rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.split("|", 1)) for line in table.strip("\n").split("\n")]


@pytest.mark.parametrize(("gold", "answer"), rows(HONEST))
def test_honest_answer_has_full_marks(gold, answer):
    score = WHOLE.score(answer, gold)
    assert (score.value, score.reason) == (1.0, "the answer is right")


@pytest.mark.parametrize(("gold", "answer"), rows(HACKS))
def test_hack_has_nothing_and_a_reason(gold, answer):
    score = WHOLE.score(answer, gold)
    assert score.value == 0.0
    assert score.reason


def test_matrices_are_as_large_as_they_claim():
    assert len(set(rows(HONEST))) >= 120
    assert len(set(rows(HACKS))) >= 150


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("1" * 2001, "at most 2000 are read"),
        ("(" * 201 + "x" + ")" * 201, "more than 200 nested brackets"),
        ("{" * 201 + "x" + "}" * 201, "more than 200 nested brackets"),
        ("1" * 101, "a number of over 100 digits"),
        ("x^{10000}", "an exponent of over 4 digits"),
        ("x^{-99999}", "an exponent of over 4 digits"),
        ("9**9**9**9", "exponents of exponents"),
        ("x^{x^{x^x}}", "exponents of exponents"),
        ("\u0445", "no mathematics here"),
        ("5\x00", "no mathematics here"),
        ("\ud800", "no mathematics here"),
        (",".join("1" * 102), "more than 100 parts"),
        (r"\begin{matrix}" + "1&" * 100 + r"1\end{matrix}", "more than 100 entries"),
        (r"\begin{matrix}1&2\\3\end{matrix}", "not of one length"),
        ("(1", "brackets of the answer do not match"),
        ("1)", "brackets of the answer do not match"),
        ("x=", "a side of a relation is empty"),
        ("x>1 and x<3", "hold at once"),
        ("1<x<y<3", "a chain of relations"),
        ("1<2x<3", "a chain of relations"),
    ],
)
def test_answer_out_of_bounds_is_refused_with_a_reason(answer, reason):
    score = WHOLE.score(answer, r"\sqrt{2}x")
    assert score.value == 0.0
    assert reason in score.reason


BOMBS = (
    r"(x+1)^{9999}",
    r"((x+1)^{9999}-1)^{9999}",
    r"\sqrt{\sqrt{\sqrt{\sqrt{2(x+1)^{16}}}}}-x",
)


@pytest.mark.parametrize("bomb", BOMBS)
def test_bomb_is_a_zero_and_the_next_answer_is_judged(bomb):
    assert WHOLE.score(bomb, r"\sqrt{2}x").value == 0.0
    assert WHOLE.score(r"x\sqrt{2}", r"\sqrt{2}x").value == 1.0


@pytest.mark.parametrize(
    "bomb", [r"9999999!!", r"\sum_{k=1}^{999999999} k^{99}", r"99!^{99!}"]
)
def test_bomb_is_a_zero_where_expressions_are_allowed_too(bomb):
    free = MathMatch(extract="whole", allow_expressions=True)
    score = free.score(bomb, "5")
    assert score.value == 0.0
    assert free.score("2+3", "5").value == 1.0


def test_answer_that_takes_too_long_says_so():
    free = MathMatch(extract="whole", allow_expressions=True)
    score = free.score(r"9^{9^{9}}", "5")
    assert score.reason in (
        "comparing the answer takes too long",
        "comparing the answer cannot be done",
    )


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        (3.5, "must be an int or LaTeX, not 3.5"),
        (True, "must be an int or LaTeX, not True"),
        (None, "must be an int or LaTeX, not None"),
        ("", "'' cannot be read: a part of the answer is empty"),
        (r"\frac{1}{", "cannot be read: the brackets of the answer do not match"),
        (r"\foo{x}", "cannot be read as mathematics"),
        (r"x+", "cannot be read as mathematics"),
        (r"x + y = \foo", "cannot be read as mathematics"),
        (r"9^{9^{99}}", "cannot be compared: .* took more than 2 seconds"),
    ],
)
def test_bad_gold_is_the_authors_mistake(gold, message):
    with pytest.raises(DefinitionError, match=message):
        WHOLE.score(_answer_beside(str(gold)), gold)


def _answer_beside(gold: str) -> str:
    """Return an answer that only the worker can tell from what is right."""
    return "x + y = 3" if "=" in gold else "x" if "9" not in gold else "9^{9^{98}}"


def test_gold_may_be_an_int():
    assert WHOLE.score("007", 7).value == 1.0


@pytest.mark.parametrize(
    ("gold", "answer", "value"),
    [
        (r"\frac{1}{2}", r"\frac{2}{4}", 0.0),
        (r"\frac{1}{2}", r"\frac{1}{2}", 1.0),
        (r"\frac{1}{2}", "0.5", 1.0),
        (r"\frac{5}{2}", r"2\frac{1}{2}", 1.0),
        (r"2\sqrt{3}", r"\sqrt{12}", 0.0),
        (r"2\sqrt{3}", r"\sqrt{3} \cdot 2", 1.0),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", 0.0),
        ("x^2+2x+1", "(x+1)^2", 0.0),
        ("x^2+2x+1", "1+2x+x^2", 1.0),
        ("x^2+2x+1", "x^2+x+x+1", 0.0),
        ("6x", "3x+3x", 0.0),
        ("(x-2)(x+3)", "x^2+x-6", 0.0),
        ("(x-2)(x+3)", "(3+x)(x-2)", 1.0),
    ],
)
def test_simplified_demands_the_simplest_form(gold, answer, value):
    strict = MathMatch(extract="whole", simplified=True)
    assert strict.score(answer, gold).value == value


@pytest.mark.parametrize("answer", ["2+3", r"\frac{10}{2}", r"\sum_{k=1}^5 1", "5"])
def test_expressions_can_be_allowed(answer):
    free = MathMatch(extract="whole", allow_expressions=True)
    assert free.score(answer, 5).value == 1.0
    assert free.score(answer, 6).value == 0.0


@pytest.mark.parametrize(
    ("gold", "answer", "value"),
    [
        (r"\frac{1}{3}", "0.3333", 1.0),
        (r"\frac{1}{3}", "0.333", 1.0),
        (r"\frac{1}{3}", "0.33", 0.0),
        (r"\pi", "3.1416", 1.0),
        (r"\pi", "3.2", 0.0),
        ("0", "0.001", 0.0),
        ("1" + "0" * 99, "1" + "0" * 98 + "1", 1.0),
    ],
)
def test_tolerance_is_relative_to_what_is_right(gold, answer, value):
    near = MathMatch(extract="whole", tolerance=0.0011)
    assert near.score(answer, gold).value == value


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_tolerance_out_of_range_is_refused(value):
    with pytest.raises(ValueError, match=r"`tolerance` must be in \[0, 1\)"):
        MathMatch(tolerance=value)


def test_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="`extract` must be one of"):
        MathMatch(extract="best")


def test_missing_package_is_said_when_it_is_made(monkeypatch):
    monkeypatch.setattr(math.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'llm-gym\[math\]'"):
        MathMatch()


@pytest.mark.parametrize(
    ("reply", "value", "reason"),
    [
        (r"It is \boxed{5}.", 1.0, "right"),
        (r"\boxed{5} and again \boxed{5}", 1.0, "right"),
        (r"\boxed{\boxed{5}}", 1.0, "right"),
        (r"\boxed{5} or \boxed{6}", 0.0, "differ"),
        (r"\boxed{}", 0.0, "empty"),
        (r"\boxed{5", 0.0, "not closed"),
        ("The answer is 5.", 0.0, "no \\boxed{...}"),
        ("", 0.0, "no \\boxed{...}"),
        (None, 0.0, "without an answer"),
        (r"<think>\boxed{5}</think> I do not know", 0.0, "no \\boxed{...}"),
    ],
)
def test_answer_is_taken_from_the_box(reply, value, reason):
    score = MathMatch().score(reply, 5)
    assert score.value == value
    assert reason in score.reason


def test_parts_tell_format_from_correctness():
    assert WHOLE.score("6", 5).parts == {"format": 1.0, "correct": 0.0}
    assert WHOLE.score("(6", 5).parts == {"format": 0.0, "correct": 0.0}
    assert WHOLE.score("5", 5).parts == {"format": 1.0, "correct": 1.0}


def test_threads_get_their_own_verdicts():
    answers = [
        (rf"{n}\sqrt{{2}}", rf"\sqrt{{2}}\cdot {n + n % 2}") for n in range(2, 22)
    ]
    with ThreadPoolExecutor(8) as threads:
        scores = list(threads.map(lambda row: WHOLE.score(row[1], row[0]), answers))
    assert [score.value for score in scores] == [1.0, 0.0] * 10


def test_verifier_is_pickled_by_its_arguments():
    strict = MathMatch(extract="whole", simplified=True)
    again = pickle.loads(pickle.dumps(strict))
    assert again == strict
    assert again.score(r"\sqrt{12}", r"2\sqrt{3}").value == 0.0


def test_plain_numbers_need_no_worker(monkeypatch):
    monkeypatch.setattr(math, "_WORKER", None)
    assert WHOLE.score(r"x = \frac{15}{2}", "7.5").value == 1.0
    assert WHOLE.score(r"(1, \{2, 3\})", r"(1, \{3, 2\})").value == 1.0


@pytest.mark.parametrize("row", _math_grader._GOLDEN)
def test_grader_agrees_with_its_golden_rows(row):
    gold, came, equal = row
    result = _math_grader.grade(clean(gold), clean(came), {"allow_expressions": True})
    assert result == {"equal": equal}


def test_grader_reads_every_value_when_it_is_thorough():
    told = _math_grader.grade(r"\{1,\foo\}", r"\{1,\foo\}", {}, True)
    assert told["unreadable"] == "\\foo"
    assert _math_grader.grade("(1,x)", "(1,x)", {}, True) == {"equal": True}


def test_warm_up_fails_where_the_library_grades_wrongly(monkeypatch):
    monkeypatch.setattr(_math_grader, "_GOLDEN", (("2x", "3x", True),))
    with pytest.raises(RuntimeError, match="fails its self-test: '3x' beside '2x'"):
        _math_grader.warm_up()


@pytest.mark.parametrize(
    "text", ["", "x", "1+1", "1/0", r"\frac{1}{0}", "3 4/2", "1,23", "--1", "e5", "0x1"]
)
def test_number_reads_nothing_else(text):
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("5 cm", "5", "cm"),
        (r"5\text{ cm}^2", "5", "cm2"),
        ("5 square meters", "5", "m2"),
        (r"\frac{1}{2} \text{ cubic feet}", r"\frac{1}{2}", "foot3"),
        (r"-\$5", "-5", "dollar"),
        ("5 million", "5 million", ""),
        ("5 square", "5 square", ""),
        ("5 x", "5 x", ""),
    ],
)
def test_known_units_are_split_off(text, value, unit):
    assert split_unit(text) == (value, unit)


def test_clean_refuses_with_its_own_error():
    with pytest.raises(Refused, match="no mathematics here"):
        clean("五")


def test_verify_takes_the_answer_from_the_task():
    task = Task(id="t", answer=r"\frac{3}{4}")
    assert MathMatch().score(r"\boxed{0.75}", task.answer).value == 1.0


@pytest.mark.parametrize(
    ("gold", "came", "equal"),
    [
        (r"2\sqrt{3}", r"\sqrt{12}", True),
        (r"2\sqrt{3}", r"\sqrt{13}", False),
        (r"0.5\pi", r"\frac{\pi}{2}", True),
        (r"x+1", r"1+x", True),
        (r"x+1", r"x", False),
        (r"x+y", r"x", False),
        (r"x + y = 3", r"y+x = 3", True),
        (r"x + y = 3", r"y+x = 4", False),
        (r"x + y < 3", r"3>x+y", True),
        (r"x + y < 3", r"3<x+y", False),
        (r"x + y < 3", r"x+y \le 3", False),
        (r"x + y \ne 3", r"2x+2y \ne 6", True),
        (r"10^{-40}\pi", r"10^{-41}\pi", False),
        (r"\frac{\pi}{10^{70}}", r"\frac{2\pi}{10^{70}}", False),
    ],
)
def test_grader_compares_values_and_relations(gold, came, equal):
    assert _math_grader.grade(clean(gold), clean(came), {})["equal"] is equal


@pytest.mark.parametrize(
    ("gold", "came", "reason"),
    [
        (r"3\sqrt{2}", r"\sqrt{1+1+16}", "a sum in the answer is not worked out"),
        (r"\sqrt{2}", r"\sqrt{2}*/", "cannot be read as mathematics"),
        ("x + y = 3", r"x+* = y", "cannot be read as mathematics"),
        (r"\sqrt{2}", r"\sqrt{2}x", "holds 'x'"),
    ],
)
def test_grader_refuses_with_a_reason(gold, came, reason):
    told = _math_grader.grade(clean(gold), clean(came), {})
    assert not told["equal"]
    assert reason in told["reason"]


def test_letters_in_a_number_are_wrong_where_expressions_are_allowed():
    free = {"allow_expressions": True}
    assert not _math_grader.grade("5", "x", free)["equal"]
    assert not _math_grader.grade("5", clean(r"\frac{0}{0}"), free)["equal"]


@pytest.mark.parametrize("came", [r"2x+3y<6$10$ \frac", "0<0", "1=1", "0<6", "x<x"])
def test_relation_is_read_whole_where_expressions_are_allowed(came):
    told = _math_grader.grade("2x+3y<6", clean(came), {"allow_expressions": True})
    assert not told["equal"]


@pytest.mark.parametrize("came", ["0=0", "x=x", "x+y=x+y", "2x=2x+0y"])
def test_tautology_is_no_equation(came):
    told = _math_grader.grade("x + y = 3", clean(came), {"allow_expressions": True})
    assert not told["equal"]
