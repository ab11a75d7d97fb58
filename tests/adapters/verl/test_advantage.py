import pytest

from llm_gym.adapters.verl.advantage import leaving_out, own_groups

torch = pytest.importorskip("torch")


def mean_of_group(
    token_level_rewards, response_mask, index, config=None, **kwargs
):  # the form of VeRL's estimators
    scores = token_level_rewards.sum(-1)
    means = [
        torch.stack([s for s, other in zip(scores, index, strict=True) if other == own])
        .mean()
        .item()
        for own in index
    ]
    values = (scores - torch.tensor(means))[:, None] * response_mask
    return values, values


def estimate(rewards: list[float], groups: str, left_out: set[int]) -> list[float]:
    tensor = torch.tensor(rewards, dtype=torch.float32)[:, None]
    mask = torch.tensor([[int(i not in left_out)] for i in range(len(rewards))])
    values, _ = leaving_out(mean_of_group)(
        token_level_rewards=tensor, response_mask=mask, index=list(groups)
    )
    return values[:, 0].tolist()


def test_row_that_is_left_out_does_not_count_in_the_mean() -> None:
    assert estimate([1, 0, 0], "aaa", {2}) == [0.5, -0.5, 0]


def test_row_that_is_left_out_may_hold_any_number() -> None:
    assert estimate([1, 0, float("nan")], "aaa", {2}) == [0.5, -0.5, 0]


def test_groups_without_a_fault_are_as_they_were() -> None:
    assert estimate([1, 0, 1, 1], "aabb", set()) == [0.5, -0.5, 0, 0]


def test_row_that_is_left_alone_has_no_advantage() -> None:
    own, alone = own_groups(["a", "a", "b"], [True, False, True])
    assert list(own) == ["a", ("left out", 1), "b"]
    assert alone == [True, True, False]


def test_rows_that_are_left_out_are_not_each_others_group() -> None:
    own, _ = own_groups(["a", "a"], [False, False])
    assert own[0] != own[1]
    assert own.shape == (2,)


def test_estimator_is_told_whether_to_divide() -> None:
    told = {}

    def watching(**kwargs):
        told.update(kwargs)
        return mean_of_group(**kwargs)

    ones = torch.ones(1, 1)
    config = {"norm_adv_by_std_in_grpo": False}
    leaving_out(watching, deviates=True)(ones, ones, ["a"], config)
    assert told["norm_adv_by_std_in_grpo"] is False
