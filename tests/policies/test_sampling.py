"""Draws follow the distribution, the seed and the row, and nothing else."""

import pickle
from typing import Any

import pytest

from llm_gym.policies import sampling as sampling_module
from llm_gym.policies.sampling import RowKeys, RowSampler, Sampling

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

CPU = torch.device("cpu")
LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def draw(sampling: Sampling, seeds: list[int], steps: int = 1) -> list[list[int]]:
    """Return what each row draws, step by step."""
    sampler = RowSampler(sampling, CPU, seeds)
    rows = LOGITS.expand(len(seeds), 4)
    drawn = [sampler.draw(rows)[0] for _ in range(steps)]
    return torch.stack(drawn, dim=1).tolist()


def shares(sampling: Sampling) -> list[float]:
    rows = draw(sampling, list(range(200)), steps=20)
    drawn = [token for row in rows for token in row]
    return [drawn.count(token) / len(drawn) for token in range(4)]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("max_new_tokens", 0, "at least 1"),
        ("temperature", -0.1, "0 or more"),
        ("temperature", float("inf"), "0 or more"),
        ("top_p", 0.0, "above 0 and at most 1"),
        ("top_p", 1.1, "above 0 and at most 1"),
        ("seed", -1, "0 or more"),
        ("top_k", -1, "0 or more"),
        ("min_p", 1.0, "0 or more and below 1"),
        ("stop", "text", "a tuple of texts"),
        ("presence_penalty", 3.0, "between -2 and 2"),
        ("frequency_penalty", -3.0, "between -2 and 2"),
    ],
)
def test_sampling_refuses_what_makes_no_sense(
    field: str, value: Any, expected: str
) -> None:
    with pytest.raises(
        ValueError, match=rf"`{field}` must be {expected}, not {value!r}"
    ):
        Sampling(**{field: value})


def test_sampling_names_the_setting_that_an_engine_cannot_do() -> None:
    sampling = Sampling(top_k=5, seed=1)
    sampling.require_only("top_k", "seed", engine="it")
    with pytest.raises(ValueError, match="it cannot do `top_k`=5 of `Sampling`"):
        sampling.require_only("seed", engine="it")


def test_sampling_survives_a_pickle() -> None:
    sampling = Sampling(max_new_tokens=5, top_p=0.5)
    assert pickle.loads(pickle.dumps(sampling)) == sampling


def test_draws_follow_the_distribution() -> None:
    assert shares(Sampling()) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_draws_follow_the_temperature() -> None:
    squares = [0.25, 0.09, 0.0225, 0.0025]
    expected = [square / sum(squares) for square in squares]
    assert shares(Sampling(temperature=0.5)) == pytest.approx(expected, abs=0.03)


def test_top_p_keeps_the_smallest_set_that_holds_it() -> None:
    kept = shares(Sampling(top_p=0.7))
    assert kept == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(Sampling(top_p=0.1)) == [1, 0, 0, 0]


def test_same_seeds_draw_the_same() -> None:
    assert draw(Sampling(), [3, 4], 50) == draw(Sampling(), [3, 4], 50)
    first, second = draw(Sampling(), [3, 4], 50)
    assert first != second


def test_rows_do_not_depend_on_each_other() -> None:
    (alone,) = draw(Sampling(), [7], 50)
    assert draw(Sampling(), [1, 7, 2], 50)[1] == alone


def test_draws_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    draw(Sampling(top_p=0.9), [1, 2], 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_tokens_that_are_ruled_out_are_never_drawn() -> None:
    sampler = RowSampler(Sampling(), CPU, [5])
    barred = torch.tensor([[-float("inf"), 0.0, -float("inf")]])
    assert {int(sampler.draw(barred)[0]) for _ in range(200)} == {1}


def test_temperature_of_zero_takes_the_likeliest() -> None:
    assert draw(Sampling(temperature=0), [1, 2], 5) == [[0] * 5] * 2


def test_top_k_keeps_the_likeliest() -> None:
    kept = shares(Sampling(top_k=2))
    assert kept == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(Sampling(top_k=9)) == shares(Sampling())


def test_min_p_keeps_what_is_nearly_as_likely_as_the_likeliest() -> None:
    kept = shares(Sampling(min_p=0.5))
    assert kept == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)


def test_top_p_follows_min_p_and_top_k() -> None:
    # Of the two that are left the first alone holds 0.6.
    assert shares(Sampling(top_k=2, top_p=0.6)) == [1, 0, 0, 0]
    assert shares(Sampling(min_p=0.5, top_p=0.6)) == [1, 0, 0, 0]


@pytest.mark.parametrize("top_p", [0.3, 0.9, 0.999999])
def test_top_p_looks_further_than_its_shortlist(
    top_p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    whole = RowSampler(Sampling(top_p=top_p), CPU)._nucleus(logits)
    monkeypatch.setattr(sampling_module, "_SHORTLIST", 5)
    assert torch.equal(RowSampler(Sampling(top_p=top_p), CPU)._nucleus(logits), whole)
    assert 0 < int(whole.isinf().sum()) < 150 or top_p > 0.99


def test_top_p_takes_no_more_of_equals_than_it_needs() -> None:
    equal = RowSampler(Sampling(top_p=0.5), CPU)._nucleus(torch.zeros(1, 4))
    assert int(equal.isinf().sum()) == 2


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 0.0}, {"temperature": 0.3, "top_p": 0.5}]
)
def test_logprobs_are_the_models_own(settings: dict[str, float]) -> None:
    sampler = RowSampler(Sampling(**settings), CPU, [1, 2, 3])
    tokens, logprobs = sampler.draw(LOGITS.expand(3, 4) + 7)
    assert logprobs.tolist() == pytest.approx(LOGITS[tokens].tolist(), abs=1e-5)


def test_rows_come_and_go_without_notice() -> None:
    sampler = RowSampler(Sampling(), CPU, [1, 2])
    sampler.draw(LOGITS.expand(2, 4))
    sampler.add([7])
    sampler.keep([2, 1])
    drawn = [sampler.draw(LOGITS.expand(2, 4))[0].tolist() for _ in range(30)]
    fresh, old = draw(Sampling(), [7], 30)[0], draw(Sampling(), [2], 31)[0]
    assert [row[0] for row in drawn] == fresh
    assert [row[1] for row in drawn] == old[1:]


def test_row_keys_differ_by_seed_prompt_and_count() -> None:
    one, other = RowKeys(0), RowKeys(1)
    seeds = [one.next([1, 2]), one.next([1, 2]), one.next([2, 1]), other.next([1, 2])]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_row_keys_do_not_depend_on_other_prompts() -> None:
    one, other = RowKeys(0), RowKeys(0)
    other.next([9])
    assert one.next([1, 2]) == other.next([1, 2])


def test_row_keys_are_the_same_on_every_machine() -> None:
    assert RowKeys(0).next([1, 2]) == 3038661463153386345
