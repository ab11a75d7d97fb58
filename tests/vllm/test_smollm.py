"""SmolLM2 in real episodes: what vLLM read and sampled, checked from outside."""

from typing import Any

import pytest

import llm_gym
from tests.policies.tiny import ask
from tests.vllm.driving import logprobs_by_transformers, replies

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def reference(smol: Any) -> Any:
    """The same model in transformers, in float32."""
    from llm_gym.policies.embedded import embedded_model_path

    folder = embedded_model_path()
    return transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()


def test_answer_makes_sense(smol: Any) -> None:
    from llm_gym.policies.sampling import Sampling

    greedy = smol.with_sampling(Sampling(max_new_tokens=12, temperature=0))
    (reply,) = replies(greedy, [ask("What is the capital of France?")])
    assert "Paris" in reply.message
    assert smol.name == "SmolLM2-135M-Instruct"


@pytest.mark.parametrize(
    ("env", "options"),
    [("llmgym/SingleTool-v0", {}), ("llmgym/MultiStep-v0", {"max_turns": 4})],
)
def test_traces_of_episodes_have_the_logprobs_of_transformers(
    smol: Any, reference: Any, env: str, options: dict[str, int]
) -> None:
    run = llm_gym.rollout(env, smol, episodes=3, seed=1, env_kwargs=options)
    for episode in run:
        assert episode.fault is None
        for segment in episode.tokens.segments:
            expected = logprobs_by_transformers(reference, segment.ids)
            told = [expected[i - 1] for i, one in enumerate(segment.mask) if one]
            assert list(segment.logprobs) == pytest.approx(told, abs=1e-3)


def test_episodes_with_the_same_seed_are_the_same(smol: Any) -> None:
    def digests() -> list[str]:
        policy = smol.with_sampling(smol._sampling)
        run = llm_gym.rollout(
            "llmgym/SingleTool-v0", policy, episodes=2, group_size=2, seed=3
        )
        return sorted(episode.digest for episode in run)

    first = digests()
    assert digests() == first
    assert len(set(first)) == 2
