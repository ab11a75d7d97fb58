"""Models whose cache is not plain are served batch by batch, and just as exactly."""

import asyncio
from typing import Any

import pytest

from llm_gym.policies.decoding.engine import AnyEngine
from llm_gym.policies.decoding.generate import GenerateEngine
from llm_gym.policies.decoding.model import DecodeSettings, Row, Sampled
from llm_gym.policies.gather import Call, Gatherer
from llm_gym.policies.sampling import Sampling
from tests.policies.tiny import (
    sampled_alone,
    tiny_model,
    tiny_tokenizer,
    tiny_window_model,
)

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

ROWS = [
    Row(list(range(10, 40)), 8, 1),
    Row([7, 8, 9], 8, 2),
    Row([50, 51], 8, 3),
]
STOP = 3


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_window_model(tiny_tokenizer())


def settings(**sampling: Any) -> DecodeSettings:
    one = Sampling(max_new_tokens=8, **sampling)
    return DecodeSettings(one, {STOP}, 2, 2048, 4, 1000)


def answers(engine: AnyEngine, *rows: Row) -> list[Sampled]:
    gatherer: Gatherer[Row, Sampled] = Gatherer(engine, name="tiny")

    async def main() -> list[Sampled]:
        return await asyncio.gather(*map(gatherer.ask, rows))

    return asyncio.run(main())


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_rows_of_a_batch_are_what_they_would_be_alone(
    model: Any, temperature: float
) -> None:
    one = settings(temperature=temperature)
    engine = AnyEngine(model, one)
    assert engine.continuous is None
    sampled = answers(engine, *ROWS)
    assert engine.continuous is False
    for row, answer in zip(ROWS, sampled, strict=True):
        ids, logprobs = sampled_alone(model, row.ids, row.seed, one.sampling, {STOP})
        assert answer.ids == ids
        assert answer.logprobs == pytest.approx(logprobs, abs=1e-4)


def test_rows_have_each_their_own_room(model: Any) -> None:
    one = settings()
    one.stop_ids.clear()
    rows = [Row([7, 8], 5, 1), Row([9], 2, 2), Row([11], 5, 3)]
    sampled = answers(AnyEngine(model, one), *rows)
    assert [len(answer.ids) for answer in sampled] == [5, 2, 5]
    assert [len(answer.logprobs) for answer in sampled] == [5, 2, 5]


def test_settings_of_the_checkpoint_do_not_bend_the_distribution() -> None:
    model = tiny_window_model(tiny_tokenizer())
    expected = answers(AnyEngine(model, settings(temperature=0)), *ROWS)
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.temperature = 0.1
    model.generation_config.no_repeat_ngram_size = 1
    assert answers(AnyEngine(model, settings(temperature=0)), *ROWS) == expected


def test_batch_ends_when_every_caller_is_gone(model: Any) -> None:
    loop = asyncio.new_event_loop()
    call = Call(Row([7, 8], 400, 1), loop.create_future(), loop)
    engine = GenerateEngine(model, settings())
    engine.admit([call])
    assert engine.room(1) == 3
    call.future.cancel()
    ((_, sampled),) = engine.step()
    assert len(sampled.ids) < 3
    assert engine.idle()
    loop.close()


def test_rows_are_given_up_after_an_error(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.new_event_loop()
    call = Call(Row([7, 8], 4, 1), loop.create_future(), loop)
    engine = GenerateEngine(model, settings())
    engine.admit([call])
    monkeypatch.setattr(model, "generate", lambda **options: 1 / 0)
    model.train()
    with pytest.raises(ZeroDivisionError):
        engine.step()
    assert model.training
    assert engine.clear() == [call]
    assert engine.idle()
    model.eval()
    loop.close()


def test_plain_model_is_decoded_in_slots() -> None:
    model = tiny_model(tiny_tokenizer())
    model.train()
    engine = AnyEngine(model, settings())
    assert engine.room(1) == 4
    assert engine.idle()
    assert engine.step() == engine.clear() == []
    assert len(answers(engine, *ROWS)) == 3
    assert engine.continuous is True
    assert model.training
    engine.forget()
    assert engine.clear() == []
