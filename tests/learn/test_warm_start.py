"""The warm start teaches form alone."""

from __future__ import annotations

import inspect
from typing import Any

import learn.warm_start
from learn.setting import mean_return
from learn.tiny import load, save
from learn.warm_start import RandomCaller


def test_teacher_earns_what_chance_gives() -> None:
    # Three look-ups at random among nine tools, then one of two codes: 0.149.
    assert 0.08 < mean_return(RandomCaller(0)) < 0.22


def test_nothing_of_a_reward_or_an_answer_is_read() -> None:
    source = inspect.getsource(learn.warm_start).split('"""', 2)[2]
    for word in ("score", "episode_return", ".reward", ".task", "oracle(", "['answer"):
        assert word not in source


def test_small_model_speaks_its_own_words(speaker: Any) -> None:
    model, tokenizer = speaker
    assert sum(p.numel() for p in model.parameters()) < 3_000_000
    text = "Error: there is no order 'Y2MUR'; codes"
    assert tokenizer("Y2MUR")["input_ids"] != tokenizer("YM2UR")["input_ids"]
    assert tokenizer.decode(tokenizer("Y2MUR")["input_ids"]) == "Y2MUR" in text


def test_what_was_saved_is_loaded(speaker: Any, tmp_path: Any) -> None:
    model, tokenizer = speaker
    save(model, tokenizer, tmp_path)
    again, words = load(tmp_path)
    assert words.get_vocab() == tokenizer.get_vocab()
    before, after = model.state_dict(), again.state_dict()
    assert all((before[name] == after[name]).all() for name in before)
