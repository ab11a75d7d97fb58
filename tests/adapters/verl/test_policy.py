import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from llm_gym import rollout
from llm_gym.adapters.verl.policy import Budget, ServerPolicy, chat_tokens_of
from llm_gym.errors import PolicyFault
from llm_gym.tokens import TokenTrace
from llm_gym.trajectory import StopReason
from tests.adapters.verl.speaking import (
    VAULT,
    ScriptedServer,
    open_vault,
    vault_tokenizer,
)

HELLO: Any = {"messages": [{"role": "user", "content": "hello"}]}
LOGPROBS = {"logprobs": True, "temperature": 1.0}


def policy_of(
    say: Any = open_vault, budget: Budget | None = None, **options: Any
) -> tuple[ServerPolicy, ScriptedServer]:
    tokenizer = options.pop("tokenizer", None) or vault_tokenizer()
    fields = options.pop("fields", {})
    server = ScriptedServer(tokenizer, say, fields=fields)
    sampling = options.pop("sampling", LOGPROBS)
    budget = budget or Budget(2000, 2000)
    return ServerPolicy(server, tokenizer, sampling, budget, **options), server


def ask(policy: ServerPolicy, trace: TokenTrace | None = None) -> Any:
    return asyncio.run(policy.bind(None).reply(HELLO, trace))


def test_trace_holds_what_the_server_read_and_sampled() -> None:
    policy, server = policy_of()
    (trajectory,) = rollout(VAULT, policy, episodes=1)
    assert trajectory.episode_return == 1.0
    (segment,) = trajectory.tokens.segments
    first, last = server.asked
    assert list(segment.ids) == last.prompt_ids + last.sampled_ids
    assert list(segment.sampled_ids) == first.sampled_ids + last.sampled_ids
    assert list(segment.logprobs) == first.logprobs + last.logprobs


def test_requests_of_an_episode_share_an_id_and_episodes_do_not() -> None:
    policy, server = policy_of()
    list(rollout(VAULT, policy, episodes=2, concurrency=1))
    ids = [asked.request_id for asked in server.asked]
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_request_id_that_was_given_is_used() -> None:
    policy, server = policy_of(lambda text, number: "no", request_id="det-3")
    ask(policy)
    assert server.asked[0].request_id == "det-3"


def test_server_is_told_where_to_stop() -> None:
    policy, server = policy_of(lambda text, number: "no", Budget(2000, 50))
    ask(policy)
    sampling = server.asked[0].sampling
    assert sampling["max_tokens"] == 50
    assert policy.latest.tokens.stop_ids == set(sampling["stop_token_ids"])
    assert sampling["temperature"] == 1.0


def test_priority_is_passed_on() -> None:
    class Server(ScriptedServer):
        async def generate(self, *args: Any, **kwargs: Any) -> Any:
            self.told = kwargs.pop("priority")
            return await super().generate(*args, **kwargs)

    tokenizer = vault_tokenizer()
    server = Server(tokenizer, lambda text, number: "no")
    ask(ServerPolicy(server, tokenizer, {}, Budget(2000, 50), priority=4))
    assert server.told == 4


def test_all_replies_and_results_share_the_response() -> None:
    policy, _ = policy_of(budget=Budget(2000, 150))
    (trajectory,) = rollout(VAULT, policy, episodes=1)
    (segment,) = trajectory.tokens.segments
    assert len(segment.ids) - len(segment.prompt_ids) <= 150
    assert trajectory.stop_reason is StopReason.REPLY_LENGTH


def test_reply_has_a_limit_of_its_own() -> None:
    policy, _ = policy_of(lambda text, number: "a long story", Budget(999, 999, 4))
    reply = ask(policy)
    assert reply.finish_reason == "length"
    assert len(reply.sampled_ids) == 4


def test_prompt_without_room_is_not_sent() -> None:
    policy, server = policy_of(budget=Budget(10, 5))
    assert ask(policy, TokenTrace()).finish_reason == "length"
    assert server.asked == []
    assert policy.latest.refused_tokens > 15


def test_tokens_past_the_limit_are_cut() -> None:
    class Server(ScriptedServer):
        async def generate(self, *args: Any, **kwargs: Any) -> Any:
            kwargs["sampling_params"] = {**kwargs["sampling_params"], "max_tokens": 99}
            return await super().generate(*args, **kwargs)

    tokenizer = vault_tokenizer()
    server = Server(tokenizer, lambda text, number: "a long story")
    policy = ServerPolicy(server, tokenizer, LOGPROBS, Budget(2000, 3))
    reply = ask(policy)
    assert reply.sampled_ids == tuple(server.asked[0].sampled_ids[:3])
    assert len(reply.logprobs) == 3


def test_logprobs_are_none_where_nobody_asked_for_them() -> None:
    policy, _ = policy_of(sampling={})
    assert ask(policy).logprobs is None


def changed(**changes: Any) -> ServerPolicy:
    """Return a policy whose server returns something else than it should."""

    class Server(ScriptedServer):
        async def generate(self, *args: Any, **kwargs: Any) -> Any:
            output = await super().generate(*args, **kwargs)
            return SimpleNamespace(**{**vars(output), **changes})

    tokenizer = vault_tokenizer()
    server = Server(tokenizer, lambda text, number: "hello")
    return ServerPolicy(server, tokenizer, LOGPROBS, Budget(2000, 99))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stop_reason": "aborted"}, "no whole reply: .* stop reason 'aborted'"),
        ({"token_ids": [], "log_probs": []}, "no whole reply: 0 tokens"),
        ({"log_probs": None}, "asked for log-probabilities and returned none"),
        ({"log_probs": [-1.0]}, "log-probabilities and returned 1 for"),
    ],
)
def test_outputs_that_cannot_be_trained_on_are_faults(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(PolicyFault, match=problem):
        ask(changed(**changes))


def test_server_that_fails_is_a_fault() -> None:
    policy, _ = policy_of(lambda text, number: RuntimeError("gone"))
    with pytest.raises(PolicyFault, match=r"server failed: RuntimeError\('gone'\)"):
        ask(policy)


def test_weights_versions_are_the_first_and_the_last() -> None:
    policy, server = policy_of(fields={"global_steps": 4})

    def say(text: str, number: int) -> str:
        server.fields = {"global_steps": 4 + number, "other": number}
        return open_vault(text, number)

    server.say = say
    list(rollout(VAULT, policy, episodes=1))
    fields = policy.latest.fields
    assert fields["min_global_steps"] == 4
    assert fields["max_global_steps"] == 5
    assert policy.latest.preempted == 2
    assert policy.latest.seconds > 0


def test_routed_experts_are_kept_of_the_last_request() -> None:
    policy = changed(routed_experts="experts")
    ask(policy, TokenTrace())
    assert policy.latest.routed == {0: "experts"}


def test_end_that_the_tokenizer_does_not_know_is_learnt() -> None:
    tokenizer = vault_tokenizer()
    before = set(chat_tokens_of(tokenizer).stop_ids)
    server = ScriptedServer(tokenizer, lambda text, number: "hi", ending="<|call|>")
    reply = ask(ServerPolicy(server, tokenizer, LOGPROBS, Budget(2000, 99)))
    assert reply.finish_reason == "stop"
    assert chat_tokens_of(tokenizer).stop_ids - before == {
        tokenizer.convert_tokens_to_ids("<|call|>")
    }


def test_arguments_of_the_template_reach_it() -> None:
    tokenizer = vault_tokenizer()
    tokenizer.chat_template = "{{ mood }}" + tokenizer.chat_template
    policy, server = policy_of(
        lambda text, number: "no",
        tokenizer=tokenizer,
        chat_template_kwargs={"mood": "cheerful"},
    )
    ask(policy)
    assert tokenizer.decode(server.asked[0].prompt_ids).startswith("cheerful")


def test_tokens_of_a_tokenizer_are_made_once() -> None:
    tokenizer = vault_tokenizer()
    assert chat_tokens_of(tokenizer) is chat_tokens_of(tokenizer)
    assert chat_tokens_of(tokenizer, {"a": 1}) is not chat_tokens_of(tokenizer)
