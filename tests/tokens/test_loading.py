"""Tokenizers: a model's own, and a stand-in for a template that has none."""

from pathlib import Path

import pytest

from llm_gym.errors import LLMGymError
from llm_gym.tokens.loading import (
    TokenizerError,
    load_tokenizer,
    marks_of,
    neutral_tokenizer,
)
from tests.policies.tiny import END, PLAIN, tiny_tokenizer


def test_marks_of_many_families_are_found() -> None:
    marks = ["<|im_end|>", "<\uff5cUser\uff5c>", "<|turn>", "<turn|>", "<end_of_turn>"]
    marks += ["</s>", "[INST]", "[/INST]", "[gMASK]", "<sop>"]
    assert marks_of(" {{ m }} ".join(marks)) == sorted(marks)


def test_what_is_no_mark_is_not_found() -> None:
    assert marks_of("{{ a | trim }} <tool_call> <think> [x] m < n | p > q") == []


def test_neutral_tokenizer_knows_every_text_and_each_mark() -> None:
    tokenizer = neutral_tokenizer(PLAIN)
    text = f"h\u00e9 \U0001f642 {END}\n\x00"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids.count(tokenizer.convert_tokens_to_ids(END)) == 1
    assert tokenizer.chat_template == PLAIN


def test_tokenizer_is_loaded_from_a_folder(tmp_path: Path) -> None:
    tiny_tokenizer(PLAIN).save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).chat_template == PLAIN


def test_tokenizer_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="no tokenizer could be loaded") as info:
        load_tokenizer(tmp_path)
    assert isinstance(info.value, LLMGymError)
