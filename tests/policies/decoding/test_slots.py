"""Rows join, leave and share, and each is what it would have been alone."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from llm_gym.policies.decoding import slots as slots_module
from llm_gym.policies.decoding.model import (
    DecodeCall,
    DecodeSettings,
    Row,
    Sampled,
    takes_slots,
)
from llm_gym.policies.decoding.slots import SlotEngine
from llm_gym.policies.gather import Call
from llm_gym.policies.sampling import Sampling
from tests.policies.tiny import sampled_alone, tiny_model, tiny_tokenizer

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

START = list(range(10, 60))
PROMPTS = [
    [*START, 7, 8],
    [*START, 9, 7, 7, 7, 7],
    [5],
    [*START, 9],
    [40, 41, 42],
    [*START, 9],
]
_LOOPS: list[asyncio.AbstractEventLoop] = []


@pytest.fixture(autouse=True)
def _close_loops() -> Iterator[None]:
    yield
    while _LOOPS:
        _LOOPS.pop().close()


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model(tiny_tokenizer())


def settings(
    room: int = 12,
    *,
    slots: int = 8,
    reuse: int = 0,
    stops: Iterable[int] = (),
    **sampling: Any,
) -> DecodeSettings:
    return DecodeSettings(
        sampling=Sampling(max_new_tokens=room, **sampling),
        stop_ids=set(stops),
        pad_id=2,
        context=2048,
        max_batch_size=slots,
        reuse_tokens=reuse,
    )


def call(ids: Sequence[int], seed: int = 0, room: int = 12) -> DecodeCall:
    loop = asyncio.new_event_loop()
    _LOOPS.append(loop)
    return Call(Row(list(ids), room, seed), loop.create_future(), loop)


def run(engine: SlotEngine, *waiting: DecodeCall) -> dict[DecodeCall, Sampled]:
    """Run calls to their end, admitting them as there is room."""
    calls, answers = list(waiting), {}
    while calls or not engine.idle():
        room = engine.room(len(calls))
        batch, calls = calls[:room], calls[room:]
        if batch:
            engine.admit(batch)
        answers.update(engine.step())
    return answers


def assert_as_alone(
    model: Any, answers: dict[DecodeCall, Sampled], one: DecodeSettings
) -> None:
    for asked, answer in answers.items():
        row = asked.item
        ids, logprobs = sampled_alone(
            model, row.ids, row.seed, one.sampling, one.stop_ids
        )
        assert answer.ids == ids
        assert answer.logprobs == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_rows_are_what_they_would_be_alone(model: Any, slots: int) -> None:
    one = settings(slots=slots, stops=range(0, 280, 9))
    calls = [call(ids, seed) for seed, ids in enumerate(PROMPTS)]
    answers = run(SlotEngine(model, one), *calls)
    assert len(answers) == len(PROMPTS)
    assert_as_alone(model, answers, one)
    assert len({len(answer.ids) for answer in answers.values()}) > 1


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0}, {"top_p": 0.8, "top_k": 20, "min_p": 0.01}]
)
def test_settings_of_sampling_hold_in_slots(
    model: Any, sampling: dict[str, Any]
) -> None:
    one = settings(**sampling)
    calls = [call(ids, seed) for seed, ids in enumerate(PROMPTS)]
    assert_as_alone(model, run(SlotEngine(model, one), *calls), one)


def test_eager_attention_takes_slots_too() -> None:
    model = tiny_model(tiny_tokenizer(), attn_implementation="eager")
    assert takes_slots(model)
    one = settings()
    calls = [call(ids, seed) for seed, ids in enumerate(PROMPTS)]
    assert_as_alone(model, run(SlotEngine(model, one), *calls), one)


def test_rows_join_those_under_way_and_leave_at_their_end(model: Any) -> None:
    long = settings(room=40)
    engine = SlotEngine(model, long)
    first = call(PROMPTS[0], 0, room=40)
    engine.admit([first])
    assert engine.step() == []
    second = call(PROMPTS[1], 1, room=3)
    engine.admit([second])
    assert engine.room(0) == 6
    ended = [engine.step() for _ in range(3)]
    assert [len(answers) for answers in ended] == [0, 0, 1]
    assert ended[2][0][0] is second
    assert engine.room(1) == 7
    answers = {**dict(ended[2]), **run(engine, call([5], 2))}
    assert len(answers) == 3
    assert [len(answer.ids) for answer in answers.values()] == [3, 12, 40]


def test_few_new_rows_wait_for_others_but_not_for_ever(model: Any) -> None:
    engine = SlotEngine(model, settings(slots=20))
    assert engine.room(1) == 20
    engine.admit([call([5 + i], room=40) for i in range(16)])
    engine.step()
    assert engine.room(2) == 0
    assert engine.room(3) == 4
    assert [engine.room(1) for _ in range(9)] == [0] * 8 + [4]
    assert engine.room(1) == 0


def test_long_prompts_are_read_in_several_passes(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots_module, "_PASS_TOKENS", 8)
    one = settings()
    calls = [call(ids, seed) for seed, ids in enumerate(PROMPTS)]
    assert_as_alone(model, run(SlotEngine(model, one), *calls), one)


@pytest.fixture
def passes(model: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The rows and the tokens of each forward pass."""
    shapes: list[tuple[int, int]] = []
    forward = model.forward

    def count(*args: Any, **options: Any) -> Any:
        shapes.append(tuple((args or [options["input_ids"]])[0].shape))
        return forward(*args, **options)

    monkeypatch.setattr(model, "forward", count)
    return shapes


def test_shared_start_is_read_once(model: Any, passes: list[tuple[int, int]]) -> None:
    prompts = [[*START, 7, 8], [*START, 9, 7, 7, 7, 7], [*START, 9, 8]]
    run(SlotEngine(model, settings(room=2)), *map(call, prompts))
    (rows, width), *others = passes
    assert (rows, width) == (1, 51)
    assert others[0] == (2, 4)
    assert all(width == 1 for _, width in others[1:])


def test_start_of_a_row_under_way_is_not_read_again(
    model: Any, passes: list[tuple[int, int]]
) -> None:
    engine = SlotEngine(model, settings())
    engine.admit([call(PROMPTS[0])])
    engine.step()
    del passes[:]
    engine.admit([call([*START, 9, 9, 9])])
    assert passes == [(1, 2)]


def test_one_token_prompts_need_no_pass_of_their_own(
    model: Any, passes: list[tuple[int, int]]
) -> None:
    engine = SlotEngine(model, settings())
    engine.admit([call([5]), call([6])])
    assert passes == []
    engine.step()
    assert passes == [(2, 1)]


# --- the next turn


def test_next_turn_reads_only_what_is_new(
    model: Any, passes: list[tuple[int, int]]
) -> None:
    one = settings(reuse=1000)
    engine = SlotEngine(model, one)
    ((_, first),) = run(engine, call(PROMPTS[0])).items()
    del passes[:]
    prompt = [*PROMPTS[0], *first.ids, 30, 31, 32]
    answers = run(engine, call(prompt, 5))
    assert passes[0] == (1, 3)  # the last sampled token, and all but the last new one
    assert_as_alone(model, answers, one)


def test_what_is_kept_is_bounded(model: Any, passes: list[tuple[int, int]]) -> None:
    engine = SlotEngine(model, settings(reuse=20))
    ((_, first),) = run(engine, call(PROMPTS[0])).items()
    del passes[:]
    run(engine, call([*PROMPTS[0], *first.ids, 30, 31, 32]))
    assert passes[0][1] > len(PROMPTS[0])


def test_equal_prompts_after_a_turn_are_both_right(model: Any) -> None:
    one = settings(reuse=1000)
    engine = SlotEngine(model, one)
    ((_, first),) = run(engine, call(PROMPTS[0])).items()
    prompt = [*PROMPTS[0], *first.ids, 30, 31, 32]
    answers = run(engine, call(prompt, 5), call(prompt, 6))
    assert len(answers) == 2
    assert_as_alone(model, answers, one)


@pytest.mark.parametrize("data", [True, False])
def test_weights_that_were_trained_make_what_was_kept_worthless(data: bool) -> None:
    model, one = tiny_model(tiny_tokenizer()), settings(reuse=1000)
    engine = SlotEngine(model, one)
    ((_, first),) = run(engine, call(PROMPTS[0])).items()
    for parameter in model.parameters():
        with torch.no_grad():
            (parameter.data if data else parameter).add_(0.1)
    answers = run(engine, call([*PROMPTS[0], *first.ids, 30, 31, 32], 5))
    assert_as_alone(model, answers, one)


# --- callers that go, and failures


def test_abandoned_rows_leave_without_an_answer(model: Any) -> None:
    one = settings()
    engine = SlotEngine(model, one)
    calls = [call(ids, seed) for seed, ids in enumerate(PROMPTS[:4])]
    engine.admit(calls)
    assert engine.step() == []
    calls[1].future.cancel()
    calls[3].loop.close()
    answers = run(engine)
    assert set(answers) == {calls[0], calls[2]}
    assert_as_alone(model, answers, one)


def test_engine_rests_when_all_are_abandoned(model: Any) -> None:
    engine = SlotEngine(model, settings())
    asked = call(PROMPTS[0])
    engine.admit([asked])
    asked.future.cancel()
    assert engine.step() == []
    assert engine.idle()


def test_logits_that_are_no_numbers_are_an_error() -> None:
    model = tiny_model(tiny_tokenizer())
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    engine = SlotEngine(model, settings())
    asked = call(PROMPTS[0])
    engine.admit([asked])
    with pytest.raises(ArithmeticError, match="logits are no numbers"):
        engine.step()
    assert engine.clear() == [asked]
    assert engine.idle()


def test_model_in_training_is_put_back_when_the_last_row_ends(model: Any) -> None:
    model.train()
    engine = SlotEngine(model, settings())
    engine.admit([call(PROMPTS[0])])
    assert not model.training
    run(engine)
    assert model.training
    model.eval()


def test_memory_is_freed_between_batches(model: Any) -> None:
    engine = SlotEngine(model, settings(reuse=1000))
    run(engine, *map(call, PROMPTS))
    assert engine._slots.size == (0, 0)
    assert engine._store.tokens <= 1000
