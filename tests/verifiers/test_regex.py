"""Whole answers against patterns; patterns that run over harm nobody."""

from __future__ import annotations

import pickle
import sys
import threading
import time

import pytest
from hypothesis import given, settings

from llm_gym import DefinitionError, EnvironmentFault, MissingDependencyError, Rubric
from llm_gym.verifiers.regex import RegexMatch, matches
from tests.json_values import any_text
from tests.verifiers.kit import PROBES, answered, stored

DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
EVIL = "(a+)+b"
ENGINES = ["re", "re2"]


def verifier(engine: str = "re", pattern: str | None = DATE, **kwargs) -> RegexMatch:
    return RegexMatch(pattern=pattern, engine=engine, **kwargs)


HONEST = {
    "itself": (DATE, "2024-02-29"),
    "blanks_around": (DATE, "\n2024-02-29 \n"),
    "after_thinking": (DATE, "<think>2023</think>2024-02-29"),
    "either": ("yes|no", "no"),
    "ignoring_case": ("(?i)yes", "YES"),
    "lines": ("(?s)a.b", "a\nb"),
    "letters": ("[^0-9]+", "Zoë \u4e2d"),
    "counted": ("(ab){3}", "ababab"),
    "anchored": ("^ab$", "ab"),
    "class": (r"\w+@\w+\.org", "ada@example.org"),
    "empty_group": ("a(b?)c", "ac"),
    "nul": ("a\x00b", "a\x00b"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("pattern", "text"), HONEST.values(), ids=HONEST)
def test_honest_text_scores_one(engine, pattern, text):
    score = verifier(engine, pattern).score(text)
    assert score.value == 1.0, score.reason
    assert verifier(engine, None).verify(answered(text, pattern)).value == 1.0


HACKS = {
    **{f"probe_{name}": (DATE, text) for name, text in PROBES.items()},
    "prefix": (DATE, "2024-02"),
    "junk_behind": (DATE, "2024-02-29 or so"),
    "junk_before": (DATE, "It is 2024-02-29"),
    "second_line": (DATE, "2024-02-29\nor 2024-03-01"),
    "first_line": (DATE, "no\n2024-02-29"),
    "all_alternatives": ("yes|no", "yes no"),
    "alternatives_joined": ("yes|no", "yesno"),
    "the_pattern": ("yes|no", "yes|no"),
    "arabic_digits": (DATE, "\u0662\u0660\u0662\u0664-02-29"),
    "full_width_digits": (DATE, "\uff12\uff10\uff12\uff14-02-29"),
    "cyrillic": ("yes", "y\u0435s"),
    "long_s": ("(?i)yes!", "ye\u1e9e!"),
    "zero_width": ("yes", "yes\u200b"),
    "only_thought": (DATE, "<think>2024-02-29</think>"),
    "empty_where_the_pattern_allows": (".*", " "),
    "point_is_no_newline": ("a.b", "a\nb"),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("pattern", "text"), HACKS.values(), ids=HACKS)
def test_trick_scores_zero(engine, pattern, text):
    score = verifier(engine, pattern).score(text)
    assert score.value == 0.0
    assert score.reason


def test_a_match_that_runs_over_scores_zero_and_holds_no_other_thread():
    ticks, stop = [], threading.Event()

    def tick() -> None:
        while not stop.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    slow = verifier(pattern=EVIL, seconds=0.3)
    assert slow.score("ab").value == 1.0  # its process has started
    thread.start()
    score = slow.score("a" * 60)
    stop.set()
    thread.join()
    assert (score.value, score.parts["format"]) == (0.0, 1.0)
    assert score.reason == "matching took more than 0.3 seconds"
    assert len(ticks) > 5
    assert slow.score("aab").value == 1.0  # and it goes on


def test_re2_takes_linear_time():
    assert verifier("re2", EVIL).score("a" * 200_000).value == 0.0
    assert verifier("re2", EVIL).score("a" * 200_000 + "b").value == 1.0


def test_a_match_that_takes_too_much_memory_scores_zero(monkeypatch):
    monkeypatch.setattr("llm_gym.verifiers.regex._MEMORY_BYTES", 2**25)
    pattern = f"(?:{'(' * 60}a{')' * 60}|(z))*b"
    score = verifier(pattern=pattern, seconds=19.0).score("a" * 262_144)
    assert (score.value, score.reason) == (0.0, "matching took too much memory")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{2,1}", "(?<x"])
def test_a_pattern_that_is_none_is_refused_at_once(engine, pattern):
    with pytest.raises(DefinitionError, match=f"`{engine}` does not know the pattern"):
        verifier(engine, pattern)


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=a)a", "(?<!b)a"])
def test_re2_refuses_what_it_has_not(pattern):
    with pytest.raises(DefinitionError, match="`re2` does not know the pattern"):
        verifier("re2", pattern)


@pytest.mark.parametrize("gold", [None, 5, True, [], ["a"], {}, "a" * 10_001])
def test_a_gold_that_is_no_pattern_is_never_a_zero(gold):
    for text in ("a", ""):
        with pytest.raises(DefinitionError, match="`RegexMatch` needs a pattern"):
            RegexMatch().verify(answered(text, gold))


def test_a_gold_that_does_not_compile_is_never_a_zero():
    with pytest.raises(DefinitionError, match="does not know the pattern"):
        RegexMatch().score("a", "(")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_the_seconds_must_be_above_zero(seconds):
    with pytest.raises(ValueError, match="`seconds` must be above 0"):
        RegexMatch(pattern="a", seconds=seconds)


def test_an_engine_must_be_known():
    with pytest.raises(ValueError, match="`engine` must be 're' or 're2', not 'pcre'"):
        RegexMatch(pattern="a", engine="pcre")


def test_re2_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'llm-gym\[regex\]'"):
        RegexMatch(pattern="never compiled before", engine="re2")
    assert RegexMatch(pattern="a").score("a").value == 1.0  # no other engine is tried


def test_an_engine_that_breaks_is_a_fault(monkeypatch):
    monkeypatch.setattr(
        "llm_gym.verifiers.regex._worker",
        lambda seconds: _Broken(),
    )
    with pytest.raises(EnvironmentFault, match="raised ValueError"):
        RegexMatch(pattern="a").score("a")


class _Broken:
    def call(self, pattern: str, text: str) -> bool:
        from llm_gym.workers import WorkerError

        raise WorkerError("the function raised ValueError", "ValueError")


@settings(deadline=None, max_examples=50)
@given(any_text)
def test_any_text_is_judged_alike_by_both(text):
    for pattern in ("(?s).*", "[a-z]*", "[^a]+"):
        values = {verifier(e, pattern).score(text).value for e in ENGINES}
        assert len(values) == 1


def test_the_process_matches_as_a_whole():
    assert matches("a+", "aaa")
    assert not matches("a+", "aab")


@pytest.mark.parametrize("engine", ENGINES)
def test_it_works_in_a_rubric_stored_and_pickled(engine):
    made = verifier(engine)
    assert pickle.loads(pickle.dumps(made)) == made
    rubric = Rubric({"date": (made, 1)})
    assert rubric.verify(stored(answered("2024-02-29"))).value == 1.0


def test_only_the_engine_in_a_process_of_its_own_blocks():
    assert [verifier(engine).blocking for engine in ENGINES] == [True, False]
