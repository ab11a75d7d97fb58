"""What must hold of every conversation, with every chat template."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_gym import Trajectory, rollout
from llm_gym.messages import call_text
from llm_gym.rollouts.verify import verify
from llm_gym.tokens import ChatTokens
from llm_gym.tokens.chat_template import ChatTemplateError
from tests.sample_envs import VaultEnv
from tests.tokens.families import OWN, STOPS, TEMPLATES, trained_tokenizer
from tests.tokens.speaking import SpeakingPolicy
from tests.tokens.talk import Conversation, Talk, begin, conversations

OFTEN = {"qwen2_5", "qwen3", "llama3", "gemma3", "qwen3_5_think", "phi3"}
# Breaks are judged by their first need: these need one later, or always.
ODD = {"last thought"}
calls = st.sampled_from(
    [
        call_text("lookup", {"colour": "red"}),
        call_text("lookup", {"colour": "<|im_end|>"}),
        call_text("roll", {}),
        call_text("open", {"code": 7}),
        "<tool_call>{oops",
    ]
)
thought = st.sampled_from(["", "", "<think>hm</think>", "<think>"])
said = st.builds(
    lambda *parts: "".join(parts),
    thought,
    st.sampled_from(["", "hello there", "四 🙂"]),
    st.lists(calls, max_size=2).map("".join),
    st.sampled_from(["", "", "", "..."]),
)


@cache
def tokens_of(name: str) -> ChatTokens:
    tokenizer = trained_tokenizer(TEMPLATES[name])
    stops = tokenizer.convert_tokens_to_ids(list(STOPS.get(name, ())))
    return ChatTokens(tokenizer, name, stops)


def played(name: str, conversation: Conversation) -> Talk:
    """Play a conversation; its turns check themselves."""
    talk = begin(tokens_of(name), conversation)
    talk.strict = name not in ODD
    for turn in conversation.turns:
        try:
            talk.take(turn)
        except ChatTemplateError:  # it refuses this conversation, and says so
            break
    return talk


few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TEMPLATES)
@few
@given(conversation=conversations)
def test_trace_is_what_was_fed_and_what_was_sampled(
    name: str, conversation: Conversation
) -> None:
    talk = played(name, conversation)
    turn = 0
    for segment in talk.trace.segments:
        sampled = set()
        for span in segment.spans:
            assert span.turn == turn
            assert list(segment.ids[: span.start]) == talk.fed[turn]
            assert list(segment.ids[span.start : span.end]) == talk.drawn[turn]
            sampled |= set(range(span.start, span.end))
            turn += 1
        assert {i for i, one in enumerate(segment.mask) if one} == sampled
    assert turn == len(talk.fed)
    assert len(talk.trace.record().breaks) == len(talk.breaks)


@pytest.mark.parametrize("name", ["hermes", "plain", *sorted(OFTEN & TEMPLATES.keys())])
@few
@given(texts=st.lists(said, min_size=1, max_size=6))
def test_episode_of_an_environment_is_recorded_exactly(
    name: str, texts: list[str]
) -> None:
    tokens = tokens_of(name)
    end = tokens.marked_ends[-1]
    policy = SpeakingPolicy(tokens, [*texts, "I give up."] * 2, end)
    (record,) = rollout(VaultEnv, policy, episodes=1, seed=1)
    assert record.tokens is not None
    samples = record.tokens.to_samples()
    assert [t for s in samples for t in s.turns] == [*range(len(record.turns))]
    for sample, segment in zip(samples, record.tokens.segments, strict=True):
        assert sample.prompt_ids + sample.completion_ids == segment.ids
        assert sample.logprobs == tuple(-1.0 * one for one in sample.mask)
    counts = [turn.usage.completion_tokens for turn in record.turns if turn.usage]
    assert sum(counts) == sum(sum(sample.mask) for sample in samples)
    assert verify(Trajectory.from_json(record.to_json()), tokens) == []


def test_templates_of_trl_are_in_the_matrix() -> None:
    if len(TEMPLATES) == len(OWN):
        pytest.skip("TRL's templates are not installed: only ours were tried")
    assert len(TEMPLATES) - len(OWN) >= 40
