"""Arrays from episodes that a real model sampled, faults among them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from llm_gym import Score, rollout
from llm_gym.adapters.advantages import grpo
from llm_gym.adapters.groups import Groups
from llm_gym.policies import ScriptedPolicy
from llm_gym.tokens import Segment, Span, TokenRecord

pytest.importorskip("torch")

from llm_gym.policies import Sampling, TransformersPolicy
from tests.policies.tiny import HERMES, tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def episodes():
    tokenizer = tiny_tokenizer(HERMES)
    policy = TransformersPolicy(
        tiny_model(tokenizer, max_position_embeddings=8192),
        tokenizer=tokenizer,
        sampling=Sampling(max_new_tokens=6, seed=1),
    )
    return list(
        rollout("llmgym/SingleTool-v0", policy, episodes=6, group_size=3, seed=4)
    )


def faulted(episode):
    return dataclasses.replace(episode, fault="the machine broke", score=None, turns=())


def rewritten(episode):
    """Return it with two segments, as if its history had been rewritten."""
    segment = Segment((1, 2, 3, 4, 5), (Span(0, 2, 4),), (-0.5, -0.25))
    other = Segment((1, 9, 9), (Span(1, 1, 3),), (-1.0, -2.0))
    return dataclasses.replace(episode, tokens=TokenRecord((segment, other), ("cut",)))


def test_rows_are_the_tokens_of_the_episodes(episodes):
    groups = Groups.from_trajectories(episodes)
    assert len(groups) == 6
    assert groups.group_id.tolist() == [e.run.group for e in episodes]
    for row, episode in enumerate(episodes):
        (sample,) = episode.tokens.to_samples()
        assert groups.prompt_ids[row].tolist() == list(sample.prompt_ids)
        assert groups.ids[row].tolist() == list(sample.completion_ids)
        assert groups.mask[row].tolist() == [bool(one) for one in sample.mask]
        assert groups.logprobs[row].tolist() == list(sample.logprobs)
        assert groups.rewards[row] == episode.episode_return


def test_a_fault_is_a_row_without_a_reward(episodes):
    groups = Groups.from_trajectories([faulted(episodes[0]), *episodes[1:]])
    assert groups.valid.tolist() == [False] + [True] * 5
    assert math.isnan(groups.rewards[0])
    assert (len(groups.ids[0]), len(groups.prompt_ids[0])) == (0, 0)
    assert groups.advantages(grpo).values[0] == 0.0


def test_an_episode_of_two_segments_counts_once(episodes):
    paid = [
        dataclasses.replace(episode, group_score=Score(value))
        for episode, value in zip(episodes[:3], (1.0, 0.0, 0.5), strict=True)
    ]
    groups = Groups.from_trajectories([rewritten(paid[0]), *paid[1:]])
    plain = Groups.from_trajectories(paid)
    assert groups.episode.tolist() == [0, 0, 1, 2]
    assert groups.ids[1].tolist() == [9, 9]
    assert groups.logprobs[0].tolist() == [-0.5, -0.25, 0.0]
    expected = plain.advantages(grpo).values
    assert expected[0] > 0
    assert groups.advantages(grpo).values.tolist() == expected[[0, 0, 1, 2]].tolist()


def test_padding_is_told_from_tokens(episodes):
    groups = Groups.from_trajectories([faulted(episodes[0]), rewritten(episodes[1])])
    padded = groups.padded(pad_id=7)
    assert padded.prompt_ids.tolist() == [[7, 7], [1, 2], [7, 1]]
    assert padded.prompt_mask.tolist() == [[False] * 2, [True] * 2, [False, True]]
    assert padded.ids.tolist() == [[7, 7, 7], [3, 4, 5], [9, 9, 7]]
    assert padded.ids_mask[2].tolist() == [True, True, False]
    assert padded.mask.sum(axis=1).tolist() == [0, 2, 2]
    assert not padded.mask[:, 2].any()
    assert padded.logprobs[1:].tolist() == [[-0.5, -0.25, 0.0], [-1.0, -2.0, 0.0]]


def test_a_row_without_log_probabilities_leaves_none(episodes):
    bare = dataclasses.replace(
        episodes[0], tokens=TokenRecord((Segment((1, 2), (Span(0, 1, 2),)),))
    )
    groups = Groups.from_trajectories([bare, episodes[1]])
    assert groups.logprobs[0] is None
    assert groups.padded().logprobs is None


def test_what_has_no_tokens_is_refused(episodes):
    (spoken,) = rollout("llmgym/SingleTool-v0", ScriptedPolicy(["hello"]), episodes=1)
    with pytest.raises(ValueError, match=r"episode 1 .* has no tokens.*ScriptedPolicy"):
        Groups.from_trajectories([episodes[0], spoken])
    unfinished = dataclasses.replace(episodes[0], score=None)
    with pytest.raises(ValueError, match=r"episode 0 .* is not finished"):
        Groups.from_trajectories([unfinished])
    with pytest.raises(ValueError, match="of no rollout"):
        Groups.from_trajectories([dataclasses.replace(episodes[0], run=None)])
    with pytest.raises(ValueError, match="there are no episodes"):
        Groups.from_trajectories([])


def test_an_episode_without_room_for_a_reply_is_a_row_without_tokens():
    tokenizer = tiny_tokenizer(HERMES)
    model = tiny_model(tokenizer, max_position_embeddings=64)
    policy = TransformersPolicy(model, tokenizer=tokenizer)
    groups = Groups.from_trajectories(
        rollout("llmgym/SingleTool-v0", policy, episodes=1)
    )
    assert groups.valid.tolist() == [True]
    assert np.array_equal(groups.ids[0], [])
