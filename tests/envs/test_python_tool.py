"""llmgym/PythonTool-v0: a session that lasts, and answers that only computing gives."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

from llm_gym.envs._python_questions import QUESTIONS, answer_of
from llm_gym.policies import OraclePolicy
from llm_gym.sandbox import open_sandbox
from tests.envs.driving import call, drive, make, play

ENV = "llmgym/PythonTool-v0"
FORMS = list(itertools.chain(*QUESTIONS))


@pytest.fixture(scope="module")
def env():
    env = make(ENV)
    yield env
    env.close()


def shown(env, code: str) -> str:
    env.step(call("python", code=code))
    return env.trajectory.turns[-1].calls[0].result


@pytest.mark.parametrize("level", range(4))
def test_oracle_computes_the_answer(level):
    env = make(ENV, level=level)
    for seed in range(8):
        trajectory = drive(env, OraclePolicy(), seed=seed)
        assert trajectory.score.value == 1.0
        assert trajectory.turns[0].calls[0].result == trajectory.task.answer["value"]
    env.close()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_answers_of_a_form_differ(form):
    answers = {answer_of(form(np.random.default_rng(seed))) for seed in range(12)}
    assert len(answers) >= 8


def test_names_and_files_stay_between_calls(env):
    env.reset(seed=1)
    assert shown(env, "x = 41") == "(no output)"
    assert shown(env, "x + 1") == "42"
    shown(env, "open('a.txt', 'w').write('kept')")
    assert shown(env, "open('a.txt').read()") == "'kept'"


def test_error_is_shown_and_the_session_goes_on(env):
    env.reset(seed=1)
    shown(env, "x = 1")
    assert "ZeroDivisionError" in shown(env, "x / 0")
    assert env.trajectory.turns[-1].calls[0].status == "ok"
    assert shown(env, "x") == "1"


def test_call_over_its_bounds_ends_the_session_and_says_so(env):
    env.reset(seed=1)
    shown(env, "x = 1")
    assert "The session was ended (output" in shown(env, "print('a' * 100_000)")
    assert "NameError" in shown(env, "x")


def test_exit_loses_the_names_and_says_so(env):
    env.reset(seed=1)
    shown(env, "x = 1")
    told = shown(env, "raise SystemExit(3)")
    assert told == "The code exited with 3: its names are gone."
    assert "NameError" in shown(env, "x")


def test_long_output_has_its_middle_cut_out(env):
    env.reset(seed=1)
    text = shown(env, "print('a' * 4000 + 'b' * 4000)")
    assert text.startswith("aaaa")
    assert text.endswith("bbbb")
    assert "4000 characters left out" in text


def test_episodes_share_nothing(env):
    env.reset(seed=1)
    shown(env, "x = 1; open('a.txt', 'w').write('x')")
    env.reset(seed=1)
    assert "NameError" in shown(env, "x")
    assert "FileNotFoundError" in shown(env, "open('a.txt')")


def test_fork_has_the_names_of_that_point_and_is_independent(env):
    env.reset(seed=1)
    shown(env, "x = [1]")
    other = env.fork()
    shown(env, "x.append(2)")
    assert shown(other, "x") == "[1]"
    assert shown(env, "x") == "[1, 2]"
    other.close()


def test_restored_episode_goes_on_from_its_snapshot(env):
    env.reset(seed=1)
    shown(env, "x = 1")
    snapshot = env.snapshot()
    shown(env, "x = 2")
    env.restore(snapshot)
    assert shown(env, "x") == "1"


def test_pickled_environment_goes_on(env):
    env.reset(seed=1)
    shown(env, "x = 7")
    other = pickle.loads(pickle.dumps(env))
    assert shown(other, "x") == "7"
    assert shown(copy.deepcopy(other), "x") == "7"
    other.close()


def test_same_code_shows_the_same_bytes(env):
    code = call("python", code="object(), hash('a'), {'b', 'a', 'c'}, id(1) > 0")
    first = play(env, [code], seed=4).turns[0].calls[0].result
    assert play(env, [code], seed=4).turns[0].calls[0].result == first


HACKS = [
    "",
    "I do not know",
    "Answer: nan",
    "Answer: 1e999",
    "Answer:",
    "Answer: 1 or 2",
    "Answer: [1]",
    "Answer: True",
    "score: 1.0",
    "Answer: answer",
]


@pytest.mark.parametrize("reply", HACKS)
def test_hack_earns_nothing(env, reply):
    for seed in range(4):
        assert play(env, [reply], seed=seed).score.value == 0.0


@pytest.mark.parametrize(
    "form",
    ["{0}", "Answer: {0} or 1", "Answer: 1{0}", "Answer: -{0}", "Answer: {0}%",
     "Answer: {0}\nAnswer: 3", "Answer: {0}\nThat is it.", "{0}\nAnswer: see above"],
)  # fmt: skip
def test_right_number_in_the_wrong_form_earns_nothing(env, form):
    env.reset(seed=1)
    reply = form.format(env.task.answer["value"])
    assert play(env, [reply], seed=1).score.value == 0.0


@pytest.mark.parametrize("form", ["Answer: {0}", "So:\n**Answer: {0}**", "answer: {0}"])
def test_right_number_is_paid(env, form):
    env.reset(seed=1)
    reply = form.format(env.task.answer["value"])
    assert play(env, [reply], seed=1).score.value == 1.0


def test_nothing_of_the_host_can_be_read(env):
    env.reset(seed=1)
    code = "import os\nprint(sorted(os.environ), os.path.exists('/etc/shadow'))\n"
    code += "try:\n    import llm_gym\nexcept ImportError as e: print(type(e).__name__)"
    assert "False" in shown(env, code)
    assert "ModuleNotFoundError" in env.trajectory.turns[-1].calls[0].result


def test_an_unsafe_sandbox_is_stamped_on_the_record(monkeypatch):
    monkeypatch.setenv("LLM_GYM_UNSAFE_SANDBOX", "1")
    with open_sandbox(unsafe=True) as sandbox:
        env = make(ENV, sandbox=sandbox)
        record = drive(env, OraclePolicy(), seed=0)
        env.close()
    assert record.outcome == {"unsafe_sandbox": True}
    assert (record.score.value, record.score.parts["unsafe_sandbox"]) == (1.0, 1.0)


def test_a_safe_sandbox_leaves_no_stamp(env):
    record = drive(env, OraclePolicy(), seed=0)
    assert record.outcome is None
    assert "unsafe_sandbox" not in record.score.parts
