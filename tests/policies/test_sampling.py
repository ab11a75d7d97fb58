"""Draws follow the distribution, the seed and the row, and nothing else."""

import pickle
from typing import Any

import pytest

from llm_gym.policies.sampling import RowKeys, RowSampler, Sampling

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def draw(sampling: Sampling, seeds: list[int], steps: int = 1) -> list[list[int]]:
    """Return what each row draws, step by step."""
    sampler = RowSampler(sampling, seeds, torch.device("cpu"))
    rows = LOGITS.expand(len(seeds), 4)
    empty = torch.empty(len(seeds), 0)
    drawn = [sampler(empty, rows).argmax(dim=-1) for _ in range(steps)]
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
    ],
)
def test_sampling_refuses_what_makes_no_sense(
    field: str, value: Any, expected: str
) -> None:
    with pytest.raises(ValueError, match=rf"`{field}` must be {expected}, not {value}"):
        Sampling(**{field: value})


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
    sampler = RowSampler(Sampling(), [5], torch.device("cpu"))
    barred = torch.tensor([[-float("inf"), 0.0, -float("inf")]])
    scores = [sampler(torch.empty(1, 0), barred) for _ in range(200)]
    assert {int(score.argmax()) for score in scores} == {1}


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
