from __future__ import annotations

import pickle
import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from llm_gym import Reply, Task
from llm_gym.envs import math as module
from llm_gym.envs._math_latex import frac, pi_times, poly, radical, root_parts, signed
from llm_gym.envs.math import FAMILIES, LEVELS, generate, make_problem
from llm_gym.errors import MissingDependencyError
from llm_gym.policies import OraclePolicy
from llm_gym.trajectory import StopReason, Trajectory
from llm_gym.verifiers import math as verifier
from tests.envs.driving import drive, make, play
from tests.envs.math_brute_force import WORKED_OUT, agrees

NAMES = [family.name for family in FAMILIES]


@pytest.fixture(scope="module")
def env():
    return make("llmgym/Math-v0")


def play_task(env, answer: str, reply: Reply | str) -> Trajectory:
    task = Task(id="t", prompt="?", answer=answer)
    return play(env, [reply], seed=0, options={"task": task})


def problems(family, count: int):
    for level in family.levels:
        rng = np.random.default_rng([level, len(family.name)])
        for _ in range(count):
            yield make_problem(family, rng, level)


def test_there_are_families_enough_at_every_level():
    assert len(FAMILIES) >= 24
    assert len(set(NAMES)) == len(NAMES)
    assert {family.area for family in FAMILIES} == {
        "arithmetic",
        "algebra",
        "number theory",
        "counting",
        "geometry",
    }
    for level in range(LEVELS):
        assert sum(level in family.levels for family in FAMILIES) >= 8


def test_every_family_is_worked_out_again():
    assert set(WORKED_OUT) == set(NAMES)


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_answer_is_what_is_worked_out_by_brute_force(family):
    for problem in problems(family, 5):
        assert agrees(family.name, problem.answer, problem.facts), problem


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_problems_have_several_phrasings(family):
    shapes = {re.sub(r"[\W\d]+", " ", p.text)[:25] for p in problems(family, 12)}
    assert len(shapes) >= 2


NOT_TOLD = {
    "shares": {"who"},
    "quadratic_roots": {"coefficients"},
    "irrational_roots": {"coefficients"},
    "factor_quadratic": {"coefficients"},
    "quadratic_inequality": {"coefficients"},
    "polynomial_remainder": {"power", "p", "q"},
    "arithmetic_series": {"step"},
    "telescoping": {"step", "start", "count"},
    "circle_equation": {"constant"},
    "trailing_zeros": {"prime"},
    "drawn_balls": {"blue"},
    "solid_volume": {"height"},
    "sharing_out": {"least"},
}
"""Numbers that a problem tells in another way, or need not tell."""


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_problem_tells_the_numbers_that_it_is_worked_out_from(family):
    for problem in problems(family, 6):
        told = set(re.findall(r"\d+", problem.text))
        for name, fact in problem.facts.items():
            if name not in NOT_TOLD.get(family.name, ()):
                numbers = {n for n in re.findall(r"\d+", str(fact)) if n != "1"}
                assert numbers <= told | {"0"}, (name, problem)


def test_coefficients_that_are_not_plainly_told_stand_in_the_equation():
    family = next(f for f in FAMILIES if f.name == "irrational_roots")
    for problem in problems(family, 6):
        assert f"{poly(problem.facts['coefficients'])} = 0" in problem.text


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_gold_is_judged_right_in_its_own_form(family):
    for problem in problems(family, 2):
        score = module._verifier().score(f"\\boxed{{{problem.answer}}}", problem.answer)
        assert score.value == 1.0, (problem, score)


def test_gold_alone_can_be_compared_by_the_worker():
    for family in FAMILIES:
        answer = next(problems(family, 1)).answer
        assert verifier._gradable(verifier.clean(answer)) == "", (family.name, answer)


def test_no_answer_is_frequent():
    answers = Counter(
        generate(np.random.default_rng([level, n]), level).answer
        for level in range(LEVELS)
        for n in range(400)
    )
    ((_, most),) = answers.most_common(1)
    assert most <= 0.02 * answers.total()
    assert answers["0"] + answers["1"] <= 0.01 * answers.total()


def test_tasks_are_plain_and_tell_how_to_answer():
    task = generate(np.random.default_rng(3), 3)
    assert task.plain() == task
    assert "\\boxed{}" in task.prompt
    assert task.data["family"] in NAMES


@pytest.mark.parametrize("level", range(LEVELS))
def test_oracle_is_right_at_every_level(level):
    env = make("llmgym/Math-v0", level=level)
    for seed in range(12):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0
        assert trajectory.stop_reason is StopReason.ANSWER


HONEST = [
    ("12", r"I add them up. \boxed{12}"),
    ("12", r"$$\boxed{12}$$"),
    ("12", r"\boxed{x = 12}"),
    ("12", r"\boxed{12.0}"),
    ("12", r"\boxed{12\text{ cm}}"),
    ("12", r"\boxed{$12$}"),
    ("12", r"First \boxed{12}, so the answer is \boxed{12}."),
    ("1234", r"\boxed{1{,}234}"),
    ("1234", r"\boxed{1,234}"),
    (r"-\frac{3}{4}", r"\boxed{-\dfrac{3}{4}}"),
    (r"-\frac{3}{4}", r"\boxed{-3/4}"),
    (r"-\frac{3}{4}", r"\boxed{-0.75}"),
    (r"\frac{9204}{5}", r"\boxed{1840.80}"),
    (r"\frac{9204}{5}", r"\boxed{\$1840.80}"),
    (r"\frac{7}{2}", r"\boxed{3\frac{1}{2}}"),
    (r"\frac{7}{2}", r"\boxed{3.5^\circ}"),
    (r"4\sqrt{2046}", r"\boxed{4 \sqrt{2046}}"),
    (r"\frac{3\sqrt{7}}{4}", r"\boxed{\frac{3}{4}\sqrt{7}}"),
    (r"57\pi", r"\boxed{57 \pi}"),
    (r"\frac{9\pi}{2}", r"\boxed{\frac{9}{2}\pi}"),
    (r"\{-17, -12\}", r"\boxed{\{-12, -17\}}"),
    (r"\{-17, -12\}", r"\boxed{-12, -17}"),
    (r"\{-17, -12\}", r"\boxed{x = -12 \text{ or } x = -17}"),
    (r"\{3 - \sqrt{7}, 3 + \sqrt{7}\}", r"\boxed{3 \pm \sqrt{7}}"),
    (r"\{3 - \sqrt{7}, 3 + \sqrt{7}\}", r"\boxed{\{\sqrt{7}+3, -\sqrt{7}+3\}}"),
    ("(-24, 30)", r"\boxed{(-24,30)}"),
    ("(-24, 30)", r"\boxed{\left(-24, 30\right)}"),
    ("[-5, 1]", r"\boxed{-5 \le x \le 1}"),
    ("[-5, 1]", r"\boxed{x \in [-5, 1]}"),
    (r"(-\infty, 2)\cup (5, \infty)", r"\boxed{x < 2 \text{ or } x > 5}"),
    (r"(-\infty, 2)\cup (5, \infty)", r"\boxed{(-\infty,2) \cup (5,+\infty)}"),
    ("8x^3 - 5x + 1", r"\boxed{1 - 5x + 8x^{3}}"),
    ("(x - 11)(x - 10)", r"\boxed{(x-10)(x-11)}"),
    ("(x - 11)(x - 10)", r"\boxed{(10-x)(11-x)}"),
    (r"y = \frac{2}{3}x + 1", r"\boxed{y = \frac{2x}{3} + 1}"),
    (r"y = \frac{2}{3}x + 1", r"\boxed{\frac{2}{3}x+1}"),
    ("-9 - 253i", r"\boxed{-253i - 9}"),
    (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\boxed{\begin{bmatrix}1&2\\3&4\end{bmatrix}}",
    ),
]

HACKS = [
    ("12", ""),
    ("12", "12"),
    ("12", "The answer is 12."),
    ("12", r"\boxed{}"),
    ("12", r"\boxed{12"),
    ("12", r"\boxed{12} \boxed{13}"),
    ("12", r"\boxed{12, 13}"),
    ("12", r"\boxed{12 \text{ or } 13}"),
    ("12", r"\boxed{7+5}"),
    ("12", r"\boxed{11 \cdot (38 + 34) - 780}"),
    ("12", r"\boxed{\frac{24}{2}}"),
    ("12", r"\boxed{\sqrt{144}}"),
    ("12", r"\boxed{x}"),
    ("12", r"\boxed{12 = 12}"),
    ("12", r"\boxed{x > 11}"),
    ("12", r"\boxed{\{12, 13\}}"),
    ("12", r"\boxed{\approx 12}"),
    ("12", r"\boxed{72^{409} \bmod 164}"),
    ("12", r"\boxed{\gcd(24, 36)}"),
    ("12", r"\boxed{\binom{12}{1}}"),
    ("12", r"\boxed{9^{9^{9^9}}}"),
    ("12", r"<think>\boxed{12}</think>"),
    (r"\frac{3}{4}", r"\boxed{\frac{6}{8}}"),
    (r"\frac{3}{4}", r"\boxed{\frac{1}{4} + \frac{1}{2}}"),
    (r"\frac{2}{3}", r"\boxed{0.6667}"),
    (r"137\sqrt{10}", r"\boxed{\sqrt{810} + 8\sqrt{2560}}"),
    (r"2\sqrt{3}", r"\boxed{\sqrt{12}}"),
    (r"\frac{\sqrt{2}}{2}", r"\boxed{\frac{1}{\sqrt{2}}}"),
    (r"\sqrt{802}", r"\boxed{\sqrt{19^2 + 21^2}}"),
    (r"\sqrt{802}", r"\boxed{28.3196}"),
    (r"57\pi", r"\boxed{\frac{1}{3} \pi \cdot 3^2 \cdot 19}"),
    (r"57\pi", r"\boxed{179.07}"),
    (r"\{-17, -12\}", r"\boxed{x^2 + 29x + 204 = 0}"),
    (r"\{-17, -12\}", r"\boxed{-17}"),
    (r"\{-17, -12\}", r"\boxed{(-17, -12)}"),
    ("(-24, 30)", r"\boxed{(30, -24)}"),
    ("(-24, 30)", r"\boxed{\{-24, 30\}}"),
    ("[-5, 1]", r"\boxed{|x + 2| \le 3}"),
    ("[-5, 1]", r"\boxed{(-5, 1)}"),
    ("8x^2 - 5x + 1", r"\boxed{(8x^2 - 6x) + x + 1}"),
    ("x^2 + 5x + 6", r"\boxed{(x + 2)(x + 3)}"),
    ("(x + 2)(x + 3)", r"\boxed{x^2 + 5x + 6}"),
    ("y = 2x + 1", r"\boxed{x = 2y + 1}"),
    ("y = 2x + 1", r"\boxed{0 = 0}"),
    ("y = 2x + 1", r"\boxed{y}"),
    ("-9 - 253i", r"\boxed{(-2 + 5i)(1 + 5i)(2 + 9i)}"),
    (
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
        r"\boxed{\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}"
        r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}}",
    ),
]


@pytest.mark.parametrize(("answer", "reply"), HONEST)
def test_honest_reply_scores_one(env, answer, reply):
    score = play_task(env, answer, reply).score
    assert score.value == 1.0, score.reason


@pytest.mark.parametrize(("answer", "reply"), HACKS)
def test_hack_scores_nothing(env, answer, reply):
    score = play_task(env, answer, reply).score
    assert score.value == 0.0
    assert score.reason


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_formulas_of_the_problem_are_no_answers(env, family):
    """Whatever stands between dollars in a problem earns nothing in a box."""
    for problem in problems(family, 2):
        for shown in re.findall(r"\$([^$]+)\$", problem.text):
            trajectory = play_task(env, problem.answer, f"\\boxed{{{shown}}}")
            assert trajectory.score.value == 0.0, (shown, problem)


def test_reply_that_is_cut_off_truncates(env):
    trajectory = play_task(env, "12", Reply("so 12", finish_reason="length"))
    assert trajectory.stop_reason is StopReason.REPLY_LENGTH
    assert trajectory.score.value == 0.0


def test_missing_extra_is_said_when_it_is_made(monkeypatch):
    module._verifier.cache_clear()
    monkeypatch.setattr(verifier.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"llm-gym\[math\]"):
        make("llmgym/Math-v0")


def test_environment_is_pickled_by_its_arguments():
    env = pickle.loads(pickle.dumps(make("llmgym/Math-v0", level=5)))
    assert drive(env, OraclePolicy(), seed=4).score.value == 1.0


def test_latex_of_numbers_is_in_simplest_form():
    assert frac(Fraction(-6, 8)) == r"-\frac{3}{4}"
    assert root_parts(360) == (6, 10)
    assert radical(12, Fraction(-1, 4)) == r"-\frac{\sqrt{3}}{2}"
    assert radical(16, Fraction(1, 8)) == r"\frac{1}{2}"
    assert radical(2, 0) == "0"
    assert pi_times(1) == r"\pi"
    assert pi_times(Fraction(3, 2)) == r"\frac{3\pi}{2}"
    assert signed(0) == ""
    assert poly([-1, 0, 1, -2]) == "-x^3 + x - 2"
    assert poly([1] + [0] * 12) == "x^{12}"
    assert poly([0, 0]) == "0"
