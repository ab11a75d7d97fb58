"""Which tokens end a reply."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llm_gym.adapters.trl.ending import Ending, spec_callback

TOKENIZER = SimpleNamespace(eos_token_id=2, pad_token_id=None)
MODEL = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[2, 5]))


def test_completion_is_cut_off_unless_its_last_token_ends_a_reply() -> None:
    ending = Ending()
    ending.learn(TOKENIZER, MODEL)
    assert [ending.cut_off(ids) for ids in ([7, 2], [7, 5], [5, 7], [])] == [
        *(False, False),
        *(True, True),
    ]


def test_processor_is_asked_for_its_tokenizer() -> None:
    ending = Ending()
    ending.learn(SimpleNamespace(tokenizer=TOKENIZER), None)
    assert not ending.cut_off([2])


def test_asking_before_the_trainer_has_told_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"callbacks=spec\.callbacks"):
        Ending().cut_off([2])


def test_callback_learns_when_the_trainer_is_made_and_closes_at_the_end() -> None:
    pytest.importorskip("transformers")
    closed: list[bool] = []
    ending = Ending()
    callback = spec_callback(ending, lambda: closed.append(True))
    callback.on_init_end(None, None, None, processing_class=TOKENIZER, model=MODEL)
    assert not ending.cut_off([5])
    callback.on_train_end(None, None, None)
    assert closed == [True]
